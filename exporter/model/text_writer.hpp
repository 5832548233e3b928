// Writes parts of a line into memory that is large enough. Used by the code that renders most
// lines, because std::string checks its capacity for each part. Standard library only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vitalsd {

/// The maximum number of bytes that write_number() writes.
inline constexpr std::size_t kMaxNumber = 32;

/// Each function returns the end of what it wrote.
inline char* write_text(char* at, std::string_view text) {
  return std::char_traits<char>::copy(at, text.data(), text.size()) + text.size();
}

/// Like append_number().
char* write_number(char* at, double value);

/// Like append_label_value(). Writes at most twice the size of `value`.
char* write_label_value(char* at, std::string_view value);

}  // namespace vitalsd
