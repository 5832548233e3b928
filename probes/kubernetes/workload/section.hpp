// One type of object of kind `workload`: its metrics, checks and watches. Each is a file that ends
// in a SectionKind, and a row in workload.cpp. Probe loop only.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::kubernetes {

class Section {
 public:
  Section() = default;
  virtual ~Section() = default;
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  /// Begins its watches, so that those of all sections bring their lists at once.
  virtual void join() = 0;
  /// Publishes each of its watches as a part, and its checks.
  virtual asio::awaitable<void> observe(SampleSet& out) = 0;
};

struct SectionKind {
  std::string_view name;  ///< as in `resources`, and as kubectl says it
  std::unique_ptr<Section> (*make)(const Environment& environment, const Scope& scope);
  std::span<const MetricInfo* const> metrics;
  std::span<const Check* const> checks;
  bool in_namespaces = true;
};

template <class S>
std::unique_ptr<Section> make_section(const Environment& environment, const Scope& scope) {
  return std::make_unique<S>(environment, scope);
}

inline constexpr double flag(bool value) { return value ? 1 : 0; }

/// A status as the label that kube-state-metrics gives it, and whether it is the one.
inline std::vector<std::pair<std::string_view, double>> statuses(const Condition& condition) {
  const std::string& status = condition.status.get();
  return {{"true", flag(status == "True")},
          {"false", flag(status == "False")},
          {"unknown", flag(status == "Unknown")}};
}

template <Watchable Object>
class WatchedSection : public Section {
 public:
  using Read = Watched<Object>::Read;

  WatchedSection(const Environment& environment, std::vector<net::kubernetes::Query> queries,
                 const Read& read) {
    for (net::kubernetes::Query& query : queries) {
      watches_.push_back({std::make_unique<Watched<Object>>(environment, std::move(query), read)});
    }
  }

  void join() override {
    for (const Watch& watch : watches_) watch.objects->join();
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    bool any_believed = false;
    for (Watch& watch : watches_) {
      Part& part = out.part(watch.objects->query().text());
      watch.believed = co_await watch.objects->judge(out, part);
      if (watch.believed) {
        co_await watch.objects->publish(
            out, part, [this](Part& samples, const Object& object) { add(samples, object); });
        any_believed = true;
      }
      part.complete();
    }
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    if (any_believed) check(out, now.count());
  }

 protected:
  /// The samples that an object has until it changes.
  virtual void add(Part& out, const Object& object) const = 0;
  /// What depends on other objects or the time: checks, and samples of the run.
  virtual void check(Part& out, double now) const = 0;

  template <class Do>
  void for_each(const Do& action) const {
    for (const Watch& watch : watches_) {
      if (watch.believed) watch.objects->for_each(action);
    }
  }

 private:
  struct Watch {
    std::unique_ptr<Watched<Object>> objects;
    bool believed = false;
  };
  std::vector<Watch> watches_;
};

/// Reads an object if it belongs to this process, by its uid.
template <class Object>
Watched<Object>::Read own(Object (*read)(std::string_view), const Shard& shard) {
  return [read, shard](std::string_view message) -> std::optional<Object> {
    Object object = read(message);
    if (!shard.owns(object.meta.uid)) return std::nullopt;
    return object;
  };
}

extern const SectionKind deployments;
extern const SectionKind stateful_sets;
extern const SectionKind daemon_sets;
extern const SectionKind jobs;
extern const SectionKind cron_jobs;
extern const SectionKind autoscalers;
extern const SectionKind quotas;
extern const SectionKind volumes;
extern const SectionKind claims;

}  // namespace vitalsd::kubernetes
