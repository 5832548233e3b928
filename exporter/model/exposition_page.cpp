#include "exporter/model/exposition.hpp"

#include <algorithm>
#include <utility>

namespace vitalsd {

std::unique_ptr<const Exposition::Page> Exposition::page(Format format, const Selection& selection,
                                                         std::vector<Extra> extras) const {
  return std::make_unique<const Page>(*this, format, selection, std::move(extras));
}

Exposition::Page::Page(const Exposition& exposition, Format format, const Selection& selection,
                       std::vector<Extra> extras)
    : exposition_(exposition), selected_(selection.families), extras_(std::move(extras)) {
  std::ranges::sort(extras_, {}, &Extra::name);
  pin(selection);
  hide_over_limit();
  // A family without a selected line has no header, so an extra of the same name has its own.
  std::erase_if(families_, [this](const View& family) {
    const std::span slabs(slabs_.begin() + static_cast<std::ptrdiff_t>(family.begin),
                          family.end - family.begin);
    return std::ranges::none_of(slabs, [&](const std::shared_ptr<Slab>& slab) {
      return std::ranges::any_of(slab->entries,
                                 [&](const Entry& entry) { return is_selected(entry, family); });
    });
  });
  pieces_.reserve(slabs_.size() + families_.size() + 2 * extras_.size() + 1);
  auto extra = extras_.begin();
  for (const View& family : families_) {
    while (extra != extras_.end() && extra->name < family.metric->name) {
      add_extra(*extra++, format, false);
    }
    add_family(family, format);
    if (extra != extras_.end() && extra->name == family.metric->name) {
      add_extra(*extra++, format, true);
    }
  }
  while (extra != extras_.end()) add_extra(*extra++, format, false);
  add(end_of_page(format));
}

Exposition::Page::~Page() {
  // The lock orders all reads of the page before the next write to a slab without pins.
  const std::lock_guard lock(exposition_.mutex_);
  for (const std::shared_ptr<Slab>& slab : slabs_) --slab->pins;
}

void Exposition::Page::pin(const Selection& selection) {
  const std::lock_guard lock(exposition_.mutex_);
  if (selection.owner) {
    const auto it = exposition_.owner_names_.find(*selection.owner);
    if (it == exposition_.owner_names_.end()) return;
    owner_ = it->second;
  }
  for (const auto& [name, id] : exposition_.by_name_) {
    const Family& family = *exposition_.families_[id];
    const bool reading = family.metric->keep == Keep::reading;
    if (!(reading ? selection.readings : selection.facts)) continue;
    const std::size_t begin = slabs_.size();
    for (const std::shared_ptr<Slab>& slab : family.slabs) {
      if (!slab || slab->entries.empty()) continue;
      ++slab->pins;
      slabs_.push_back(slab);
    }
    if (slabs_.size() > begin) families_.push_back({family.metric, begin, slabs_.size()});
  }
  if (!owner_ && exposition_.limit_ > 0) find_owners_over_limit();
}

// The caller holds the lock.
void Exposition::Page::find_owners_over_limit() {
  std::size_t sum = 0;
  for (const OwnerState& each : exposition_.owners_) {
    for (const std::size_t series : each.series) sum += series;
  }
  if (sum <= exposition_.limit_) return;
  std::vector<SeriesCounts> counts;
  for (const OwnerState& each : exposition_.owners_) counts.push_back(each.series);
  const SeriesCounts shares = shares_of(counts, exposition_.limit_);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (std::size_t rank = 0; rank < shares.size(); ++rank) {
      if (counts[i][rank] > shares[rank]) over_limit_[static_cast<Owner>(i)] = shares;
    }
  }
}

void Exposition::Page::hide_over_limit() {
  if (over_limit_.empty()) return;
  for (std::size_t i = 0; i < families_.size(); ++i) hide_over_limit(i);
}

// Families are in the order of their names, so the result does not depend on the past.
void Exposition::Page::hide_over_limit(std::size_t index) {
  View& family = families_[index];
  std::map<std::pair<Owner, SeriesRank>, std::size_t> series;
  for (std::size_t i = family.begin; i < family.end; ++i) {
    for (const Entry& entry : slabs_[i]->entries) {
      if (!over_limit_.contains(entry.owner)) continue;
      series[{entry.owner, rank_of(entry, family)}] += entry.series;
    }
  }
  for (const auto& [whose, count] : series) {
    std::size_t& left = over_limit_[whose.first][static_cast<std::size_t>(whose.second)];
    if (count <= left) {
      left -= left == SIZE_MAX ? 0 : count;
    } else {
      family.hidden.push_back(whose);
      dropped_[whose.first] += count;
    }
  }
}

