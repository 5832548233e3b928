#include "exporter/model/exposition.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace vitalsd {
namespace {

// Extra capacity of a slab, for lines that change to longer ones.
constexpr std::size_t kReserve = Exposition::kSlabSize / 16;

constexpr std::uint32_t kMaxSize = UINT32_MAX >> 1;  // of the lines of a slab

// Reserves at least `size` bytes. Most families stay small, so the capacity doubles up to a full
// slab. After that it grows by kReserve only; std::string would double it again.
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
    owners_.push_back({name, {}});
  } else {
    owner = free_owners_.back();
    free_owners_.pop_back();
    owners_[owner].name = name;
  }
  owner_names_.emplace(std::move(name), owner);
  return owner;
}

void Exposition::remove_owner(Owner owner) {
  const std::lock_guard lock(mutex_);
  owner_names_.erase(owners_[owner].name);
  owners_[owner].name.clear();
  free_owners_.push_back(owner);
}

bool Exposition::has_owner(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return owner_names_.contains(name);
}

void Exposition::publish(Owner owner, std::span<Change> changes) {
  for (Change& change : changes) {
    change.series = static_cast<std::uint32_t>(std::ranges::count(change.lines, '\n'));
  }
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
    // The declaration in the code determines the header.
    if (current.is_foreign() && !metric.is_foreign()) {
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
  count(entry, family, change.series);
}

// Sets the number of series of an entry.
void Exposition::count(Entry& entry, const Family& family, std::uint32_t series) {
  const SeriesRank rank = entry.foreign != 0 ? SeriesRank::foreign : rank_of(*family.metric);
  std::size_t& sum = owners_[entry.owner].series[static_cast<std::size_t>(rank)];
  sum += series;
  sum -= std::exchange(entry.series, series);
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
    count(slab.entries.front(), *families_[chunk.family], change.series);
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
  count(slab.entries[index], *families_[chunk.family], change.series);
}

void Exposition::remove(Chunk& chunk) {
  Family& family = *families_[chunk.family];
  const auto [index, at] = find(chunk);
  Slab& slab = writable(family, chunk.slab);
  const std::size_t size = slab.entries[index].end - at;
  count(slab.entries[index], family, 0);
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

void Exposition::set_series_limit(std::size_t limit) {
  const std::lock_guard lock(mutex_);
  limit_ = limit;
}

}  // namespace vitalsd
