#include "probes/page/sample_line.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/page/series_set.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstring>
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

// Returns the end of a sequence of characters of class `part`.
const char* end_of_part(const char* at, const char* end, Class part) {
  while (at != end && is(*at, part)) ++at;
  return at;
}

// Returns the end of an unquoted name; `at` if there is none.
const char* end_of_name(const char* at, const char* end, Class start, Class part) {
  return at == end || !is(*at, start) ? at : end_of_part(at + 1, end, part);
}

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

const char* skip_blanks(const char* at, const char* end) {
  while (at != end && is_blank(*at)) ++at;
  return at;
}

// `name` without its escapes and with '_' for each character that is not valid without quotes.
// Empty if it is empty.
std::string escape_name(std::string_view name, Class start, Class part) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    if (c == '\\' && i + 1 < name.size()) c = name[++i];
    // A UTF-8 continuation byte: any byte of a sequence except the first.
    const bool continues = (static_cast<unsigned char>(c) & 0xc0U) == 0x80;
    if (is(c, part) && (!out.empty() || is(c, start))) {
      out += c;
    } else if (out.empty() && is(c, part)) {  // a digit at the start of the name
      out += '_';
      out += c;
    } else if (!continues) {
      out += '_';
    }
  }
  return out;
}

// The properties of a text.
struct Content {
  bool is_plain = true;      // ASCII without NUL
  bool has_escapes = false;  // a backslash
};

// A block of bytes, on which the compiler's operators work in parallel.
constexpr std::size_t kBlock = 16;
using Block [[gnu::vector_size(kBlock)]] = unsigned char;

bool has_high_bit(const Block& bytes) {
  std::array<std::uint64_t, 2> words{};
  std::memcpy(words.data(), &bytes, kBlock);
  return ((words[0] | words[1]) & 0x8080808080808080U) != 0;
}

