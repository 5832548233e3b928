#include "config/yaml_errors.hpp"

#include "config/characters.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include <yaml-cpp/exceptions.h>

namespace vitalsd::config {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::size_t offset_of_line(std::string_view text, int number) {
  std::size_t at = 0;
  for (; number > 1; --number) at = std::min(text.find('\n', at), text.size() - 1) + 1;
  return at;
}

std::string_view line_at(std::string_view text, int number) {
  if (text.empty() || number < 1) return {};
  text.remove_prefix(offset_of_line(text, number));
  return text.substr(0, text.find('\n'));
}

Mark mark_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto columns =
      std::ranges::count_if(before.substr(line), [](char c) { return !is_utf8_continuation(c); });
  return {static_cast<int>(std::ranges::count(before, '\n')) + 1, static_cast<int>(columns) + 1};
}

// Marks count characters, not bytes.
std::size_t offset_of(std::string_view text, Mark mark) {
  std::size_t at = offset_of_line(text, mark.line);
  for (int column = 1; column < mark.column && at < text.size(); ++column) {
    do ++at;
    while (at < text.size() && is_utf8_continuation(text[at]));
  }
  return at;
}

// The line without its indentation and the '-' of list items.
std::string_view content(std::string_view line) {
  for (;;) {
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    if (!line.starts_with("- ")) return line;
    line.remove_prefix(1);
  }
}

// The key at the start of the content of a line; empty if there is no text before ':'.
std::string_view key_of(std::string_view line) {
  std::string_view text = content(line);
  text.remove_prefix(std::min(text.find_first_not_of("{[ "), text.size()));
  const std::size_t end = std::min(text.find(':'), text.size());
  const bool is_key = end < text.size() && std::ranges::all_of(
                                               text.substr(0, end),
                                               [](char c) {
                                                 return is_letter(c) || is_digit(c) || c == '_' ||
                                                        c == '-' || c == '"' || c == '\'';
                                               });
  return is_key ? text.substr(0, end) : std::string_view();
}

// "; the line begins with '  - name:'". Empty if it begins with no key.
std::string shown(std::string_view line) {
  const std::string_view key = key_of(line);
  if (key.empty()) return {};
  const auto end = static_cast<std::size_t>(key.data() - line.data()) + key.size() + 1;
  return "; the line begins with " + quoted(line.substr(0, end));
}

std::string in_line(int line) { return " in line " + std::to_string(line); }

// The number of the last line with text before `line`; 0 if there is none.
int line_before(std::string_view text, int line) {
  for (--line; line > 0; --line) {
    const std::string_view before = content(line_at(text, line));
    if (!before.empty() && !before.starts_with('#')) break;
  }
  return line;
}

// The end of the quoted scalar that starts at `start`: the index of the closing quote.
std::size_t closing_quote(std::string_view text, std::size_t start) {
  const char quote = text[start];
  for (std::size_t i = start + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != quote) return i;
      ++i;  // '' is a quote in the text
    }
  }
  return std::string_view::npos;
}

std::optional<YamlError> merge_conflict(std::string_view text) {
  std::size_t at = text.starts_with("<<<<<<< ") ? 0 : text.find("\n<<<<<<< ");
  if (at == std::string_view::npos) return std::nullopt;
  if (at > 0) ++at;
  return YamlError{mark_of(text, at), "the file has a merge conflict: resolve it"};
}

std::optional<YamlError> tab(std::string_view text, Mark mark) {
  const std::string_view line = line_at(text, mark.line);
  const std::size_t at = line.substr(0, line.find_first_not_of(kBlank)).find('\t');
  if (at == std::string_view::npos) return std::nullopt;
  return YamlError{{mark.line, static_cast<int>(at) + 1},
                   "a tab is used for indentation: use spaces" + shown(line)};
}

// A quote that is never closed, or that the first quote of another value closes.
std::optional<YamlError> quote(std::string_view text, const std::string& error, Mark mark,
                               const YamlProgress& progress) {
  std::size_t at = progress.scalar.line == 0 ? 0 : offset_of(text, progress.scalar);
  const bool starts_at_quote = at < text.size() && (text[at] == '"' || text[at] == '\'');
  const std::size_t end =
      progress.is_quoted && starts_at_quote ? closing_quote(text, at) : std::string_view::npos;
  if (error == YAML::ErrorMsg::EOF_IN_SCALAR) {
    if (end != std::string_view::npos) at = end + 1;
    at = text.find_first_of("\"'", at);
    while (at != std::string_view::npos && at > 0 &&
           !std::string_view(" \t\n[{,:").contains(text[at - 1])) {
      at = text.find_first_of("\"'", at + 1);
    }
    if (at == std::string_view::npos) return YamlError{mark, "a quote is not closed"};
    const Mark start = mark_of(text, at);
    return YamlError{start, "a quote is not closed" + shown(line_at(text, start.line))};
  }
  if (end == std::string_view::npos) return std::nullopt;
  const Mark last = mark_of(text, end);
  if (last.line > progress.scalar.line) {
    return YamlError{progress.scalar, "the text in quotes ends only" + in_line(last.line) +
                                          ": close the quote" +
                                          shown(line_at(text, progress.scalar.line))};
  }
  const bool is_end = error == YAML::ErrorMsg::END_OF_MAP || error == YAML::ErrorMsg::END_OF_SEQ;
  if (is_end && mark.line == last.line) {
    return YamlError{mark, "text follows a quote that is closed: put the whole text in quotes" +
                               shown(line_at(text, mark.line))};
  }
  return std::nullopt;
}

