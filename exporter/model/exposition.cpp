#include "exporter/model/exposition.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace vitalsd {
namespace {

// Extra capacity of a slab, for lines that change to longer ones.
constexpr std::size_t kReserve = Exposition::kSlabSize / 16;

constexpr std::uint32_t kMaxSize = UINT32_MAX >> 1;  // of the lines of a slab

// Reserves `size` bytes. The capacity doubles up to a full slab, because most families stay small.
// A full slab gets only what it needs; std::string would double it again.
void reserve_bytes(std::string& text, std::size_t size) {
  if (size <= text.capacity()) return;
  const std::size_t full = Exposition::kSlabSize + kReserve;
  text.reserve(size > full ? size + kReserve : std::min(std::max(size, 2 * text.capacity()), full));
}

}  // namespace

Exposition::Owner Exposition::add_owner(std::string name) {
  const std::lock_guard lock(mutex_);
  assert(!owner_names_.contains(name));
  Owner owner;
  if (free_owners_.empty()) {
    owner = static_cast<Owner>(owners_.size());
    owners_.push_back(name);
  } else {
    owner = free_owners_.back();
    free_owners_.pop_back();
    owners_[owner] = name;
  }
  owner_names_.emplace(std::move(name), owner);
  return owner;
}

void Exposition::remove_owner(Owner owner) {
  const std::lock_guard lock(mutex_);
  owner_names_.erase(owners_[owner]);
  owners_[owner].clear();
  free_owners_.push_back(owner);
}

bool Exposition::has_owner(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return owner_names_.contains(name);
}

void Exposition::publish(Owner owner, std::span<Change> changes) {
  const std::lock_guard lock(mutex_);
  for (Change& change : changes) {
    const bool empty = change.lines.empty();
    if (!change.chunk->placed()) {
      if (!empty) place(owner, change, change.metric.is_foreign());
    } else if (empty) {
      remove(*change.chunk);
    } else {
      replace(owner, change);
    }
  }
}

std::uint32_t Exposition::family_of(const MetricRef& metric) {
  const auto it = by_name_.find(metric->name);
  if (it != by_name_.end()) {
    MetricRef& current = families_[it->second]->metric;
    if (current.is_foreign() && !metric.is_foreign()) {  // declared families determine the header
      auto node = by_name_.extract(it);
      node.key() = metric->name;
      const std::uint32_t id = node.mapped();
      by_name_.insert(std::move(node));
      current = metric;
      return id;
    }
    return it->second;
  }
  auto family = std::make_unique<Family>(Family{.metric = metric, .slabs = {}, .free = {}});
  std::uint32_t id = 0;
  if (free_families_.empty()) {
    id = static_cast<std::uint32_t>(families_.size());
    families_.push_back(std::move(family));
  } else {
    id = free_families_.back();
    free_families_.pop_back();
    families_[id] = std::move(family);
  }
  by_name_.emplace(metric->name, id);
  return id;
}

void Exposition::free_family(std::uint32_t id) {
  by_name_.erase(families_[id]->metric->name);
  families_[id] = nullptr;
  free_families_.push_back(id);
}

// The slab if no page has pinned it; otherwise a copy, which replaces it.
Exposition::Slab& Exposition::writable(Family& family, std::uint32_t slab) {
  std::shared_ptr<Slab>& place = family.slabs[slab];
  if (place->pins > 0) {
    auto copy = std::make_shared<Slab>(*place);
    copy->pins = 0;
    place = std::move(copy);
  }
  return *place;
}

std::uint32_t Exposition::free_place(Family& family) {
  if (!family.free.empty()) {
    const std::uint32_t place = family.free.back();
    family.free.pop_back();
    return place;
  }
  family.slabs.emplace_back();
  return static_cast<std::uint32_t>(family.slabs.size() - 1);
}

bool Exposition::has_own_slab(const Change& change) {
  return change.lines.size() >= (change.keeper ? kKeptSize : kSlabSize);
}

void Exposition::place(Owner owner, Change& change, bool foreign) {
  Chunk& chunk = *change.chunk;
  chunk.family = family_of(change.metric);
  Family& family = *families_[chunk.family];
  ++family.chunks;
  const std::size_t size = change.lines.size();
  if (has_own_slab(change)) {
    chunk.slab = free_place(family);
    auto slab = std::make_shared<Slab>();
    if (change.keeper) {
      slab->kept = change.lines;
      slab->keeper = std::move(change.keeper);
    } else {
      slab->text = change.lines;
    }
    family.slabs[chunk.slab] = std::move(slab);
  } else {
    const auto has_space = [&](std::uint32_t i) {
      return i < family.slabs.size() && family.slabs[i] && !family.slabs[i]->keeper &&
             family.slabs[i]->text.size() + size <= kSlabSize;
    };
    if (!has_space(family.open)) {
      family.open = 0;
      while (family.open < family.slabs.size() && !has_space(family.open)) ++family.open;
      if (family.open == family.slabs.size()) {
        family.open = free_place(family);
        family.slabs[family.open] = std::make_shared<Slab>();
      }
    }
    chunk.slab = family.open;
    std::string& text = writable(family, chunk.slab).text;
    reserve_bytes(text, text.size() + size);
    text += change.lines;
  }
  Slab& slab = *family.slabs[chunk.slab];
  chunk.id = slab.next_id++;
  Entry& entry = slab.entries.emplace_back();
  entry.id = chunk.id;
  entry.owner = owner;
  entry.end = static_cast<std::uint32_t>(slab.view().size()) & kMaxSize;
  entry.foreign = foreign ? 1 : 0;
}

