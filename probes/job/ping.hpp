// The requests of a job: /start, nothing or /exit/0 for success, /fail and /exit/N. Pure.
#pragma once

#include "probes/receiver.hpp"

#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::job {

struct Ping {
  enum class Kind : unsigned char { start, success, failure };

  Kind kind = Kind::success;
  std::optional<int> exit_code{};  ///< of a run that has ended
  std::string run_id{};            ///< "rid" of the query; empty: none
};

/// Returns the ping, or the response to an invalid request.
std::expected<Ping, PushAnswer> parse_ping(std::string_view path, std::string_view query);

/// The body of a request as text for the status page: valid UTF-8 without control characters other
/// than newlines and tabs, at most 10,000 bytes, followed by a note if the text was cut.
std::string message_text(std::string_view body);

}  // namespace vitalsd::job
