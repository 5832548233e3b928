#include "probes/page/sample_line.hpp"

#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <system_error>
#include <utility>

namespace vitalsd::page {
namespace {

enum Class : unsigned char { kNone = 0, kLabelStart = 1, kLabel = 2, kNameStart = 4, kName = 8 };

constexpr std::array<unsigned char, 256> kClasses = [] {
  std::array<unsigned char, 256> table{};
  const auto set = [&](char first, char last, unsigned classes) {
    for (int c = first; c <= last; ++c) table[static_cast<std::size_t>(c)] |= classes;
  };
  constexpr unsigned kStart = kLabelStart | kLabel | kNameStart | kName;
  set('a', 'z', kStart);
  set('A', 'Z', kStart);
  set('_', '_', kStart);
  set('0', '9', kLabel | kName);
  set(':', ':', kNameStart | kName);
  return table;
}();

bool is(char c, unsigned classes) {
  return (kClasses[static_cast<unsigned char>(c)] & classes) != 0;
}

// Takes an unquoted name from the front of `text`. Empty if there is none.
std::string_view take_name(std::string_view& text, Class start, Class part) {
  if (text.empty() || !is(text.front(), start)) return {};
  std::size_t size = 1;
  while (size < text.size() && is(text[size], part)) ++size;
  const std::string_view name = text.substr(0, size);
  text.remove_prefix(size);
  return name;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// `name` without its escapes and with '_' for each character that is not valid without quotes.
// Empty if it is empty.
std::string escape_name(std::string_view name, Class start, Class part) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    if (c == '\\' && i + 1 < name.size()) c = name[++i];
    const bool continues = (static_cast<unsigned char>(c) & 0xc0U) == 0x80;  // of one character
    if (is(c, part) && (!out.empty() || is(c, start))) {
      out += c;
    } else if (out.empty() && is(c, part)) {  // a digit
      out += '_';
      out += c;
    } else if (!continues) {
      out += '_';
    }
  }
  return out;
}

// Whether the text is ASCII without NUL. Without an early exit, so that the compiler vectorizes it.
bool is_plain(std::string_view text) {
  unsigned other = 0;
  for (const char c : text) {
    other |= static_cast<unsigned>(c == 0) | static_cast<unsigned>((c & 0x80) != 0);
  }
  return other == 0;
}

}  // namespace

bool is_number(std::string_view text) {
  constexpr std::size_t kMaxDigits = 300;  // Prometheus rejects the page if a number overflows
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const std::string_view number = text;
  const auto take_digits = [&] {
    std::size_t size = 0;
    while (size < text.size() && text[size] >= '0' && text[size] <= '9') ++size;
    text.remove_prefix(size);
    return size;
  };
  std::size_t digits = take_digits();
  if (digits > kMaxDigits) return false;
  if (digits > 0 && text.empty()) return true;  // almost all
  if (digits == 0 && !text.starts_with('.')) {
    std::array<char, 8> word{};
    if (text.empty() || text.size() > word.size()) return false;
    std::ranges::transform(text, word.begin(), [](unsigned char c) { return std::tolower(c); });
    const std::string_view lower(word.data(), text.size());
    return lower == "nan" || lower == "inf" || lower == "infinity";
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    digits += take_digits();
  }
  if (digits == 0) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    const bool is_small = text.starts_with('-');
    if (is_small || text.starts_with('+')) text.remove_prefix(1);
    if (take_digits() == 0) return false;
    double value = 0;
    const auto result = std::from_chars(number.data(), number.data() + number.size(), value);
    if (result.ec == std::errc::result_out_of_range && !is_small) return false;
  }
  return text.empty();
}

std::string take_metric_name(std::string_view& text) {
  if (!text.starts_with('"')) return std::string(take_name(text, kNameStart, kName));
  for (std::size_t end = 1; end < text.size(); ++end) {
    if (text[end] == '\\') {
      ++end;
    } else if (text[end] == '"') {
      std::string name = escape_name(text.substr(1, end - 1), kNameStart, kName);
      text.remove_prefix(end + 1);
      return name;
    }
  }
  return {};
}

std::string unescape_help(std::string_view text, bool openmetrics) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      const char c = text[++i];
      if (c != 'n' && c != '\\' && !(c == '"' && openmetrics)) out += '\\';
      out += c == 'n' ? '\n' : c;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Whether there were blanks.