// The index of a chunk's entry in its slab, and the offset of its lines.
std::pair<std::size_t, std::size_t> Exposition::find(const Chunk& chunk) const {
  const std::vector<Entry>& entries = families_[chunk.family]->slabs[chunk.slab]->entries;
  const auto entry = std::ranges::lower_bound(entries, chunk.id, {}, &Entry::id);
  const auto index = static_cast<std::size_t>(entry - entries.begin());
  return {index, index == 0 ? 0 : entries[index - 1].end};
}

// Records that the lines of an entry have become longer or shorter.
void Exposition::move_ends(Slab& slab, std::size_t first, std::size_t old_size, std::size_t size) {
  if (size == old_size) return;
  for (std::size_t i = first; i < slab.entries.size(); ++i) {
    slab.entries[i].end =
        static_cast<std::uint32_t>(slab.entries[i].end - old_size + size) & kMaxSize;
  }
}

void Exposition::replace(Owner owner, Change& change) {
  Chunk& chunk = *change.chunk;
  const std::size_t size = change.lines.size();
  // The old and the new lines both belong to a keeper: the slab refers to the new ones, and no text
  // is copied.
  if (change.keeper && has_own_slab(change) && families_[chunk.family]->slabs[chunk.slab]->keeper) {
    Slab& slab = writable(*families_[chunk.family], chunk.slab);
    slab.kept = change.lines;
    slab.keeper = std::move(change.keeper);
    slab.entries.front().end = static_cast<std::uint32_t>(size) & kMaxSize;
    return;
  }
  const auto [index, at] = find(chunk);
  // The chunk has its own slab, or the change requires one: it is removed and added again.
  if (has_own_slab(change) || families_[chunk.family]->slabs[chunk.slab]->keeper) {
    change.metric = families_[chunk.family]->metric;
    const bool foreign = families_[chunk.family]->slabs[chunk.slab]->entries[index].foreign != 0;
    remove(chunk);
    place(owner, change, foreign);
    return;
  }
  const Slab& slab_before = *families_[chunk.family]->slabs[chunk.slab];
  const std::size_t old_size = slab_before.entries[index].end - at;
  if (slab_before.view().substr(at, old_size) == change.lines) return;
  Slab& slab = writable(*families_[chunk.family], chunk.slab);
  reserve_bytes(slab.text, slab.text.size() - old_size + size);
  slab.text.replace(at, old_size, change.lines);
  move_ends(slab, index, old_size, size);
}

void Exposition::remove(Chunk& chunk) {
  Family& family = *families_[chunk.family];
  const auto [index, at] = find(chunk);
  Slab& slab = writable(family, chunk.slab);
  const std::size_t size = slab.entries[index].end - at;
  if (!slab.keeper) slab.text.erase(at, size);
  move_ends(slab, index, size, 0);
  slab.entries.erase(slab.entries.begin() + static_cast<std::ptrdiff_t>(index));
  if (slab.entries.empty()) {
    family.slabs[chunk.slab] = nullptr;
    family.free.push_back(chunk.slab);
  }
  if (--family.chunks == 0 && family.metric.is_foreign()) free_family(chunk.family);
  chunk = {};
}

std::unique_ptr<const Exposition::Page> Exposition::page(Format format, const Selection& selection,
                                                         std::vector<Extra> extras) const {
  return std::make_unique<const Page>(*this, format, selection, std::move(extras));
}

// ---- pages --------------------------------------------------------------------------------------

Exposition::Page::Page(const Exposition& exposition, Format format, const Selection& selection,
                       std::vector<Extra> extras)
    : exposition_(exposition), selected_(selection.families), extras_(std::move(extras)) {
  std::ranges::sort(extras_, {}, &Extra::name);
  pin(selection);
  // A family without a selected line has no header on this page, so an Extra with the same name
  // writes the header.
  std::erase_if(families_, [this](const View& family) {
    const std::span slabs(slabs_.begin() + static_cast<std::ptrdiff_t>(family.begin),
                          family.end - family.begin);
    return std::ranges::none_of(slabs, [this](const std::shared_ptr<Slab>& slab) {
      return std::ranges::any_of(slab->entries,
                                 [this](const Entry& entry) { return is_selected(entry); });
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
  // The lock makes all reads of this page happen before the next write to a slab that is no longer
  // pinned.
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
    if (!owner_ && selected_ == Families::all) {
      add_lines(lines);
      continue;
    }
    std::size_t begin = 0;  // of adjacent entries that are selected
    std::size_t end = 0;
    for (const Entry& entry : slabs_[i]->entries) {
      if (!is_selected(entry)) {
        if (end > begin) add_lines(lines.substr(begin, end - begin));
        begin = entry.end;
      }
      end = entry.end;
    }
    if (end > begin) add_lines(lines.substr(begin, end - begin));
  }
}

bool Exposition::Page::is_selected(const Entry& entry) const {
  if (owner_ && entry.owner != *owner_) return false;
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

// OpenMetrics reserves the name of a counter without its suffix, and with _created in its place. Go
// programs have go_memstats_alloc_bytes and go_memstats_alloc_bytes_total, for example. A counter
// whose reserved name is another family becomes type unknown.
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
