// The state of one probe for the status page and its JSON, as plain values. The daemon fills them
// in; the web module has no other access to probes.
#pragma once

#include "exporter/model/check.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

struct CheckView {
  std::string name;
  std::string object;   ///< the object, if the check has several; may be empty
  std::string reading;  ///< "42%", "3d 4h"
  /// The threshold that determines the status: "warn above 80%"; may be empty.
  std::string threshold;
  Status status = Status::ok;
};

struct ProbeView {
  using Time = std::chrono::system_clock::time_point;
  enum class State : unsigned char { pending, ok, failed, stuck };

  std::string name;
  std::string_view kind;  ///< a static string, like `reason`
  std::string target;
  std::chrono::milliseconds interval{};
  State state = State::pending;
  std::string_view reason;  ///< of the current failure; empty if the last run succeeded
  std::string detail;
  std::optional<Time> last_run;      ///< the end of the last run
  std::optional<Time> last_success;  ///< the end of the last successful run
  std::optional<Time> since;         ///< the start of the current state
  double duration_seconds = 0;       ///< of the last run
  std::string message;               ///< of the target, of one or several lines; may be empty
  std::vector<CheckView> checks;
  /// The last runs, two bits each, the newest in the lowest bits: 0 none, 1 ok, 2 failed, 3 stuck
  /// or skipped.
  std::uint64_t history = 0;
  static constexpr int kHistory = 32;
};

constexpr std::string_view state_name(ProbeView::State state) {
  switch (state) {
    case ProbeView::State::pending:
      return "pending";
    case ProbeView::State::ok:
      return "ok";
    case ProbeView::State::failed:
      return "failed";
    case ProbeView::State::stuck:
      return "stuck";
  }
  return "";
}

}  // namespace vitalsd
