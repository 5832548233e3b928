// Declarations of metrics. A Metric is a constant beside the code that sets it. Its constructor
// checks the name: a name that violates the conventions of Prometheus does not compile, unless it
// has a waiver with the reason. Standard library only.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace vitalsd {

/// The types from `summary` on are for foreign families only (foreign.hpp).
enum class Type : unsigned char { gauge, counter, histogram, unknown, summary, info, stateset };

/// OpenMetrics base units; the name ends in the unit (before a counter's "_total").
enum class Unit : unsigned char { none, seconds, bytes, ratio };

/// Whether a sample stays published when the next run does not renew it. Ledger has the rules.
enum class Keep : unsigned char {
  reading,  ///< current state: survives one failed run, but not a probe loop that hangs
  fact,     ///< stays true until observed again: a certificate's expiry, the last good backup
};

constexpr std::string_view type_name(Type type) {
  switch (type) {
    case Type::gauge:
      return "gauge";
    case Type::counter:
      return "counter";
    case Type::histogram:
      return "histogram";
    case Type::unknown:
      return "unknown";
    case Type::summary:
      return "summary";
    case Type::info:
      return "info";
    case Type::stateset:
      return "stateset";
  }
  return "";
}

constexpr std::string_view unit_name(Unit unit) {
  switch (unit) {
    case Unit::none:
      return "";
    case Unit::seconds:
      return "seconds";
    case Unit::bytes:
      return "bytes";
    case Unit::ratio:
      return "ratio";
  }
  return "";
}

/// A metric without the label count in its type, for the exposition and the reference.
struct MetricInfo {
  static constexpr std::size_t kMaxLabels = 12;

  std::string_view name;
  Type type = Type::gauge;
  Unit unit = Unit::none;
  std::string_view help;  ///< one sentence
  Keep keep = Keep::reading;
  /// The reason for a name that violates the lint, with the source that requires the name. Empty if
  /// the name is valid.
  std::string_view waiver;
  std::array<std::string_view, kMaxLabels> label_names{};
  std::size_t label_count = 0;
  std::string_view foreign_unit;  ///< the unit of a foreign family, in place of `unit`
};

/// A metric's fields by name; see MetricInfo.
struct MetricSpec {
  std::string_view name{};
  Type type = Type::gauge;
  Unit unit = Unit::none;
  std::string_view help{};
  Keep keep = Keep::reading;
  std::string_view waiver{};
};

namespace lint {

constexpr bool is_word(std::string_view text) {  // snake_case
  if (text.empty() || text[0] < 'a' || text[0] > 'z' || text.back() == '_') return false;
  char previous = 0;
  for (const char c : text) {
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '_' && previous != '_');
    if (!good) return false;
    previous = c;
  }
  return true;
}

constexpr bool has_part(std::string_view name, std::string_view part) {
  for (std::size_t at = name.find(part); at != std::string_view::npos;
       at = name.find(part, at + 1)) {
    const bool starts = at == 0 || name[at - 1] == '_';
    const bool ends = at + part.size() == name.size() || name[at + part.size()] == '_';
    if (starts && ends) return true;
  }
  return false;
}

/// Why the name is invalid; empty if it is valid. The rules are those of "promtool check metrics"
/// and, for units, of OpenMetrics 1.0.
constexpr std::string_view name_fault(const MetricSpec& spec) {
  std::string_view base = spec.name;
  const bool total = base.ends_with("_total");
  if (total) base.remove_suffix(std::string_view("_total").size());
  if ((spec.type == Type::counter) != total)
    return "names of counters, and of counters only, must end in _total";
  for (const std::string_view suffix : {"_count", "_sum", "_bucket"}) {
    if (base.ends_with(suffix)) return "the suffix is reserved for histograms and summaries";
  }
  if (base.ends_with("_info") && spec.type != Type::gauge) return "info metrics must be gauges";
  for (const std::string_view part : {"gauge", "counter", "histogram", "summary", "metric"}) {
    if (has_part(base, part)) return "the name must not contain its type";
  }
  for (const std::string_view part : {"milliseconds", "ms", "minutes", "hours", "days", "percent",
                                      "kilobytes", "kb", "megabytes", "mb", "gigabytes", "gb"}) {
    if (has_part(base, part)) return "the unit must be a base unit: seconds, bytes, ratio";
  }
  const std::string_view unit = unit_name(spec.unit);
  if (!unit.empty() && !(base.ends_with(unit) && base.size() > unit.size() &&
                         base[base.size() - unit.size() - 1] == '_')) {
    return "the name must end in its unit";
  }
  for (const Unit other : {Unit::seconds, Unit::bytes, Unit::ratio}) {
    if (other != spec.unit && base.ends_with(unit_name(other)))
      return "the name ends in a unit that is not declared";
  }
  return {};
}

/// Not constexpr: a call makes the constant expression fail, and the compiler shows the message.
inline void invalid_metric(std::string_view) {}

constexpr void require(bool valid, std::string_view what) {
  if (!valid) invalid_metric(what);
}

}  // namespace lint

/// A metric with N labels. Every series also has the label `probe` and the user's labels.
///
///   constexpr Metric kExpiry({.name = "cert_expiry_timestamp", ..., .help = "..."}, "cn",
///   "source");
template <std::size_t N>
struct Metric : MetricInfo {
  template <class... Names>
    requires(sizeof...(Names) == N && N <= MetricInfo::kMaxLabels)
  explicit consteval Metric(const MetricSpec& spec, const Names&... names)
      : MetricInfo{spec.name,   spec.type,  spec.unit, spec.help, spec.keep,
                   spec.waiver, {names...}, N,         {}} {
    lint::require(lint::is_word(spec.name), "the name must be snake_case");
    const std::string_view fault = lint::name_fault(spec);
    if (spec.waiver.empty()) {
      lint::require(fault.empty(), fault);
    } else {
      lint::require(!fault.empty(), "the waiver is not needed");
    }
    lint::require(spec.help.size() > 10 && spec.help[0] >= 'A' && spec.help[0] <= 'Z' &&
                      spec.help.ends_with('.') && !spec.help.contains('\n'),
                  "help must be one sentence with a capital letter and a full stop");
    for (std::size_t i = 0; i < N; ++i) {
      lint::require(lint::is_word(label_names[i]), "a label name must be snake_case");
      lint::require(
          label_names[i] != "probe" && label_names[i] != "job" && label_names[i] != "instance",
          "a metric must not declare the labels probe, job and instance");
    }
  }
};

template <class... Names>
Metric(const MetricSpec&, const Names&...) -> Metric<sizeof...(Names)>;

}  // namespace vitalsd
