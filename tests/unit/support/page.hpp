// The response to a scrape, as text and as parsed samples.
#pragma once

#include "exporter/model/exposition.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::test {

inline std::string text_of(const Exposition::Page& page) {
  std::string out;
  for (const std::string_view piece : page.pieces()) out += piece;
  return out;
}

inline std::string page(const Exposition& exposition, const Exposition::Selection& selection = {},
                        Format format = Format::text, std::vector<Exposition::Extra> extras = {}) {
  return text_of(*exposition.page(format, selection, std::move(extras)));
}

/// The sample lines of a page, without the HELP and TYPE lines.
inline std::string samples_of(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t size = std::min(text.find('\n'), text.size() - 1) + 1;
    if (!text.starts_with('#')) out += text.substr(0, size);
    text.remove_prefix(size);
  }
  return out;
}

inline std::string samples(const Exposition& exposition) { return samples_of(page(exposition)); }

/// One sample line, parsed according to the text format.
struct ParsedSample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

inline double parse_value(std::string_view text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  if (text == "-Inf") return -std::numeric_limits<double>::infinity();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::runtime_error("not a valid sample value: " + std::string(text));
  }
  return value;
}

/// Parses `name{label="value",...} value`, without the newline. Throws std::runtime_error if the
/// line is invalid.
inline ParsedSample parse_sample(std::string_view line) {
  const auto take = [&](std::string_view expected) {
    if (!line.starts_with(expected))
      throw std::runtime_error("not a valid sample line: " + std::string(line));
    line.remove_prefix(expected.size());
  };
  const auto take_until = [&](std::string_view ends) {
    const std::string_view taken = line.substr(0, line.find_first_of(ends));
    line.remove_prefix(taken.size());
    return std::string(taken);
  };
  ParsedSample sample;
  sample.name = take_until("{ ");
  if (line.starts_with('{')) {
    take("{");
    while (!line.starts_with('}')) {
      std::string& value = sample.labels[take_until("=")];
      take("=\"");
      for (; !line.starts_with('"'); line.remove_prefix(1)) {
        const bool escaped = line.starts_with('\\');
        if (escaped) line.remove_prefix(1);
        value += escaped && line.front() == 'n' ? '\n' : line.front();
      }
      take("\"");
      if (line.starts_with(',')) take(",");
    }
    take("}");
  }
  take(" ");
  sample.value = parse_value(line);
  return sample;
}

inline std::vector<ParsedSample> parse_samples(std::string_view text) {
  const std::string lines = samples_of(text);
  std::vector<ParsedSample> out;
  for (std::string_view rest = lines; !rest.empty();) {
    const std::size_t end = rest.find('\n');
    out.push_back(parse_sample(rest.substr(0, end)));
    rest.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace vitalsd::test
