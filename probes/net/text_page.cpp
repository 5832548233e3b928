#include "probes/net/text_page.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/error.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace vitalsd::net {
namespace {

constexpr std::size_t kMaxLine = std::size_t{64} << 10;

constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
}

std::string_view take_until(std::string_view& text, std::string_view any_of) {
  const std::string_view taken = text.substr(0, text.find_first_of(any_of));
  text.remove_prefix(taken.size());
  return taken;
}

/// Parses the whole text as a number, including NaN and +Inf. Returns nothing if it is not a
/// number.
std::optional<double> to_double(std::string_view text) {
  if (text.starts_with("+") && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Removes a quoted label value from the front of `text`. `into` may be null. Returns false if a
/// quote is missing or an escape is invalid.
bool take_value(std::string_view& text, TextLabel* into) {
  if (!text.starts_with('"')) return false;
  text.remove_prefix(1);
  const std::string_view plain = take_until(text, "\\\"");
  if (text.starts_with('"')) {
    if (into != nullptr) into->value = plain;
    text.remove_prefix(1);
    return true;
  }
  std::string value(plain);
  while (text.size() >= 2 && text[0] == '\\') {
    const char c = text[1];
    if (c != '\\' && c != '"' && c != 'n') return false;
    value += c == 'n' ? '\n' : c;
    text.remove_prefix(2);
    value += take_until(text, "\\\"");
  }
  if (!text.starts_with('"')) return false;
  text.remove_prefix(1);
  if (into != nullptr) {
    into->buffer = std::move(value);
    into->value = into->buffer;
  }
  return true;
}

}  // namespace

void TextPage::fail(const std::string& why) const {
  throw ProbeError(Reason::protocol,
                   std::string(name_) + ", line " + std::to_string(line_number_) + ": " + why);
}

std::optional<std::string_view> TextPage::next_line(std::string_view& piece) {
  if (std::exchange(is_returned_, false)) partial_line_.clear();
  if (piece.empty()) return std::nullopt;
  if (piece.size() > max_bytes_ - size_) {
    fail("the page has more than " + std::to_string(max_bytes_ >> 20) + " MiB");
  }
  const std::size_t end = piece.find('\n');
  std::string_view line = piece.substr(0, end);
  const bool is_whole = end != std::string_view::npos;
  if (partial_line_.size() + line.size() > kMaxLine) {
    ++line_number_;
    fail("longer than 64 KiB");
  }
  const std::size_t used = line.size() + (is_whole ? 1 : 0);
  size_ += used;
  piece.remove_prefix(used);
  if (!is_whole || !partial_line_.empty()) {
    partial_line_ += line;
    if (!is_whole) return std::nullopt;
    line = partial_line_;
    is_returned_ = true;
  }
  ++line_number_;
  return line;
}

std::optional<TextPage::Line> TextPage::next(std::string_view& piece) {
  while (const std::optional<std::string_view> line = next_line(piece)) {
    if (line->empty() || line->starts_with('#')) continue;
    const std::size_t size = std::min(line->find_first_not_of(kNameCharacters), line->size());
    if (size == 0) fail("expected a metric name");
    return Line{line->substr(0, size), line->substr(size)};
  }
  return std::nullopt;
}

double TextPage::read(std::string_view rest, std::span<TextLabel> labels) const {
  skip_blanks(rest);
  if (rest.starts_with('{')) {
    rest.remove_prefix(1);
    skip_blanks(rest);
    while (!rest.starts_with('}')) {
      const std::string_view name = take_until(rest, "= \t,{}\"");
      skip_blanks(rest);
      if (name.empty() || !rest.starts_with('=')) fail("expected a label");
      rest.remove_prefix(1);
      skip_blanks(rest);
      const auto label = std::ranges::find(labels, name, &TextLabel::name);
      if (!take_value(rest, label == labels.end() ? nullptr : &*label)) {
        fail("the value of label " + shown_text(name, 64) + " is not a quoted string");
      }
      skip_blanks(rest);
      if (rest.starts_with(',')) {
        rest.remove_prefix(1);
        skip_blanks(rest);
      } else if (!rest.starts_with('}')) {
        fail("expected ',' or '}' after a label");
      }
    }
    rest.remove_prefix(1);
  }

  skip_blanks(rest);
  const auto value = to_double(take_until(rest, " \t"));
  skip_blanks(rest);
  const std::string_view timestamp = take_until(rest, " \t");
  skip_blanks(rest);
  if (!value) fail("the value is not a number");
  if (!rest.empty() || (!timestamp.empty() && !to_double(timestamp)))
    fail("unexpected text after the value");
  return *value;
}

void TextPage::finish() {
  if (is_returned_ || partial_line_.empty()) return;
  ++line_number_;
  fail("the page ends in the middle of the line");
}

}  // namespace vitalsd::net
