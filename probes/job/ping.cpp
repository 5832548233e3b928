#include "probes/job/ping.hpp"

#include "config/problems.hpp"
#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>
#include <utility>

namespace vitalsd::job {

namespace {

constexpr std::size_t kMaxRunId = 64;
constexpr std::size_t kMaxMessage = 10'000;

std::unexpected<PushAnswer> refuse(int status, std::string text) {
  return std::unexpected(PushAnswer{status, std::move(text) + '\n'});
}

bool is_run_id(std::string_view text) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxRunId && std::ranges::all_of(text, is_allowed);
}

std::optional<int> to_exit_code(std::string_view text) {
  constexpr int kMax = 255;
  constexpr std::size_t kMaxDigits = 3;
  int code = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (code < 0 || code > kMax || text.size() > kMaxDigits) return std::nullopt;
  return code;
}

}  // namespace

std::expected<Ping, PushAnswer> parse_ping(std::string_view path, std::string_view query) {
  Ping ping;
  constexpr std::string_view kExit = "/exit/";
  if (path.empty() || path == "/") {
    ping.exit_code = 0;
  } else if (path == "/start") {
    ping.kind = Ping::Kind::start;
  } else if (path == "/fail") {
    ping.kind = Ping::Kind::failure;
  } else if (path.starts_with(kExit)) {
    ping.exit_code = to_exit_code(path.substr(kExit.size()));
    if (!ping.exit_code) return refuse(400, "The exit code must be a number from 0 to 255.");
    if (*ping.exit_code != 0) ping.kind = Ping::Kind::failure;
  } else {
    return refuse(404, "Unknown path. Valid paths below the job: /start, /fail and /exit/CODE.");
  }
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(item.size() + 1, query.size()));
    if (item.empty()) continue;
    constexpr std::string_view kRunId = "rid=";
    if (!item.starts_with(kRunId)) {
      return refuse(400, "Unknown parameter " + config::quoted(item.substr(0, item.find('='))) +
                             ". The only valid parameter is rid.");
    }
    ping.run_id = item.substr(kRunId.size());
    if (!is_run_id(ping.run_id)) {
      return refuse(400, "rid must have 1 to 64 letters, digits and characters of '._:-'.");
    }
  }
  return ping;
}

std::string message_text(std::string_view body) {
  while (body.ends_with('\n') || body.ends_with('\r')) body.remove_suffix(1);
  return shown_lines(body, kMaxMessage);
}

}  // namespace vitalsd::job