// ':' where no key can be. Either the line has two of them, or it continues the text above.
std::string misplaced_colon(std::string_view text, Mark mark) {
  const std::string_view line = line_at(text, mark.line);
  const std::string_view before = text.substr(0, offset_of(text, mark));
  if (before.substr(before.rfind('\n') + 1).contains(": ")) {
    return "a second ':' in the line: put the text in quotes" + shown(line);
  }
  const int number = line_before(text, mark.line);
  if (number == 0) return "no key is before this ':': put the text in quotes" + shown(line);
  const std::string_view above = line_at(text, number);
  const std::string_view key = key_of(above);
  if (above.contains("\xc2\xa0") || above.contains("\xe2\x80")) {
    return "a character that only looks like a space or a '-'" + in_line(number) +
           ": type it again";
  }
  if (const std::string_view item = content(above); item.size() > 1 && item[0] == '-') {
    return "a space is missing after the '-'" + in_line(number);
  }
  if (!key.empty() && key.data() + key.size() + 1 < above.data() + above.size() &&
      !std::string_view(" \t\r").contains(key.data()[key.size() + 1])) {
    return "a space is missing after the ':'" + in_line(number) + shown(above);
  }
  return "the line continues the text" + in_line(number) +
         ", because it is indented further: check its indentation";  // the text may be a secret
}

std::string unclosed(char bracket, int line) {
  return "the '" + std::string(1, bracket) + '\'' + in_line(line) +
         " is not closed, or a comma is missing";
}

// The parser reports a list after an unclosed bracket before it reports the bracket.
std::string misplaced_item(std::string_view text, Mark mark) {
  const int number = line_before(text, mark.line);
  std::string open;
  for (const char c : line_at(text, number)) {
    if (c == '{' || c == '[') open += c;
    if ((c == '}' || c == ']') && !open.empty()) open.pop_back();
  }
  return open.empty() ? "a list cannot begin here: check the indentation"
                      : unclosed(open.back(), number);
}

std::string in_words(std::string_view text, const std::string& error, Mark mark,
                     const YamlProgress& progress) {
  const std::string_view line = line_at(text, mark.line);
  if (line.contains("{{") || line.contains("{%")) {
    return "'{{' or '{%' of a template: render the file first";
  }
  if (error.starts_with(YAML::ErrorMsg::INVALID_ESCAPE)) {
    return "a '\\' in double quotes begins an escape, and this one is unknown: use single quotes" +
           shown(line);
  }
  if (error == YAML::ErrorMsg::UNKNOWN_ANCHOR) {
    return "the '*' begins an alias, and no anchor has its name: put the text in quotes" +
           shown(line);
  }
  if (error == YAML::ErrorMsg::UNKNOWN_TOKEN) {
    return "a value cannot begin with this character: use quotes" + shown(line);
  }
  if (progress.flow) return unclosed(progress.flow->bracket, progress.flow->mark.line);
  if (error == YAML::ErrorMsg::BLOCK_ENTRY) return misplaced_item(text, mark);
  if (error == YAML::ErrorMsg::MAP_VALUE) return misplaced_colon(text, mark);
  static const std::array<std::pair<std::string_view, std::string_view>, 3> kWords = {{
      {YAML::ErrorMsg::END_OF_MAP,
       "the line does not fit the mapping above: check its indentation"},
      {YAML::ErrorMsg::END_OF_SEQ, "the line does not fit the list above: check its indentation"},
      {YAML::ErrorMsg::FLOW_END, "nothing is open that this bracket could close: remove it"},
  }};
  const auto* const found =
      std::ranges::find(kWords, error, [](const auto& entry) { return entry.first; });
  return (found == kWords.end() ? error : std::string(found->second)) + shown(line);
}

}  // namespace

std::optional<YamlError> encoding_error(std::string_view text) {
  const std::size_t zero = text.find('\0');
  const bool every_other = zero < 2 && text.size() > zero + 2 && text[zero + 2] == '\0';
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff") || every_other) {
    return YamlError{{}, "the file is UTF-16 or UTF-32: save it as UTF-8"};
  }
  if (zero == std::string_view::npos) return std::nullopt;
  return YamlError{mark_of(text, zero), "the file contains a zero byte: remove it"};
}

std::optional<Mark> find_not_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    std::size_t length = 1;
    if (byte >= 0xf0) {
      length = 4;
    } else if (byte >= 0xe0) {
      length = 3;
    } else if (byte >= 0xc0) {
      length = 2;
    }
    const std::string_view rest = text.substr(i + 1, length - 1);
    if (byte > 0xf4 || (byte & 0xc0U) == 0x80 || rest.size() + 1 < length ||
        !std::ranges::all_of(rest, is_utf8_continuation)) {
      return mark_of(text, i);
    }
    i += length;
  }
  return std::nullopt;
}

YamlError explain(std::string_view text, const YAML::Exception& error,
                  const YamlProgress& progress) {
  const Mark mark{error.mark.line + 1, error.mark.column + 1};
  std::optional<YamlError> found = merge_conflict(text);
  if (!found) found = tab(text, mark);
  if (!found) found = quote(text, error.msg, mark, progress);
  if (found) return {found->mark, "not valid YAML: " + found->message};
  return {mark, "not valid YAML: " + in_words(text, error.msg, mark, progress)};
}

}  // namespace vitalsd::config
