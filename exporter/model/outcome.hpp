// How a run can end, as closed enumerations: labels have these values only. Standard library only.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace vitalsd {

/// Why a run failed.
enum class Reason : unsigned char {
  dns,         ///< the name did not resolve
  connect,     ///< no connection: refused, unreachable, reset while connecting
  tls,         ///< handshake or verification failed
  timeout,     ///< the deadline passed
  auth,        ///< the credentials were refused
  permission,  ///< authenticated, but a permission is missing
  protocol,    ///< the response violates the protocol: truncated, malformed, too large
  mismatch,    ///< a valid response, but not the expected one
  overload,    ///< the target, or vitalsd's thread pool, is full; readings stay published
  unready,     ///< the target responds, but is starting, loading or stopping
  config,      ///< the configuration is wrong, or a local file or secret cannot be read
  internal,    ///< vitalsd itself failed
};

constexpr std::array kReasons = {
    Reason::dns,      Reason::connect,    Reason::tls,      Reason::timeout,
    Reason::auth,     Reason::permission, Reason::protocol, Reason::mismatch,
    Reason::overload, Reason::unready,    Reason::config,   Reason::internal,
};

constexpr std::string_view reason_name(Reason reason) {
  switch (reason) {
    case Reason::dns:
      return "dns";
    case Reason::connect:
      return "connect";
    case Reason::tls:
      return "tls";
    case Reason::timeout:
      return "timeout";
    case Reason::auth:
      return "auth";
    case Reason::permission:
      return "permission";
    case Reason::protocol:
      return "protocol";
    case Reason::mismatch:
      return "mismatch";
    case Reason::overload:
      return "overload";
    case Reason::unready:
      return "unready";
    case Reason::config:
      return "config";
    case Reason::internal:
      return "internal";
  }
  return "";
}

/// The value of the up series after a run that failed for `reason`. A target that refuses access,
/// sends an unexpected response or is full is up. A target that does not respond or does not serve
/// yet is down. Returns nothing if the failure is local, because the state of the target is then
/// unknown.
constexpr std::optional<bool> is_up(Reason reason) {
  switch (reason) {
    case Reason::auth:
    case Reason::permission:
    case Reason::mismatch:
    case Reason::overload:
      return true;
    case Reason::config:
    case Reason::internal:
      return std::nullopt;
    default:
      return false;
  }
}

/// The outcome of a due time.
enum class Outcome : unsigned char {
  ok,
  failed,
  stuck,    ///< the previous run was cancelled and has not ended yet
  skipped,  ///< the previous run has not ended, or no slot was free in time
};

constexpr std::array kOutcomes = {Outcome::ok, Outcome::failed, Outcome::stuck, Outcome::skipped};

constexpr std::string_view outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::failed:
      return "failed";
    case Outcome::stuck:
      return "stuck";
    case Outcome::skipped:
      return "skipped";
  }
  return "";
}

}  // namespace vitalsd
