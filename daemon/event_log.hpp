// The last changes of state of all probes, in memory. The probe loop writes it, the web thread
// reads it.
#pragma once

#include "exporter/web/events.hpp"

#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace vitalsd {

class EventLog {
 public:
  /// A probe that flaps replaces its own changes only. Together they need at most 8 MB, because a
  /// text of a target has at most 500 bytes.
  static constexpr std::size_t kMaxPerProbe = 50;
  static constexpr std::size_t kMaxTotal = 5'000;

  /// Adds a change. If the probe has too many, drops its oldest one. If all have too many, drops
  /// the oldest one of a probe that has the most, so that each probe keeps its last change; with
  /// more than kMaxTotal probes, the oldest one of all.
  void add(ProbeEvent event);
  /// Removes the changes of a probe.
  void remove(const std::string& probe);
  /// The changes of a probe, or of all if `probe` is empty, the newest first.
  [[nodiscard]] ProbeEvents events(std::string_view probe = {}) const;
  /// The number of changes of a probe that were dropped.
  [[nodiscard]] std::size_t dropped(std::string_view probe) const;

 private:
  using List = std::list<std::shared_ptr<const ProbeEvent>>;
  struct Own {
    std::deque<List::iterator> events;  // the oldest first
    std::size_t dropped = 0;
  };
  using OfProbe = std::map<std::string, Own, std::less<>>;

  template <class Change>
  void change(OfProbe::iterator probe, Change&& change);
  void drop_oldest(OfProbe::iterator probe);

  mutable std::mutex mutex_;
  List all_;  // the oldest first
  OfProbe of_probe_;
  std::set<std::pair<std::size_t, std::string_view>> by_size_;  // the names are keys of of_probe_
};

}  // namespace vitalsd
