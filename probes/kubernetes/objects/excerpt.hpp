// Untrusted text in error messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

/// The beginning of the text, at most 64 bytes, in double quotes.
inline std::string excerpt(std::string_view text) {
  constexpr std::size_t kMax = 64;
  return '"' + std::string(text.substr(0, kMax)) + (text.size() > kMax ? "…\"" : "\"");
}

}  // namespace vitalsd::kubernetes