SeriesRank Exposition::Page::rank_of(const Entry& entry, const View& family) {
  return entry.foreign != 0 ? SeriesRank::foreign : vitalsd::rank_of(*family.metric);
}

Exposition::SeriesStatus Exposition::series() const {
  SeriesStatus status;
  std::size_t sum = 0;
  {
    const std::lock_guard lock(mutex_);
    status.limit = limit_;
    for (const OwnerState& owner : owners_) {
      for (std::size_t i = 0; i < status.counts.size(); ++i) {
        status.counts[i] += owner.series[i];
        sum += owner.series[i];
      }
    }
  }
  if (status.limit == 0 || sum <= status.limit) return status;
  const Page page(*this, Format::text, {}, {});
  const std::lock_guard lock(mutex_);
  for (const auto& [owner, count] : page.dropped()) {
    status.dropped.emplace_back(owners_[owner].name, count);
  }
  return status;
}

void Exposition::Page::add(std::string_view piece) {
  if (piece.empty()) return;
  pieces_.push_back(piece);
  size_ += piece.size();
}

void Exposition::Page::add_family(const View& family, Format format) {
  bool first = true;
  const auto add_lines = [&](std::string_view lines) {
    if (std::exchange(first, false)) {
      const std::string_view type =
          shown_type(family.metric->name, type_name(family.metric->type), format);
      append_header(texts_.emplace_back(), *family.metric, type, format);
      add(texts_.back());
    }
    add(lines);
  };
  for (std::size_t i = family.begin; i < family.end; ++i) {
    const std::string_view lines = slabs_[i]->view();
    if (!owner_ && selected_ == Families::all && family.hidden.empty()) {
      add_lines(lines);
      continue;
    }
    std::size_t begin = 0;  // of adjacent entries that are selected
    std::size_t end = 0;
    for (const Entry& entry : slabs_[i]->entries) {
      if (!is_selected(entry, family)) {
        if (end > begin) add_lines(lines.substr(begin, end - begin));
        begin = entry.end;
      }
      end = entry.end;
    }
    if (end > begin) add_lines(lines.substr(begin, end - begin));
  }
}

bool Exposition::Page::is_selected(const Entry& entry, const View& family) const {
  if (owner_ && entry.owner != *owner_) return false;
  if (!family.hidden.empty() &&
      std::ranges::binary_search(family.hidden, std::pair(entry.owner, rank_of(entry, family)))) {
    return false;
  }
  return selected_ == Families::all || (selected_ == Families::foreign) == (entry.foreign != 0);
}

void Exposition::Page::add_extra(Extra& extra, Format format, bool has_header) {
  std::string& text = texts_.emplace_back();
  if (!has_header) {
    MetricInfo info;
    info.name = extra.name;
    info.help = extra.help;
    info.type = extra.type;
    const std::string_view type = extra.type_name.empty() ? type_name(extra.type) : extra.type_name;
    append_header(text, info, shown_type(extra.name, type, format), format);
  }
  text += extra.lines;
  add(text);
}

bool Exposition::Page::has_family(std::string_view name) const {
  const auto name_of = [](const View& view) { return view.metric->name; };
  return std::ranges::binary_search(families_, name, {}, name_of) ||
         std::ranges::binary_search(
             extras_, name, {}, [](const Extra& extra) -> std::string_view { return extra.name; });
}

// OpenMetrics reserves the name of a counter without its suffix, and with _created in its place. If
// another family has that name, the counter is of type unknown. Example: Go programs have
// go_memstats_alloc_bytes and go_memstats_alloc_bytes_total.
std::string_view Exposition::Page::shown_type(std::string_view name, std::string_view type,
                                              Format format) const {
  if (format != Format::openmetrics) return type;
  const std::string_view base = openmetrics_base(name, type);
  if (base == name) return type;
  const bool clashes =
      has_family(base) || (type == "counter" && has_family(std::string(base) + "_created"));
  return clashes ? "unknown" : type;
}

}  // namespace vitalsd