bool SampleLine::skip_blanks() {
  std::size_t size = 0;
  while (size < rest_.size() && is_blank(rest_[size])) ++size;
  rest_.remove_prefix(size);
  return size > 0;
}

std::string_view SampleLine::take_word() {
  std::size_t size = 0;
  while (size < rest_.size() && !is_blank(rest_[size])) ++size;
  const std::string_view word = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return word;
}

bool SampleLine::parse(std::string_view line) {
  labels_.clear();
  if (!texts_.empty()) texts_.clear();
  label_text_ = {};
  verbatim_ = true;
  rest_ = line;
  if (!is_plain(line) && !is_printable_utf8(line)) return false;
  skip_blanks();
  name_ = take_name(rest_, kNameStart, kName);
  skip_blanks();
  if (rest_.starts_with('{')) {
    if (!parse_labels()) return false;
  }
  return !name_.empty() && parse_end();
}

bool SampleLine::parse_labels() {
  rest_.remove_prefix(1);
  const char* const begin = rest_.data();
  const char* end = begin;  // of the last label
  for (;;) {
    if (skip_blanks()) verbatim_ = false;
    if (rest_.empty()) return false;
    if (rest_.front() == '}') break;
    if (!parse_label()) return false;
    end = rest_.data();
    if (skip_blanks()) verbatim_ = false;
    if (rest_.starts_with(',')) {
      rest_.remove_prefix(1);
    } else if (!rest_.starts_with('}')) {
      return false;
    }
  }
  rest_.remove_prefix(1);
  if (verbatim_) label_text_ = {begin, static_cast<std::size_t>(end - begin)};
  return true;
}

// A label, or the quoted name of the metric.
bool SampleLine::parse_label() {
  std::string_view name;
  if (rest_.front() == '"') {
    verbatim_ = false;
    if (!parse_quoted(name)) return false;
    if (skip_blanks(); !rest_.starts_with('=')) {
      if (!name_.empty()) return false;
      name_ = keep(escape_name(name, kNameStart, kName));
      return !name_.empty();
    }
    name = keep(escape_name(name, kLabelStart, kLabel));
  } else {
    name = take_name(rest_, kLabelStart, kLabel);
    if (skip_blanks()) verbatim_ = false;
  }
  if (name.empty() || !rest_.starts_with('=')) return false;
  rest_.remove_prefix(1);
  if (skip_blanks()) verbatim_ = false;
  if (!rest_.starts_with('"') || labels_.size() == kMaxLabels) return false;
  std::string_view value;
  if (!parse_quoted(value)) return false;
  if (value.empty()) {
    verbatim_ = false;
  } else {
    labels_.push_back({name, value});
  }
  return true;
}

// A quoted text. An unknown escape means the backslash itself.
bool SampleLine::parse_quoted(std::string_view& text) {
  rest_.remove_prefix(1);
  std::size_t end = rest_.find('"');
  if (end == std::string_view::npos) return false;
  text = rest_.substr(0, end);
  if (!text.contains('\\')) {
    rest_.remove_prefix(end + 1);
    return true;
  }
  std::string valid;
  bool has_unknown = false;
  for (end = 0; end < rest_.size() && rest_[end] != '"'; ++end) {
    const char c = rest_[end];
    if (c == '\\') {
      if (end + 1 == rest_.size()) return false;
      const char escaped = rest_[end + 1];
      const bool is_known = escaped == '\\' || escaped == '"' || escaped == 'n';
      has_unknown = has_unknown || !is_known;
      valid += is_known ? "\\" : "\\\\";
      valid += escaped;
      ++end;
    } else {
      valid += c;
    }
  }
  if (end >= rest_.size()) return false;
  text = rest_.substr(0, end);
  if (has_unknown) {
    verbatim_ = false;
    text = keep(std::move(valid));
  }
  rest_.remove_prefix(end + 1);
  return true;
}

// Value, timestamp and exemplar.
bool SampleLine::parse_end() {
  skip_blanks();
  value_ = take_word();
  if (!is_number(value_)) return false;
  skip_blanks();
  has_timestamp_ = !rest_.empty() && rest_.front() != '#';
  if (!has_timestamp_) return true;
  if (!is_number(take_word())) return false;
  skip_blanks();
  return rest_.empty() || rest_.front() == '#';
}

}  // namespace vitalsd::page
