// The URL of a server that may listen on a Unix socket instead of a host and a port.
#pragma once

#include "config/scalar.hpp"

#include <string>
#include <string_view>

namespace vitalsd::config {

/// A Url whose host may also be empty, or the percent-encoded path of a directory, which is decoded
/// (postgresql://%2Frun%2Fpostgresql/app).
struct SocketUrl : Url {};

template <>
struct Scalar<SocketUrl> {
  static constexpr std::string_view kName = Scalar<Url>::kName;
  static constexpr bool kPlain = false;
  static Parsed<SocketUrl> parse(std::string_view text);
  static std::string show(const SocketUrl& value) { return value.text(); }
};

}  // namespace vitalsd::config
