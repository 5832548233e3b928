// Parses the text of one YAML scalar into a value, strictly: decimal numbers, durations and sizes
// with units. A module that has its own type of value specialises Scalar<T>.
#pragma once

#include "config/endpoint.hpp"
#include "config/problems.hpp"
#include "config/url.hpp"

#include <chrono>
#include <concepts>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace vitalsd::config {

using Duration = std::chrono::milliseconds;

struct Bytes {
  std::uint64_t value = 0;
  auto operator<=>(const Bytes&) const = default;
};

/// Between 0 and 1. The configuration writes it as 80% or 0.8.
struct Ratio {
  double value = 0;
  auto operator<=>(const Ratio&) const = default;
};

/// A value, or an error message: why the text is invalid and what it must be.
template <class T>
using Parsed = std::expected<T, std::string>;

/// kName is the type's name in messages and in the reference. parse() converts text to a value,
/// show() converts a value to text in the form of the configuration. If kPlain is true, a quoted
/// scalar is an error.
template <class T>
struct Scalar;

template <class T>
concept Readable = requires(std::string_view text, const T& value) {
  { Scalar<T>::parse(text) } -> std::same_as<Parsed<T>>;
  { Scalar<T>::show(value) } -> std::convertible_to<std::string>;
  { Scalar<T>::kName } -> std::convertible_to<std::string_view>;
  { Scalar<T>::kPlain } -> std::convertible_to<bool>;
};

// One row per type: C++ type, kName, kPlain.
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

}  // namespace vitalsd::config
