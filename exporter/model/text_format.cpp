#include "exporter/model/text_format.hpp"

#include "exporter/model/text_writer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace vitalsd {
namespace {

// The length of the UTF-8 sequence at the start of `text`; 0 if it is invalid (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto continues = [&](std::size_t i, unsigned min = 0x80, unsigned max = 0xbf) {
    return byte(i) >= min && byte(i) <= max;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool second = lead == 0xe0   ? continues(1, 0xa0)
                        : lead == 0xed ? continues(1, 0x80, 0x9f)
                                       : continues(1);
    return second && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool second = lead == 0xf0   ? continues(1, 0x90)
                        : lead == 0xf4 ? continues(1, 0x80, 0x8f)
                                       : continues(1);
    return second && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

char* write_number(char* at, double value) {
  if (std::isnan(value)) return write_text(at, "NaN");
  if (std::isinf(value)) return write_text(at, value > 0 ? "+Inf" : "-Inf");
  constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53
  char* const end = at + kMaxNumber;
  const bool integer = std::trunc(value) == value && std::fabs(value) <= kLargestExactInteger;
  const auto result = integer ? std::to_chars(at, end, static_cast<std::int64_t>(value))
                              : std::to_chars(at, end, value);
  return result.ptr;
}

void append_number(std::string& out, double value) {
  std::array<char, kMaxNumber> buffer{};
  out.append(buffer.data(), write_number(buffer.data(), value));
}

char* write_label_value(char* at, std::string_view value) {
  // Almost no value needs escaping. The loop has no early exit, so that the compiler vectorizes it.
  unsigned special = 0;
  for (const char c : value) {
    special |= static_cast<unsigned>(c == '\\') | static_cast<unsigned>(c == '"') |
               static_cast<unsigned>(c == '\n');
  }
  if (special == 0) return write_text(at, value);
  for (const char c : value) {
    if (c == '\\' || c == '"' || c == '\n') *at++ = '\\';
    *at++ = c == '\n' ? 'n' : c;
  }
  return at;
}

void append_label_value(std::string& out, std::string_view value) {
  const std::size_t before = out.size();
  out.resize_and_overwrite(before + 2 * value.size(), [&](char* text, std::size_t) {
    return write_label_value(text + before, value) - text;
  });
}

void append_label(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty() && out.back() != '{') out += ',';
  out += name;
  out += "=\"";
  append_label_value(out, value);
  out += '"';
}

bool is_printable_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = text.front() == '\0' ? 0 : utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable_utf8(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = text.front() == '\0' ? 0 : utf8_length(text);
    out += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

namespace {

// Whether a character controls a terminal or changes the order of other characters.
bool is_control(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (character.size() == 2) {
    return (byte(0) == 0xc2 && byte(1) < 0xa0) || character == "\u061c";  // C1; Arabic letter mark
  }
  // U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, the byte order mark.
  if (character.size() != 3 || byte(0) < 0xe2) return false;
  if (byte(0) == 0xe2 && byte(1) == 0x80) {
    return (byte(2) >= 0x8b && byte(2) <= 0x8f) || (byte(2) >= 0xa8 && byte(2) <= 0xae);
  }
  return (byte(0) == 0xe2 && byte(1) == 0x81 && byte(2) >= 0xa0 && byte(2) <= 0xaf) ||
         character == "\ufeff";
}

}  // namespace

std::string shown_text(std::string_view text, std::size_t max_size) {
  constexpr std::string_view kReplacement = "\ufffd";
  constexpr std::string_view kEllipsis = "…";
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    const bool space = character == "\n" || character == "\t" || character == "\r";
    const bool visible = length > 0 && !is_control(character);
    const std::string_view piece = visible ? character : space ? " " : kReplacement;
    if (out.size() + piece.size() > max_size) return out += kEllipsis;
    out += piece;
    text.remove_prefix(character.size());
  }
  return out;
}

std::string shown_lines(std::string_view text, std::size_t max_size) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\n\t"), text.size());
    out += shown_text(text.substr(0, end), max_size - std::min(out.size(), max_size));
    if (out.size() > max_size || end == text.size()) break;
    out += text[end];
    text.remove_prefix(end + 1);
  }
  return out;
}

std::string_view openmetrics_base(std::string_view name, std::string_view type) {
  const std::string_view suffix = type == "counter" ? "_total" : type == "info" ? "_info" : "";
  if (name.size() > suffix.size() && name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return name;
}

namespace {

// The type in the spelling of the format. `name` is the name in the header.
std::string_view type_in(Format format, std::string_view type, std::string_view metric,
                         std::string_view name) {
  if (format == Format::text) {
    if (type == "info" || type == "stateset") return "gauge";
    return type == "unknown" ? "untyped" : type;
  }
  // Samples of these types have a suffix in OpenMetrics.
  const bool has_suffix = type == "counter" || type == "info";
  return has_suffix && name == metric ? "unknown" : type;
}

// Whether OpenMetrics allows the unit for the family.
bool is_unit_valid(std::string_view unit, std::string_view name, std::string_view type) {
  return !unit.empty() && type != "info" && type != "stateset" && name.size() > unit.size() &&
         name.ends_with(unit) && name[name.size() - unit.size() - 1] == '_';
}

void append_help(std::string& out, std::string_view help, Format format) {
  for (const char c : help) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c == '"' && format == Format::openmetrics) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

}  // namespace

void append_header(std::string& out, const MetricInfo& metric, std::string_view type,
                   Format format) {
  if (type.empty()) type = type_name(metric.type);
  const bool openmetrics = format == Format::openmetrics;
  const std::string_view name = openmetrics ? openmetrics_base(metric.name, type) : metric.name;
  type = type_in(format, type, metric.name, name);
  const auto append = [&](std::string_view keyword) {
    out += "# ";
    out += keyword;
    out += ' ';
    out += name;
    out += ' ';
  };
  if (!metric.help.empty()) {
    append("HELP");
    append_help(out, metric.help, format);
    out += '\n';
  }
  append("TYPE");
  out += type;
  out += '\n';
  const std::string_view unit =
      metric.foreign_unit.empty() ? unit_name(metric.unit) : metric.foreign_unit;
  if (openmetrics && is_unit_valid(unit, name, type)) {
    append("UNIT");
    out += unit;
    out += '\n';
  }
}

std::string_view end_of_page(Format format) {
  return format == Format::openmetrics ? "# EOF\n" : "";
}

std::string_view content_type(Format format) {
  return format == Format::openmetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

}  // namespace vitalsd
