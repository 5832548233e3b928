// The objects of one resource that a probe keeps. The Kubernetes client's watch updates them, and
// the probe publishes them in small buckets. A run renders only objects that have changed since the
// last run, so its cost depends on the number of changes and not on the number of objects. Probe
// loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/kubernetes/watch/patchable_fragment.hpp"
#include "probes/kubernetes/watch/selection.hpp"
#include "probes/net/kubernetes/client.hpp"
#include "probes/probe.hpp"

#include <array>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::kubernetes {

/// Published by every kind that has a watch.
extern const Metric<1> kLastHeard;

/// The subscription to the objects of a resource in one namespace or in all namespaces: the part of
/// Watched that does not depend on the type of the objects.
class ResourceWatch {
 public:
  ResourceWatch(const Environment& environment, net::kubernetes::Query query)
      : environment_(environment), query_(std::move(query)) {}

  /// Subscribes to the watch if that has not been done. A probe that waits for several watches
  /// calls this for all of them first, so that they list in parallel.
  void join(net::kubernetes::Listener& listener);

  /// Calls join(), waits for the first list and checks how old the data is: `part` fails if the API
  /// server sends nothing. Returns whether the objects may be published: false if there is no list
  /// yet, or if the data is older than Timeouts::expired.
  asio::awaitable<bool> judge(SampleSet& run, Part& part, net::kubernetes::Listener& listener);

  [[nodiscard]] const net::kubernetes::Query& query() const { return query_; }
  /// The version of the resource that the server has, or the preferred one before the first list.
  [[nodiscard]] std::string_view version() const {
    return subscription_ ? subscription_->reflector().version() : query_.resource.version;
  }
  /// Whether other processes observe a share of the objects.
  [[nodiscard]] bool is_divided() const { return environment_.shard.divided(); }

 private:
  const Environment& environment_;
  net::kubernetes::Query query_;
  std::optional<net::kubernetes::Client::Subscription> subscription_;
};

/// Yields to the probe loop when the caller has run for a millisecond since the last yield.
class LoopYield {
 public:
  asio::awaitable<void> yield_if_due();

 private:
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

/// The fields of an object that probes use. key() identifies it within its resource
/// ("namespace/name"). Objects that compare equal have equal samples. An optional member suspect()
/// returns whether a check may fail for the object, now or later: for_each_suspect() visits only
/// these objects. An optional member inherit(previous, now) copies facts that no single state
/// contains: when an update arrives, it is called with the previous state of the object and the
/// time in Unix seconds, before both states are compared.
template <class Object>
concept Watchable = std::equality_comparable<Object> && requires(const Object& object) {
  { object.key() } -> std::convertible_to<std::string>;
};

template <Watchable Object>
class Watched final : public net::kubernetes::Listener {
 public:
  /// Parses an object from its encoded form. Returns nothing if the object is to be ignored.
  using Read = std::function<std::optional<Object>(std::string_view)>;

  Watched(const Environment& environment, net::kubernetes::Query query, Read read)
      : watch_(environment, std::move(query)), read_(std::move(read)) {}

  void join() { watch_.join(*this); }

  /// The same as ResourceWatch::judge.
  asio::awaitable<bool> judge(SampleSet& run, Part& part) { return watch_.judge(run, part, *this); }

  /// Attaches the samples of all objects to `part`. `render(Part&, const Object&)` adds the samples
  /// of one object. Yields to the loop between buckets.
  template <class Render>
  asio::awaitable<void> publish(const SampleSet& run, Part& part, const Render& render) {
    if (labels_ != run.constant_labels()) {
      labels_ = run.constant_labels();
      for (Bucket& bucket : buckets_) bucket.changed = kAll;
    }
    LoopYield loop_yield;
    Part samples;
    PatchableFragment::Patch patch;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {  // a yield may add buckets
      Bucket& bucket = buckets_[i];
      const SlotMask changed = std::exchange(bucket.changed, 0);
      if (changed == 0) continue;
      patch.clear();
      for (std::uint32_t index = 0; index < kBucket; ++index) {
        if ((changed & bit(index)) == 0) continue;
        samples.clear();
        const Slot& slot = (*bucket.slots)[index];
        if (slot.object) render(samples, *slot.object);
        patch.set(index, samples, labels_);
      }
      bucket.lines.apply(patch);
      part.count_duplicates(patch.duplicates());
      co_await loop_yield.yield_if_due();
    }
    for (const Bucket& bucket : buckets_) part.attach(bucket.lines.fragment());
  }

