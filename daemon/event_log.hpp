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
#include <string>
#include <string_view>

namespace vitalsd {

class EventLog {
 public:
  /// A probe that flaps replaces its own changes only. Together they need at most 8 MB, because a
  /// text of a target has at most 500 bytes.
  static constexpr std::size_t kMaxPerProbe = 50;
  static constexpr std::size_t kMaxTotal = 5'000;

  /// Adds a change. Removes the oldest one of the probe, or of all, if there are too many.
  void add(ProbeEvent event);
  /// Removes the changes of a probe.
  void remove(const std::string& probe);
  /// The changes of a probe, or of all if `probe` is empty, the newest first.
  [[nodiscard]] ProbeEvents events(std::string_view probe = {}) const;

 private:
  using List = std::list<std::shared_ptr<const ProbeEvent>>;

  mutable std::mutex mutex_;
  List all_;  // the oldest first
  std::map<std::string, std::deque<List::iterator>, std::less<>> of_probe_;
};

}  // namespace vitalsd