Content content_of(std::string_view text) {
  Block bytes = Block{} + 'x';
  Block other{};  // the highest bit is set for bytes that are not plain
  Block backslash{};
  const auto add = [&] {
    other |= bytes | reinterpret_cast<Block>(bytes == 0);
    backslash |= reinterpret_cast<Block>(bytes == '\\');
  };
  std::size_t at = 0;
  for (; at + kBlock <= text.size(); at += kBlock) {
    std::memcpy(&bytes, text.data() + at, kBlock);
    add();
  }
  if (at > 0) {  // the last block overlaps the one before
    std::memcpy(&bytes, text.data() + text.size() - kBlock, kBlock);
  } else {
    std::memcpy(&bytes, text.data(), text.size());
  }
  add();
  return {.is_plain = !has_high_bit(other), .has_escapes = has_high_bit(backslash)};
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
  if (digits > 0 && text.empty()) return true;  // true for almost all values
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
  if (!text.starts_with('"')) {
    const char* const begin = text.data();
    const std::string_view name =
        between(begin, end_of_name(begin, begin + text.size(), kNameStart, kName));
    text.remove_prefix(name.size());
    return std::string(name);
  }
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

bool SampleLine::parse(std::string_view line, bool follows) {
  // Labels of the previous line that cannot be copied are parsed again.
  known_ = follows && !label_text_.empty() ? size_ : 0;
  const std::string_view known_name = known_ > 0 ? name_ : std::string_view();
  size_ = 0;
  label_text_ = {};
  names_ = {};
  may_repeat_name_ = false;
  verbatim_ = true;
  if (!texts_.empty()) texts_.clear();
  const Content content = content_of(line);
  if (!content.is_plain && !is_printable_utf8(line)) return false;
  has_escapes_ = content.has_escapes;
  const char* at = line.data();
  const char* const end = at + line.size();
  at = skip_blanks(at, end);
  const char* const begin = at;
  at = !known_name.empty() && between(at, end).starts_with(known_name)
           ? end_of_part(at + known_name.size(), end, kName)
           : end_of_name(at, end, kNameStart, kName);
  name_ = between(begin, at);
  at = skip_blanks(at, end);
  if (at != end && *at == '{') at = parse_labels(at + 1, end);
  return at != nullptr && !name_.empty() && parse_end(at, end);
}

void SampleLine::rename(std::size_t label, std::string_view name) {
  labels_[label].name = name;
  labels_[label].hash = hash_of(labels_[label].value, hash_of(name));
  may_repeat_name_ = true;
  label_text_ = {};
}

std::string_view SampleLine::label_text_and_value() const {
  if (label_text_.empty()) return {};
  const char* const end = label_text_.data() + label_text_.size();
  if (value_.data() != end + 2 || end[0] != '}' || end[1] != ' ') return {};
  return between(label_text_.data(), value_.data() + value_.size());
}

// Parses from after the opening brace to the end of the closing one.
const char* SampleLine::parse_labels(const char* at, const char* end) {
  const auto skip = [&] {
    if (at == end || !is_blank(*at)) return;
    verbatim_ = false;
    at = skip_blanks(at, end);
  };
  const char* const begin = at;
  const char* end_of_last = at;
  for (bool is_first = true;; is_first = false) {
    skip();
    if (at == end) return nullptr;
    if (!is_first && *at == ',') {
      ++at;
      skip();
      if (at == end) return nullptr;
    } else if (!is_first && *at != '}') {
      return nullptr;
    }
    if (*at == '}') break;
    if (!take_known_label(at, end)) at = parse_label(at, end);
    if (at == nullptr) return nullptr;
    end_of_last = at;
  }
  if (verbatim_) label_text_ = between(begin, end_of_last);
  return at + 1;
}

// Whether the line has the same label as the previous line at this position.
bool SampleLine::take_known_label(const char*& at, const char* end) {
  if (size_ >= known_) return false;
  const LineLabel& label = labels_[size_];
  const std::size_t size =
      label.name.size() + std::string_view("=\"\"").size() + label.value.size();
  if (static_cast<std::size_t>(end - at) < size) return false;
  if (std::memcmp(at, label.name.data(), size) != 0) return false;
  at += size;
  may_repeat_name_ |= names_.add(label.name);
  ++size_;
  return true;
}

// Parses a label, or the quoted name of the metric.
const char* SampleLine::parse_label(const char* at, const char* end) {
  std::string_view name;
  if (*at == '"') {
    verbatim_ = false;
    at = parse_quoted(at + 1, end, name);
    if (at == nullptr) return nullptr;
    at = skip_blanks(at, end);
    if (at == end || *at != '=') {
      if (!name_.empty()) return nullptr;
      name_ = keep(escape_name(name, kNameStart, kName));
      return name_.empty() ? nullptr : at;
    }
    name = keep(escape_name(name, kLabelStart, kLabel));
  } else {
    const char* const begin = at;
    at = end_of_name(at, end, kLabelStart, kLabel);
    name = between(begin, at);
  }
  const char* const equals = skip_blanks(at, end);
  if (name.empty() || equals == end || *equals != '=') return nullptr;
  const char* const quote = skip_blanks(equals + 1, end);
  if (quote == end || *quote != '"' || size_ == kMaxLabels) return nullptr;
  if (quote != at + 1) verbatim_ = false;
  std::string_view value;
  at = parse_quoted(quote + 1, end, value);
  if (at == nullptr) return nullptr;
  if (value.empty()) {
    verbatim_ = false;
    return at;
  }
  may_repeat_name_ |= names_.add(name);
  labels_[size_] = {.name = name, .value = value, .hash = hash_of(value, hash_of(name))};
  ++size_;
  return at;
}

// Parses a text from after its opening quote to the end of the closing one. The backslash of an
// unknown escape stands for itself.
const char* SampleLine::parse_quoted(const char* at, const char* end, std::string_view& text) {
  const char* const begin = at;
  if (at == end) return nullptr;
  const auto size = static_cast<std::size_t>(end - at);
  const char* const quote = static_cast<const char*>(std::memchr(at, '"', size));
  if (quote == nullptr) return nullptr;
  text = between(begin, quote);
  if (!has_escapes_ || !text.contains('\\')) return quote + 1;
  std::string valid;
  bool has_unknown = false;
  for (; at != end && *at != '"'; ++at) {
    if (*at == '\\') {
      if (at + 1 == end) return nullptr;
      const char escaped = *++at;
      const bool is_known = escaped == '\\' || escaped == '"' || escaped == 'n';
      has_unknown = has_unknown || !is_known;
      valid += is_known ? "\\" : "\\\\";
    }
    valid += *at;
  }
  if (at == end) return nullptr;
  text = between(begin, at);
  if (has_unknown) {
    verbatim_ = false;
    text = keep(std::move(valid));
  }
  return at + 1;
}

// Parses the value, the timestamp and the exemplar.
bool SampleLine::parse_end(const char* at, const char* end) {
  const auto take_word = [&] {
    const char* const begin = at;
    while (at != end && !is_blank(*at)) ++at;
    return between(begin, at);
  };
  at = skip_blanks(at, end);
  value_ = take_word();
  if (!is_number(value_)) return false;
  at = skip_blanks(at, end);
  has_timestamp_ = at != end && *at != '#';
  if (!has_timestamp_) return true;
  if (!is_number(take_word())) return false;
  at = skip_blanks(at, end);
  return at == end || *at == '#';
}

}  // namespace vitalsd::page