  template <class Do>
  void for_each(const Do& action) const {
    for (const Bucket& bucket : buckets_) {
      for (const Slot& slot : *bucket.slots) {
        if (slot.object) action(*slot.object);
      }
    }
  }

  /// Like for_each, but only for objects whose suspect() returned true.
  template <class Do>
  void for_each_suspect(const Do& action) const {
    for (const Bucket& bucket : buckets_) {
      for (SlotMask rest = bucket.suspects; rest != 0; rest &= rest - 1) {
        action(*(*bucket.slots)[static_cast<std::size_t>(std::countr_zero(rest))].object);
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return slots_by_key_.size(); }
  /// Adds the number of objects to `selection`.
  void count(Selection& selection) const { selection.add(query(), size(), watch_.is_divided()); }
  [[nodiscard]] const Object* find(const std::string& key) const {
    const auto found = slots_by_key_.find(key);
    return found == slots_by_key_.end() ? nullptr : &*slot(found->second).object;
  }
  [[nodiscard]] const net::kubernetes::Query& query() const { return watch_.query(); }
  /// See ResourceWatch::version.
  [[nodiscard]] std::string_view version() const { return watch_.version(); }

  void list_started() override { ++list_; }

  void updated(std::string_view bytes) override {
    std::optional<Object> object = read_(bytes);
    if (!object) return;
    const auto [entry, is_new] = slots_by_key_.try_emplace(object->key(), 0);
    if (is_new) entry->second = free_slot();
    const std::uint32_t index = entry->second;
    Slot& slot = this->slot(index);
    slot.list = list_;
    if constexpr (requires { object->inherit(*slot.object, 0.0); }) {
      const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
      if (slot.object) object->inherit(*slot.object, now.count());
    }
    if (slot.object == object) return;
    slot.object = std::move(object);
    Bucket& bucket = buckets_[index / kBucket];
    bucket.changed |= bit(index);
    if constexpr (requires { slot.object->suspect(); }) {
      bucket.suspects =
          slot.object->suspect() ? bucket.suspects | bit(index) : bucket.suspects & ~bit(index);
    }
  }

  void deleted(std::string_view bytes) override {
    const std::optional<Object> object = read_(bytes);
    if (!object) return;
    const auto found = slots_by_key_.find(object->key());
    if (found == slots_by_key_.end()) return;
    clear(found->second);
    slots_by_key_.erase(found);
  }

  void list_ended() override {
    std::erase_if(slots_by_key_, [&](const auto& entry) {
      if (slot(entry.second).list == list_) return false;
      clear(entry.second);
      return true;
    });
  }

 private:
  static constexpr std::uint32_t kBucket = PatchableFragment::kSlots;
  using SlotMask = std::uint32_t;  // a bit for each slot of a bucket
  static constexpr SlotMask kAll = (SlotMask{1} << kBucket) - 1;
  static constexpr SlotMask bit(std::uint32_t index) { return SlotMask{1} << index % kBucket; }

  struct Slot {
    std::optional<Object> object;
    std::uint32_t list = 0;  // the list during or after which it was last updated
  };
  struct Bucket {
    std::unique_ptr<std::array<Slot, kBucket>> slots =
        std::make_unique<std::array<Slot, kBucket>>();
    PatchableFragment lines;
    SlotMask changed = 0;
    SlotMask suspects = 0;
  };

  Slot& slot(std::uint32_t index) { return (*buckets_[index / kBucket].slots)[index % kBucket]; }
  [[nodiscard]] const Slot& slot(std::uint32_t index) const {
    return (*buckets_[index / kBucket].slots)[index % kBucket];
  }

  std::uint32_t free_slot() {
    if (free_slots_.empty()) {
      for (std::uint32_t i = kBucket; i > 0;
           --i) {  // in reverse, because free_slot() takes the last one
        free_slots_.push_back(static_cast<std::uint32_t>(buckets_.size()) * kBucket + i - 1);
      }
      buckets_.emplace_back();
    }
    const std::uint32_t index = free_slots_.back();
    free_slots_.pop_back();
    return index;
  }

  void clear(std::uint32_t index) {
    slot(index).object.reset();
    free_slots_.push_back(index);
    Bucket& bucket = buckets_[index / kBucket];
    bucket.changed |= bit(index);
    bucket.suspects &= ~bit(index);
  }

  ResourceWatch watch_;
  Read read_;
  std::string labels_;  // the constant labels in the fragments
  std::vector<Bucket> buckets_;
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<std::string, std::uint32_t> slots_by_key_;
  std::uint32_t list_ = 0;  // the number of the current list
};

}  // namespace vitalsd::kubernetes
