#include "probes/prometheus/query.hpp"

#include "probes/threshold.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd {

namespace prometheus {
namespace {
// The ratio of an expression. Unlike the ratio of a check, it may exceed 1.
struct AnyRatio {
  double value = 0;
};
}  // namespace
}  // namespace prometheus

namespace config {
template <>
struct Scalar<prometheus::AnyRatio> {
  static constexpr std::string_view kName = Scalar<Ratio>::kName;
  static constexpr bool kPlain = Scalar<Ratio>::kPlain;
  static Parsed<prometheus::AnyRatio> parse(std::string_view text) {
    const bool percent = text.ends_with('%');
    const auto number = Scalar<double>::parse(percent ? text.substr(0, text.size() - 1) : text);
    if (number) return prometheus::AnyRatio{percent ? *number / 100 : *number};
    return std::unexpected(quoted(text) +
                           " is not a valid ratio: must be a percentage or a fraction, for "
                           "example 150% or 1.5");
  }
  static std::string show(const prometheus::AnyRatio& value) {
    return Scalar<double>::show(value.value);
  }
};
}  // namespace config

namespace prometheus {
namespace {

constexpr std::size_t kMaxQueries = 50;

bool is_name(std::string_view text) {
  constexpr std::size_t kMaxName = 64;
  const auto is_allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxName && std::ranges::all_of(text, is_allowed);
}

std::optional<double> read_limit(config::Node& section, std::string_view key, Unit unit,
                                 std::string_view help) {
  if (unit != Unit::ratio) return read_threshold(section, key, unit, help);
  const auto ratio = section.find<AnyRatio>(key, help);
  return ratio ? std::optional(ratio->value) : std::nullopt;
}

Unit read_unit(config::Node& section) {
  const std::string unit =
      section.choice("unit", {"none", "ratio", "seconds", "bytes"},
                     "unit of the value: how it is shown, and how thresholds are written");
  if (unit == "ratio") return Unit::ratio;
  if (unit == "seconds") return Unit::seconds;
  return unit == "bytes" ? Unit::bytes : Unit::none;
}

}  // namespace

Query::Query(config::Node& section)
    : name_(section.required<std::string>(
          "name", "the name of the check, and the value of the label `query`")),
      expression_(section.required<std::string>(
          "expr",
          "PromQL with one value: a scalar, or a vector with one sample; an empty result is "
          "unknown, unless you write ... or vector(0)")) {
  if (section.has("name") && !is_name(name_)) {
    section.error("name", config::quoted(name_) +
                              " is not a valid name of a query: use up to 64 letters, digits, _ "
                              "and -");
  }
  if (section.has("expr") && expression_.empty()) section.error("expr", "must not be empty");
  check_.name = name_;
  check_.unit = read_unit(section);
  check_.worse = section.choice("worse", {"above", "below"},
                                "whether a value above or below the thresholds is worse") == "below"
                     ? Worse::below
                     : Worse::above;
  check_.warn = read_limit(section, "warn", check_.unit,
                           "worse than this is a warning, in the unit: 1000 (none), 5% (ratio), "
                           "500ms (seconds) or 1GiB (bytes)");
  check_.critical = read_limit(section, "critical", check_.unit, "worse than this is critical");
  if (!check_.warn || !check_.critical) return;
  if (judge(check_, {.warn = *check_.critical, .critical = {}}, *check_.warn) != Status::ok) {
    section.error("warn", "warn is beyond critical");
  }
}

std::list<Query> read_queries(config::Node& options, std::span<const Check* const> declared) {
  std::list<Query> queries;
  for (config::Node& section :
       options.sections("queries", "expressions whose values are published and checked")) {
    const auto duplicates = [&](const Query& other) {
      return other.name() == queries.back().name();
    };
    queries.emplace_back(section);
    const std::string& name = queries.back().name();
    if (std::count_if(queries.begin(), queries.end(), duplicates) > 1) {
      section.error("name", "duplicate query name " + config::quoted(name));
    }
    if (std::ranges::find(declared, name, &Check::name) != declared.end()) {
      section.error("name", config::quoted(name) + " is the name of a check of the kind");
    }
  }
  if (queries.size() > kMaxQueries) {
    options.error("queries", "must contain at most " + std::to_string(kMaxQueries) + " queries");
  }
  return queries;
}

}  // namespace prometheus
}  // namespace vitalsd
