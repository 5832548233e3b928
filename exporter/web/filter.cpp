#include "exporter/web/filter.hpp"

#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <ranges>

#include <fnmatch.h>

namespace vitalsd {
namespace {

constexpr std::string_view kLabel = "label.";

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return patterns.empty() || std::ranges::any_of(patterns, [&](const std::string& pattern) {
           return matches_pattern(pattern, name);
         });
}

bool has_labels(const ProbeFilter::Labels& wanted, const ProbeView& probe) {
  return std::ranges::all_of(wanted, [&](const auto& want) {
    return std::ranges::any_of(probe.labels, [&](const auto& label) {
      return label.first == want.first && matches_pattern(want.second, label.second);
    });
  });
}

bool contains(std::string_view text, std::string_view part) {
  const auto lower = [](unsigned char c) { return std::tolower(c); };
  return !std::ranges::search(text, part, {}, lower, lower).empty() || part.empty();
}

bool has_text(const std::string& part, const ProbeView& probe) {
  return contains(probe.name, part) || contains(probe.kind, part) || contains(probe.target, part) ||
         contains(probe.reason, part) || contains(probe.detail, part) ||
         std::ranges::any_of(probe.labels, [&](const auto& label) {
           return contains(label.first + '=' + label.second, part);
         });
}

// The pages and JSON documents repeat the text, so it is valid UTF-8.
std::string decode(std::string_view text, char plus) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char value = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i] == '+' ? plus : text[i];
    }
  }
  return printable_utf8(out);
}

std::string decode_query(std::string_view text) { return decode(text, ' '); }

// Adds one parameter. A field of a form that is left empty selects nothing. Returns the error.
std::string add(ProbeFilter& filter, const std::string& name, std::string value) {
  if (name == "state") return add_states(value, filter.states);
  if (name == "kind") {
    for (const auto part : std::views::split(value, ',')) {
      if (!part.empty()) filter.kinds.emplace_back(std::string_view(part));
    }
  } else if (name == "name") {
    if (!value.empty()) filter.names.push_back(std::move(value));
  } else if (name == "q") {
    filter.text = std::move(value);
  } else if (name.starts_with(kLabel) && name.size() > kLabel.size()) {
    if (!value.empty()) filter.labels.emplace_back(name.substr(kLabel.size()), std::move(value));
  } else {
    return "unknown parameter '" + name + "': use state, kind, name, label.NAME or q";
  }
  return "";
}

}  // namespace

bool matches_pattern(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

bool matches(const ProbeFilter& filter, const ProbeView& probe) {
  const bool has_state = filter.states.empty() ||
                         std::ranges::find(filter.states, verdict(probe)) != filter.states.end();
  return has_state && matches_any(filter.names, probe.name) &&
         matches_any(filter.kinds, std::string(probe.kind)) && has_labels(filter.labels, probe) &&
         has_text(filter.text, probe);
}

std::string add_states(std::string_view list, std::vector<Verdict>& states) {
  for (const auto part : std::views::split(list, ',')) {
    const std::string_view name(part);
    const auto found = std::ranges::find(kVerdicts, name, verdict_name);
    if (found != kVerdicts.end()) {
      states.push_back(*found);
    } else if (name == "failed") {
      states.insert(states.end(), {Verdict::critical, Verdict::unknown, Verdict::warning});
    } else if (!name.empty()) {
      return "unknown state '" + std::string(name) +
             "': use ok, warning, critical, unknown, or failed for all but ok";
    }
  }
  return "";
}

std::expected<ProbeFilter, std::string> parse_filter(std::string_view query) {
  ProbeFilter filter;
  for (const auto part : std::views::split(query, '&')) {
    const std::string_view parameter(part);
    if (parameter.empty()) continue;
    const std::size_t end = std::min(parameter.find('='), parameter.size());
    const std::string_view value = parameter.substr(std::min(end + 1, parameter.size()));
    std::string error = add(filter, decode_query(parameter.substr(0, end)), decode_query(value));
    if (!error.empty()) return std::unexpected(std::move(error));
  }
  return filter;
}

std::vector<std::pair<std::string, std::string>> to_parameters(const ProbeFilter& filter) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Verdict state : filter.states) out.emplace_back("state", verdict_name(state));
  for (const std::string& kind : filter.kinds) out.emplace_back("kind", kind);
  for (const std::string& name : filter.names) out.emplace_back("name", name);
  for (const auto& [name, value] : filter.labels) {
    out.emplace_back(std::string(kLabel) + name, value);
  }
  if (!filter.text.empty()) out.emplace_back("q", filter.text);
  return out;
}

std::string filter_text(const ProbeFilter& filter) {
  std::string out;
  for (const auto& [name, value] : to_parameters(filter)) {
    out += (out.empty() ? "" : " ") + name + '=' + value;
  }
  return out;
}

std::string decode_path(std::string_view text) { return decode(text, '+'); }

std::string encode_query(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~").contains(c)) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

}  // namespace vitalsd
