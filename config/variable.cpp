#include "config/variable.hpp"

#include "config/characters.hpp"

#include <cstddef>

namespace vitalsd::config {

std::string_view find_variable(std::string_view text) {
  const auto is_part = [](char c) { return is_letter(c) || is_digit(c) || c == '_'; };
  for (std::size_t i = text.find('$'); i < text.size(); i = text.find('$', i + 1)) {
    const bool braces = text.substr(i + 1).starts_with('{');
    const std::size_t begin = i + (braces ? 2 : 1);
    std::size_t end = begin;
    bool is_upper = true;
    while (end < text.size() && is_part(text[end])) is_upper = !is_lower(text[end++]) && is_upper;
    if (end == begin || is_digit(text[begin])) continue;
    if (braces && end < text.size() && text[end] == '}') return text.substr(i, end + 1 - i);
    if (!braces && is_upper) return text.substr(i, end - i);
  }
  return {};
}

std::string_view without_userinfo(std::string_view url) {
  const std::size_t at = url.rfind('@');
  return at == std::string_view::npos ? url : url.substr(at + 1);
}

}  // namespace vitalsd::config
