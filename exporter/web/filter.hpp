// Selects probes for the status page, its JSON and `vitalsd check`. Pure functions.
#pragma once

#include "exporter/web/verdict.hpp"
#include "exporter/web/view.hpp"

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

/// A probe is selected if it matches each member that is not empty: all labels, and at least one
/// value of the other members.
/// Names, kinds and values of labels are shell patterns (fnmatch): "db-*".
struct ProbeFilter {
  using Labels = std::vector<std::pair<std::string, std::string>>;

  std::vector<std::string> names{};
  std::vector<std::string> kinds{};
  Labels labels{};
  std::vector<Verdict> states{};
  /// A substring, case-insensitive, of the name, kind, target, a label, the reason or the error.
  std::string text{};

  bool operator==(const ProbeFilter&) const = default;
};

bool matches(const ProbeFilter& filter, const ProbeView& probe);

/// Whether `name` matches a shell pattern.
bool matches_pattern(const std::string& pattern, const std::string& name);

/// Appends the states of a comma-separated list such as "critical,unknown"; "failed" is all but ok.
/// Returns the error; empty if there is none.
std::string add_states(std::string_view list, std::vector<Verdict>& states);

/// Reads the query string of a URL: `state`, `kind`, `name`, `label.NAME` and `q`. A parameter may
/// be given several times. Returns the error if a parameter or a state is unknown.
std::expected<ProbeFilter, std::string> parse_filter(std::string_view query);

/// The parameters, with decoded values, that parse_filter() reads as this filter.
std::vector<std::pair<std::string, std::string>> to_parameters(const ProbeFilter& filter);

/// The parameters as text: "state=ok q=x".
std::string filter_text(const ProbeFilter& filter);

/// Percent-encodes `text` for a query string.
std::string encode_query(std::string_view text);

/// Decodes the percent-encoding of a path, in which '+' stays.
std::string decode_path(std::string_view text);

}  // namespace vitalsd
