// The objects of one resource as a probe keeps them: fed by the Kubernetes client's watch, and
// published in small buckets. Only what an event has touched is rendered anew, so that the cost of
// a run follows change and not size. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/kubernetes/watch/patchwork.hpp"
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

/// Published by every kind that follows a watch.
extern const Metric<1> kLastHeard;

/// One namespace's objects of a resource, or all: the part of the watch that knows no types.
class ResourceWatch {
 public:
  ResourceWatch(const Environment& environment, net::kubernetes::Query query)
      : environment_(environment), query_(std::move(query)) {}

  /// Joins the watch if need be: for those who wait for several, so that their lists come at once.
  void join(net::kubernetes::Listener& listener);

  /// Joins the watch if need be, waits for the first list, and judges how fresh it is: fails `part`
  /// where the API server is not heard. False: there is nothing, or nothing that can still be
  /// believed, to publish.
  asio::awaitable<bool> judge(SampleSet& run, Part& part, net::kubernetes::Listener& listener);

  [[nodiscard]] const net::kubernetes::Query& query() const { return query_; }

 private:
  const Environment& environment_;
  net::kubernetes::Query query_;
  std::optional<net::kubernetes::Client::Subscription> subscription_;
};

/// Lets the loop do something else if the caller has kept it for a while.
class LoopYield {
 public:
  asio::awaitable<void> yield_if_due();

 private:
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

/// What is kept of an object. key() tells it from all others of its resource ("namespace/name");
/// equal objects are published alike. One of which checks may have something to say, now or later,
/// may tell so by suspect(): then they need not look at all others.
template <class Object>
concept Watchable = std::equality_comparable<Object> && requires(const Object& object) {
  { object.key() } -> std::convertible_to<std::string>;
};

template <Watchable Object>
class Watched final : public net::kubernetes::Listener {
 public:
  /// Reads what is kept of an object, given as the wire has it; nothing: it is of no interest.
  using Read = std::function<std::optional<Object>(std::string_view)>;

  Watched(const Environment& environment, net::kubernetes::Query query, Read read)
      : watch_(environment, std::move(query)), read_(std::move(read)) {}

  void join() { watch_.join(*this); }

  /// As ResourceWatch::judge.
  asio::awaitable<bool> judge(SampleSet& run, Part& part) { return watch_.judge(run, part, *this); }

  /// Attaches all objects to `part`; `render(Part&, const Object&)` makes their samples.
  template <class Render>
  asio::awaitable<void> publish(const SampleSet& run, Part& part, const Render& render) {
    if (labels_ != run.constant_labels()) {
      labels_ = run.constant_labels();
      for (Bucket& bucket : buckets_) bucket.changed = kAll;
    }
    LoopYield loop_yield;
    Part samples;
    Patchwork::Patch patch;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {  // there may be more after each pause
      Bucket& bucket = buckets_[i];
      const Places changed = std::exchange(bucket.changed, 0);
      if (changed == 0) continue;
      patch.clear();
      for (std::uint32_t place = 0; place < kBucket; ++place) {
        if ((changed & bit(place)) == 0) continue;
        samples.clear();
        const Slot& slot = (*bucket.slots)[place];
        if (slot.object) render(samples, *slot.object);
        patch.set(place, samples, labels_);
      }
      bucket.lines.apply(patch);
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

  /// As for_each, but those alone of which suspect() is true.
  template <class Do>
  void for_each_suspect(const Do& action) const {
    for (const Bucket& bucket : buckets_) {
      for (Places rest = bucket.suspects; rest != 0; rest &= rest - 1) {
        action(*(*bucket.slots)[static_cast<std::size_t>(std::countr_zero(rest))].object);
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return places_.size(); }
  [[nodiscard]] const Object* find(const std::string& key) const {
    const auto place = places_.find(key);
    return place == places_.end() ? nullptr : &*slot(place->second).object;
  }
  [[nodiscard]] const net::kubernetes::Query& query() const { return watch_.query(); }

  void list_started() override { ++list_; }

  void updated(std::string_view bytes) override {
    std::optional<Object> object = read_(bytes);
    if (!object) return;
    const auto [place, is_new] = places_.try_emplace(object->key(), 0);
    if (is_new) place->second = free_slot();
    const std::uint32_t index = place->second;
    Slot& kept = slot(index);
    kept.list = list_;
    if (kept.object == object) return;
    kept.object = std::move(object);
    Bucket& bucket = buckets_[index / kBucket];
    bucket.changed |= bit(index);
    if constexpr (requires { kept.object->suspect(); }) {
      bucket.suspects =
          kept.object->suspect() ? bucket.suspects | bit(index) : bucket.suspects & ~bit(index);
    }
  }

  void deleted(std::string_view bytes) override {
    const std::optional<Object> object = read_(bytes);
    if (!object) return;
    const auto place = places_.find(object->key());
    if (place == places_.end()) return;
    clear(place->second);
    places_.erase(place);
  }

  void list_ended() override {
    std::erase_if(places_, [&](const auto& place) {
      if (slot(place.second).list == list_) return false;
      clear(place.second);
      return true;
    });
  }

 private:
  static constexpr std::uint32_t kBucket = Patchwork::kPlaces;
  using Places = std::uint32_t;  // of a bucket, a bit each
  static constexpr Places kAll = (Places{1} << kBucket) - 1;
  static constexpr Places bit(std::uint32_t index) { return Places{1} << index % kBucket; }

  struct Slot {
    std::optional<Object> object;
    std::uint32_t list = 0;  // the last one that it was seen in or after
  };
  struct Bucket {
    std::unique_ptr<std::array<Slot, kBucket>> slots =
        std::make_unique<std::array<Slot, kBucket>>();
    Patchwork lines;
    Places changed = 0;
    Places suspects = 0;
  };

  Slot& slot(std::uint32_t index) { return (*buckets_[index / kBucket].slots)[index % kBucket]; }
  [[nodiscard]] const Slot& slot(std::uint32_t index) const {
    return (*buckets_[index / kBucket].slots)[index % kBucket];
  }

  std::uint32_t free_slot() {
    if (free_.empty()) {
      for (std::uint32_t i = kBucket; i > 0; --i) {  // the first of them last, to be taken first
        free_.push_back(static_cast<std::uint32_t>(buckets_.size()) * kBucket + i - 1);
      }
      buckets_.emplace_back();
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }

  void clear(std::uint32_t index) {
    slot(index).object.reset();
    free_.push_back(index);
    Bucket& bucket = buckets_[index / kBucket];
    bucket.changed |= bit(index);
    bucket.suspects &= ~bit(index);
  }

  ResourceWatch watch_;
  Read read_;
  std::string labels_;  // that the fragments carry
  std::vector<Bucket> buckets_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string, std::uint32_t> places_;
  std::uint32_t list_ = 0;
};

}  // namespace vitalsd::kubernetes
