// How a run of a probe can end, as closed enumerations: only these become labels. Standard library
// only.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace vitalsd {

/// Why a run failed.
enum class Reason : unsigned char {
  dns,         ///< the name did not resolve
  connect,     ///< no connection: refused, unreachable, reset while it was made
  tls,         ///< handshake or verification failed
  timeout,     ///< the deadline passed
  auth,        ///< credentials refused
  permission,  ///< logged in, but not allowed to look
  protocol,    ///< the answer was not of the protocol: truncated, malformed, too large
  mismatch,    ///< an answer, but not the expected one
  overload,    ///< the target is full (or our own threads are); the last readings stay
  unready,     ///< the target lives, but is starting, loading or stopping
  config,      ///< it cannot work as configured, or a file or secret of ours cannot be read
  internal,    ///< a fault of vitalsd
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

/// What the up series says after a run that failed for `reason`: a target that refuses us, answers
/// something else or is full lives; one that does not answer or does not serve yet is down. Nothing
/// is known after a fault of our own side.
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

/// What a due time came to.
enum class Outcome : unsigned char {
  ok,
  failed,
  stuck,    ///< the run before was cancelled and has still not ended
  skipped,  ///< the run before still goes on, or no slot was free in time
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
