// The objects of one resource as a probe keeps them: fed by the Kubernetes client's watch, and
// published in small buckets, of which only those that an event has touched are rendered anew. So
// the cost of a run follows change and not size. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/kubernetes/client.hpp"
#include "probes/probe.hpp"

#include <array>
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
class Following {
 public:
  Following(const Environment& environment, net::kubernetes::Query query)
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
  std::optional<net::kubernetes::Client::Following> following_;
};

/// Lets the loop do something else if the caller has kept it for a while.
class Courtesy {
 public:
  asio::awaitable<void> pause();

 private:
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

/// What is kept of an object. key() tells it from all others of its resource ("namespace/name");
/// equal objects are published alike.
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
      : following_(environment, std::move(query)), read_(std::move(read)) {}

  void join() { following_.join(*this); }

  /// As Following::judge.
  asio::awaitable<bool> judge(SampleSet& run, Part& part) {
    return following_.judge(run, part, *this);
  }

  /// Attaches all objects to `part`; `render(Part&, const Object&)` makes their samples.
  template <class Render>
  asio::awaitable<void> publish(const SampleSet& run, Part& part, const Render& render) {
    if (labels_ != run.constant_labels()) {
      labels_ = run.constant_labels();
      for (Bucket& bucket : buckets_) bucket.dirty = true;
    }
    Courtesy courtesy;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {  // there may be more after each pause
      if (!std::exchange(buckets_[i].dirty, false)) continue;
      buckets_[i].fragment = rendered(i, render);
      co_await courtesy.pause();
    }
    for (const Bucket& bucket : buckets_) part.attach(bucket.fragment);
  }

  template <class Do>
  void for_each(const Do& action) const {
    for (const Bucket& bucket : buckets_) {
      for (const Slot& slot : *bucket.slots) {
        if (slot.object) action(*slot.object);
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return places_.size(); }
  [[nodiscard]] const Object* find(const std::string& key) const {
    const auto place = places_.find(key);
    return place == places_.end() ? nullptr : &*slot(place->second).object;
  }
  [[nodiscard]] const net::kubernetes::Query& query() const { return following_.query(); }

  void list_begins() override { ++list_; }

  void seen(std::string_view bytes) override {
    std::optional<Object> object = read_(bytes);
    if (!object) return;
    const auto [place, is_new] = places_.try_emplace(object->key(), 0);
    if (is_new) place->second = free_slot();
    Slot& kept = slot(place->second);
    kept.list = list_;
    if (kept.object == object) return;
    kept.object = std::move(object);
    touch(place->second);
  }

  void gone(std::string_view bytes) override {
    const std::optional<Object> object = read_(bytes);
    if (!object) return;
    const auto place = places_.find(object->key());
    if (place == places_.end()) return;
    clear(place->second);
    places_.erase(place);
  }

  void list_ends() override {
    std::erase_if(places_, [&](const auto& place) {
      if (slot(place.second).list == list_) return false;
      clear(place.second);
      return true;
    });
  }

 private:
  // Enough to make a bucket's lines worth a slab of their own, few enough to be rendered anew for
  // one event.
  static constexpr std::uint32_t kBucket = 8;

  struct Slot {
    std::optional<Object> object;
    std::uint32_t list = 0;  // the last one that it was seen in or after
  };
  struct Bucket {
    std::unique_ptr<std::array<Slot, kBucket>> slots =
        std::make_unique<std::array<Slot, kBucket>>();
    Fragment fragment;
    bool dirty = true;
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

  void touch(std::uint32_t index) { buckets_[index / kBucket].dirty = true; }

  void clear(std::uint32_t index) {
    slot(index).object.reset();
    free_.push_back(index);
    touch(index);
  }

  template <class Render>
  Fragment rendered(std::size_t bucket, const Render& render) const {
    Part part;
    for (const Slot& slot : *buckets_[bucket].slots) {
      if (slot.object) render(part, *slot.object);
    }
    auto rendering = std::make_shared<Rendering>();
    std::size_t duplicates = 0;
    part.render(*rendering, labels_, duplicates);
    if (rendering->families.empty()) return nullptr;
    rendering->text.shrink_to_fit();  // kept for long
    return rendering;
  }

  Following following_;
  Read read_;
  std::string labels_;  // that the fragments carry
  std::vector<Bucket> buckets_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string, std::uint32_t> places_;
  std::uint32_t list_ = 0;
};

}  // namespace vitalsd::kubernetes
