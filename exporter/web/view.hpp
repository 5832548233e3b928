// What the status page and its JSON show of one probe, as plain values: the daemon fills them, the
// web module knows nothing else of probes.
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
  std::string object;     ///< which of several, may be empty
  std::string reading;    ///< "42%", "3d 4h"
  std::string threshold;  ///< the one that matters: "warn above 80%"; empty: none
  Status status = Status::ok;
};

struct ProbeView {
  using Time = std::chrono::system_clock::time_point;
  enum class State : unsigned char { pending, ok, failed, stuck };

  std::string name;
  std::string_view kind;  ///< of a static string, as reason
  std::string target;
  std::chrono::milliseconds interval{};
  State state = State::pending;
  std::string_view reason;  ///< of the last failure while it lasts
  std::string detail;
  std::optional<Time> last_run;      ///< when the last run ended
  std::optional<Time> last_success;  ///< the last run that succeeded
  std::optional<Time> since;         ///< when the state was entered
  double duration_seconds = 0;       ///< of the last run
  std::vector<CheckView> checks;
  /// The last runs, two bits each, the newest lowest: 0 none, 1 ok, 2 failed, 3 stuck or skipped.
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
