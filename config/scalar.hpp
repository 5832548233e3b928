// Text of one YAML scalar -> a value, strictly: decimal numbers, durations and sizes with units.
// Scalar<T> is the extension point: a module that needs a type of its own specialises it.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::config {

using Duration = std::chrono::milliseconds;

struct Bytes {
  std::uint64_t value = 0;
  auto operator<=>(const Bytes&) const = default;
};

/// 0 to 1; written 80% or 0.8.
struct Ratio {
  double value = 0;
  auto operator<=>(const Ratio&) const = default;
};

/// A host (name or address, without brackets) and a port.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  /// "host:port", IPv6 addresses in brackets.
  [[nodiscard]] std::string text() const;
  bool operator==(const Endpoint&) const = default;
};

/// Whether `text` is an IPv4 address or an IPv6 address without brackets.
bool is_address(std::string_view text);

/// An absolute URL in its parts, percent-encoding removed from user, password and host.
struct Url {
  std::string scheme;
  std::string user;
  std::string password;  ///< a secret: whoever reads a Url moves it into a Secret at once
  std::string host;
  std::uint16_t port = 0;  ///< 0: not given
  std::string path;        ///< still encoded, "" or "/..."
  std::string query;       ///< still encoded, without '?'
  /// The URL without user, password and fragment.
  [[nodiscard]] std::string text() const;
};

/// A part of a Url without its percent-encoding.
std::string percent_decoded(std::string_view part);

/// `reference` (a Location header: absolute or relative) seen from `base`; nothing if it is no URL
/// of http or https with a host.
std::optional<Url> resolve_url(const Url& base, std::string_view reference);

/// What a parser says: a value, or what is wrong with the text and how to write it.
template <class T>
using Parsed = std::expected<T, std::string>;

/// kName is what the type is called in messages and in the reference; parse() takes the text,
/// show() gives it back as one would write it; kPlain: a quoted scalar is refused.
template <class T>
struct Scalar;

template <class T>
concept Readable = requires(std::string_view text, const T& value) {
  { Scalar<T>::parse(text) } -> std::same_as<Parsed<T>>;
  { Scalar<T>::show(value) } -> std::convertible_to<std::string>;
  { Scalar<T>::kName } -> std::convertible_to<std::string_view>;
  { Scalar<T>::kPlain } -> std::convertible_to<bool>;
};

// One row a type: its name, and whether quotes around it are a mistake.
#define VITALSD_SCALAR(Type, name, plain)             \
  template <>                                         \
  struct Scalar<Type> {                               \
    static constexpr std::string_view kName = name;   \
    static constexpr bool kPlain = plain;             \
    static Parsed<Type> parse(std::string_view text); \
    static std::string show(const Type& value);       \
  }

VITALSD_SCALAR(std::string, "text", false);
VITALSD_SCALAR(bool, "true or false", true);
VITALSD_SCALAR(std::int64_t, "whole number", true);
VITALSD_SCALAR(double, "number", true);
VITALSD_SCALAR(Duration, "duration", false);
VITALSD_SCALAR(Bytes, "size", false);
VITALSD_SCALAR(Ratio, "ratio", false);
VITALSD_SCALAR(Endpoint, "host:port", false);
VITALSD_SCALAR(Url, "URL", false);

#undef VITALSD_SCALAR

/// Text in quotes for a message: without credentials, control characters escaped, the end of long
/// text cut off.
std::string quoted(std::string_view text);

}  // namespace vitalsd::config
