// Paths in the configuration. The type says what the path refers to, so that the reference shows it
// and daemon/preflight can check it, for every option of the type.
#pragma once

#include "config/scalar.hpp"

#include <string>
#include <string_view>

namespace vitalsd::config {

inline constexpr std::string_view kFile = "file";
inline constexpr std::string_view kCertificateFile = "certificate file";
inline constexpr std::string_view kKeyFile = "private key file";
inline constexpr std::string_view kDirectory = "directory";
inline constexpr std::string_view kWritableDirectory = "writable directory";

template <const std::string_view& Name>
struct Path {
  std::string text;  ///< empty: not set
};

using File = Path<kFile>;
using CertificateFile = Path<kCertificateFile>;
using KeyFile = Path<kKeyFile>;
using Directory = Path<kDirectory>;
using WritableDirectory = Path<kWritableDirectory>;

template <const std::string_view& Name>
struct Scalar<Path<Name>> {
  static constexpr std::string_view kName = Name;
  static constexpr bool kPlain = false;
  static Parsed<Path<Name>> parse(std::string_view text) { return Path<Name>{std::string(text)}; }
  static std::string show(const Path<Name>& value) { return value.text; }
};

}  // namespace vitalsd::config
