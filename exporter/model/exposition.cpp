#include "exporter/model/exposition.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace vitalsd {
namespace {

// Room in a slab for lines that become longer.
constexpr std::size_t kReserve = Exposition::kSlabSize / 16;

// Makes room for `size` bytes: at first by doubling, as most families stay small, but a slab that
// has become full gets no more than it needs, where std::string would double it once more.
void make_room(std::string& text, std::size_t size) {
  if (size <= text.capacity()) return;
  const std::size_t full = Exposition::kSlabSize + kReserve;
  text.reserve(size > full ? size + kReserve : std::min(std::max(size, 2 * text.capacity()), full));
}

}  // namespace

// The slabs of a page, kept from change for as long as this lives.
class Exposition::Pinned {
 public:
  Pinned(const Exposition& exposition, const Selection& selection) : exposition_(exposition) {
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
      families_.push_back({family.metric, slabs_.size(), 0});
      for (const std::shared_ptr<Slab>& slab : family.slabs) {
        if (!slab || slab->entries.empty()) continue;
        ++slab->pins;
        slabs_.push_back(slab);
      }
      families_.back().end = slabs_.size();
      if (families_.back().begin == families_.back().end) families_.pop_back();
    }
  }
  ~Pinned() {
    // Under the lock: the publisher that next finds no pin must see that our reads are over.
    const std::lock_guard lock(exposition_.mutex_);
    for (const std::shared_ptr<Slab>& slab : slabs_) --slab->pins;
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  struct View {
    const MetricInfo* metric;
    std::size_t begin;
    std::size_t end;
  };
  [[nodiscard]] const std::vector<View>& families() const { return families_; }

  // Calls `header` before the first line of the family, if there is any.
  template <class Header>
  void write(const View& family, const Header& header, const Sink& sink) const {
    bool first = true;
    const auto put = [&](std::string_view text) {
      if (std::exchange(first, false)) header();
      sink(text);
    };
    for (std::size_t i = family.begin; i < family.end; ++i) {
      const std::string_view text = slabs_[i]->view();
      if (!owner_) {
        put(text);
        continue;
      }
      std::size_t at = 0;
      for (const Entry& entry : slabs_[i]->entries) {
        if (entry.owner == *owner_) put(text.substr(at, entry.size));
        at += entry.size;
      }
    }
  }

 private:
  const Exposition& exposition_;
  std::optional<Owner> owner_;
  std::vector<View> families_;
  std::vector<std::shared_ptr<Slab>> slabs_;
};

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

std::size_t Exposition::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void Exposition::publish(Owner owner, std::span<Change> changes) {
  const std::lock_guard lock(mutex_);
  for (Change& change : changes) {
    const bool empty = change.lines.empty();
    if (!change.chunk->placed()) {
      if (!empty) place(owner, change);
    } else if (empty) {
      remove(*change.chunk);
    } else {
      replace(owner, change);
    }
  }
}

std::uint32_t Exposition::family_of(const MetricInfo& metric) {
  const auto it = by_name_.find(metric.name);
  if (it != by_name_.end()) return it->second;
  const auto id = static_cast<std::uint32_t>(families_.size());
  families_.push_back(std::make_unique<Family>(Family{.metric = &metric, .slabs = {}, .free = {}}));
  by_name_.emplace(metric.name, id);
  return id;
}

// The slab itself if nobody reads it, else a copy that takes its place.
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

bool Exposition::stands_alone(const Change& change) {
  return change.lines.size() >= (change.keeper ? kKeptSize : kSlabSize);
}

void Exposition::place(Owner owner, Change& change) {
  Chunk& chunk = *change.chunk;
  chunk.family = family_of(*change.metric);
  Family& family = *families_[chunk.family];
  const std::size_t size = change.lines.size();
  bytes_ += size;
  if (stands_alone(change)) {
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
    const auto takes = [&](std::uint32_t i) {
      return i < family.slabs.size() && family.slabs[i] && !family.slabs[i]->keeper &&
             family.slabs[i]->text.size() + size <= kSlabSize;
    };
    if (!takes(family.open)) {
      family.open = 0;
      while (family.open < family.slabs.size() && !takes(family.open)) ++family.open;
      if (family.open == family.slabs.size()) {
        family.open = free_place(family);
        family.slabs[family.open] = std::make_shared<Slab>();
      }
    }
    chunk.slab = family.open;
    std::string& text = writable(family, chunk.slab).text;
    make_room(text, text.size() + size);
    text += change.lines;
  }
  Slab& slab = *family.slabs[chunk.slab];
  chunk.id = slab.next_id++;
  slab.entries.push_back({chunk.id, owner, static_cast<std::uint32_t>(size)});
}

// The entry of a chunk in its slab, and where its lines begin.
std::pair<std::size_t, std::size_t> Exposition::find(const Chunk& chunk) const {
  const Slab& slab = *families_[chunk.family]->slabs[chunk.slab];
  std::size_t at = 0;
  std::size_t index = 0;
  for (; slab.entries[index].id != chunk.id; ++index) at += slab.entries[index].size;
  return {index, at};
}

void Exposition::replace(Owner owner, Change& change) {
  Chunk& chunk = *change.chunk;
  const std::size_t size = change.lines.size();
  // A chunk that is or becomes a slab of its own moves: the copy is not worth having.
  if (stands_alone(change) || families_[chunk.family]->slabs[chunk.slab]->keeper) {
    change.metric = families_[chunk.family]->metric;
    remove(chunk);
    place(owner, change);
    return;
  }
  const auto [index, at] = find(chunk);
  const Slab& now = *families_[chunk.family]->slabs[chunk.slab];
  const std::size_t old_size = now.entries[index].size;
  if (now.view().substr(at, old_size) == change.lines) return;
  Slab& slab = writable(*families_[chunk.family], chunk.slab);
  make_room(slab.text, slab.text.size() - old_size + size);
  slab.text.replace(at, old_size, change.lines);
  slab.entries[index].size = static_cast<std::uint32_t>(size);
  bytes_ += size;
  bytes_ -= old_size;
}

void Exposition::remove(Chunk& chunk) {
  Family& family = *families_[chunk.family];
  const auto [index, at] = find(chunk);
  Slab& slab = writable(family, chunk.slab);
  const auto entry = slab.entries.begin() + static_cast<std::ptrdiff_t>(index);
  bytes_ -= entry->size;
  if (!slab.keeper) slab.text.erase(at, entry->size);
  slab.entries.erase(entry);
  if (slab.entries.empty()) {
    family.slabs[chunk.slab] = nullptr;
    family.free.push_back(chunk.slab);
  }
  chunk = {};
}

void Exposition::write(Format format, const Selection& selection, std::vector<Extra> extras,
                       const Sink& sink) const {
  const Pinned pinned(*this, selection);
  std::ranges::sort(extras, {}, &Extra::name);
  auto extra = extras.begin();
  std::string header;
  const auto write_extra = [&] {
    MetricInfo info;
    info.name = extra->name;
    info.help = extra->help;
    info.type = extra->type;
    header.clear();
    append_header(header, info, extra->type_name, format);
    sink(header);
    sink(extra->lines);
    ++extra;
  };
  for (const Pinned::View& family : pinned.families()) {
    while (extra != extras.end() && extra->name < family.metric->name) write_extra();
    const auto write_header = [&] {
      header.clear();
      append_header(header, *family.metric, {}, format);
      sink(header);
    };
    pinned.write(family, write_header, sink);
  }
  while (extra != extras.end()) write_extra();
  if (!end_of_page(format).empty()) sink(end_of_page(format));
}

}  // namespace vitalsd
