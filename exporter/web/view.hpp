// The state of one probe for the status page and its JSON, as plain values. The daemon fills them
// in; the web module has no other access to probes.
#pragma once

#include "exporter/model/check.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

struct CheckView {
  std::string name;
  std::string object;   ///< the object, if the check has several; may be empty
  std::string reading;  ///< "42%", "3d 4h"
  /// The threshold that determines the status: "warn above 80%"; may be empty.
  std::string threshold;
  Status status = Status::ok;
  double value = 0;  ///< the reading in `unit`
  Unit unit = Unit::none;
  std::optional<double> limit{};  ///< the threshold in `unit`
  Worse worse = Worse::above;
  Status limit_status = Status::warning;  ///< of a reading beyond `limit`
};

struct ProbeView {
  using Time = std::chrono::system_clock::time_point;
  /// What is known from the runs of the probe. `pending`: nothing yet. `stale`: nothing any more,
  /// because no run has ended for too long. verdict() combines it with the checks.
  enum class State : unsigned char { pending, ok, failed, stuck, stale };

  std::string name;
  std::string_view kind;  ///< a static string, like `reason`
  std::string target;
  std::vector<std::pair<std::string, std::string>> labels;  ///< from the configuration
  /// The configured options as text, without secrets; null if they are not known.
  std::shared_ptr<const std::vector<std::pair<std::string, std::string>>> options{};
  std::chrono::milliseconds interval{};
  std::chrono::milliseconds timeout{};
  State state = State::pending;
  std::string_view reason;  ///< of the failure, or why nothing is known; empty if the run succeeded
  std::string detail;
  std::optional<Time> last_run;      ///< the end of the last run
  std::optional<Time> last_success;  ///< the end of the last successful run
  std::optional<Time> since;         ///< the start of the current verdict
  std::optional<Time> down_since;    ///< since when no run has succeeded; none if the last one did
  std::optional<Time> next_run;      ///< the next due time
  double duration_seconds = 0;       ///< of the last run
  std::string message;               ///< of the target, of one or several lines; may be empty
  std::vector<CheckView> checks;
  /// The last runs, two bits each, the newest in the lowest bits: 0 none, 1 ok, 2 failed, 3 stuck
  /// or skipped.
  std::uint64_t history = 0;
  static constexpr int kHistory = 32;
};

}  // namespace vitalsd
