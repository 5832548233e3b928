// One resource of kind `workload`: its metrics, checks and watches. Each resource has a file that
// defines a SectionKind, and a row in workload.cpp. Probe loop only.
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
#include <string>
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

  /// Joins all watches without waiting, so that the lists of all sections are loaded at the same
  /// time.
  virtual void join() = 0;
  /// Publishes each watch as a part of `out`, and the checks on `out` itself.
  virtual asio::awaitable<void> observe(SampleSet& out) = 0;
  /// Adds the objects of each fresh watch to `selection`, and the watches that are not fresh as
  /// unobserved: a namespace may have only objects of one resource.
  virtual void count(Selection& selection) const = 0;
};

struct SectionKind {
  std::string_view name;  ///< value of the option `resources`; the plural that kubectl uses
  std::unique_ptr<Section> (*make)(const Environment& environment, const Scope& scope);
  std::span<const MetricInfo* const> metrics;
  std::span<const Check* const> checks;
  std::string_view group;  ///< of the API
  bool is_namespaced = true;
};

template <class S>
std::unique_ptr<Section> make_section(const Environment& environment, const Scope& scope) {
  return std::make_unique<S>(environment, scope);
}

/// Calls `put(value, status)` for each status of a condition. `status` has the spelling that
/// kube-state-metrics uses in a label.
template <class Put>
void put_statuses(const Condition& condition, const Put& put) {
  const std::string& status = condition.status.get();
  put(status == "True", "true");
  put(status == "False", "false");
  put(status == "Unknown", "unknown");
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
    bool any_fresh = false;
    for (Watch& watch : watches_) {
      Part& part = out.part(watch.objects->query().text());
      watch.is_fresh = co_await watch.objects->judge(out, part);
      watch.stale_runs = watch.is_fresh ? 0 : watch.stale_runs + 1;
      if (watch.is_fresh) {
        co_await watch.objects->publish(
            out, part, [this](Part& samples, const Object& object) { add(samples, object); });
        any_fresh = true;
      }
      part.complete();
    }
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    if (!any_fresh) co_return;
    co_await prepare_check(out);
    check(out, now.count());
  }

  void count(Selection& selection) const override {
    for (const Watch& watch : watches_) {
      if (watch.is_fresh) {
        watch.objects->count(selection);
      } else {
        selection.add_unobserved(watch.objects->query(), watch.stale_runs);
      }
    }
  }

 protected:
  /// Adds the samples of one object. They stay published until the object changes.
  virtual void add(Part& out, const Object& object) const = 0;
  /// Reads what check() needs in addition to the objects.
  virtual asio::awaitable<void> prepare_check(SampleSet& /*out*/) { co_return; }
  /// Adds what depends on other objects or on the time: checks, and samples that change without an
  /// event. Called in each run that has fresh objects. `now`: Unix seconds.
  virtual void check(Part& out, double now) const = 0;

  /// Whether the server has the preferred version of the resource. All watches have one server.
  [[nodiscard]] bool is_preferred_version() const {
    const Watched<Object>& objects = *watches_.front().objects;
    return objects.version() == objects.query().resource.version;
  }

  /// Visits the objects of all fresh watches.
  template <class Do>
  void for_each(const Do& action) const {
    for (const Watch& watch : watches_) {
      if (watch.is_fresh) watch.objects->for_each(action);
    }
  }

 private:
  struct Watch {
    std::unique_ptr<Watched<Object>> objects;
    bool is_fresh = false;       // according to the last judge()
    std::size_t stale_runs = 0;  // since the objects were last fresh
  };
  std::vector<Watch> watches_;
};

/// Returns a reader that skips objects of other shards, by their UID.
template <class Object>
Watched<Object>::Read read_own(Object (*read)(std::string_view), const Shard& shard) {
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
