#include "probes/postgres/custom_query.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <limits>
#include <utility>

namespace vitalsd::postgres {
namespace {

constexpr std::size_t kMaxQueries = 100;
constexpr std::string_view kTotal = "_total";

bool is_identifier(std::string_view text) {
  const auto is_allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) == 0 &&
         std::ranges::all_of(text, is_allowed);
}

// Converts each item of `values` to a mapping: an item that is text becomes the value of the key
// `column`.
config::Value with_mappings(config::Value query) {
  using Kind = config::Value::Kind;
  const auto values = std::ranges::find(query.members, "values", &config::Member::key);
  if (values == query.members.end() || values->value.kind != Kind::sequence) return query;
  for (config::Value& item : values->value.items) {
    if (item.kind != Kind::scalar) continue;
    config::Value mapping;
    mapping.kind = Kind::mapping;
    mapping.mark = item.mark;
    mapping.members.push_back({.key = "column", .mark = item.mark, .value = std::move(item)});
    item = std::move(mapping);
  }
  return query;
}

ValueColumn read_value(config::Node& node, const std::string& query,
                       const ForeignFamilies& foreign) {
  ValueColumn value;
  value.column = node.required<std::string>("column", "name of the column");
  const std::string type = node.choice("type", {"gauge", "counter"}, "type of the metric");
  value.type = type == "counter" ? Type::counter : Type::gauge;
  value.help = node.get<std::string>("help", "", "help text of the metric");
  value.metric = query + '_' + value.column;
  if (value.type == Type::counter && !value.metric.ends_with(kTotal)) value.metric += kTotal;
  if (value.help.empty()) value.help = "Column " + value.column + " of the query " + query + '.';
  if (!node.has("column") || query.empty()) return value;
  if (!is_identifier(value.metric)) {
    node.error("column", config::quoted(value.metric) +
                             " is not a valid metric name: name the column with AS, in letters, "
                             "digits and _");
  } else if (foreign.is_declared(value.metric)) {
    node.error("column", "vitalsd declares the metric " + value.metric +
                             ": give the query or the column another name");
  }
  return value;
}

void check_labels(config::Node& node, const std::vector<std::string>& labels) {
  constexpr std::array<std::string_view, 5> kReserved = {"probe", "instance", "exported_instance",
                                                         "job", "shard"};
  for (const std::string& label : labels) {
    if (!is_identifier(label) || label.starts_with("__")) {
      node.error("labels", config::quoted(label) +
                               " is not a valid label name: name the column with AS, in letters, "
                               "digits and _");
    } else if (std::ranges::find(kReserved, label) != kReserved.end()) {
      node.error("labels", config::quoted(label) +
                               " is a label of vitalsd or Prometheus: name the column with AS");
    } else if (std::ranges::count(labels, label) > 1) {
      node.error("labels", config::quoted(label) + " occurs twice");
      return;
    }
  }
}

void read_versions(config::Node& node, CustomQuery& query) {
  constexpr int kNewest = std::numeric_limits<int>::max();
  const auto read = [&](std::string_view key, std::string_view help, int fallback) {
    const auto version = node.find<std::int64_t>(key, help);
    if (version && (*version < 10 || *version > 1000)) {
      node.error(key, "must be a major version, such as 16");
      return fallback;
    }
    return version ? static_cast<int>(*version) : fallback;
  };
  query.min_version =
      read("min_version", "the query is for servers of this major version or newer", 0);
  query.max_version =
      read("max_version", "the query is for servers of this major version or older", kNewest);
  if (query.min_version > query.max_version)
    node.error("min_version", "must be at most max_version");
}

void check_name(config::Node& node, const std::string& name) {
  constexpr std::size_t kMaxName = 64;
  if (!node.has("name")) return;
  if (!is_identifier(name) || name.size() > kMaxName) {
    node.error("name", config::quoted(name) +
                           " is not a valid name of a query: use up to 64 letters, digits and _");
  } else if (is_reserved_name(name + '_')) {
    node.error("name", config::quoted(name) + " is reserved for metrics of vitalsd or Prometheus");
  }
}

std::optional<config::Duration> read_time(config::Node& node, std::string_view key,
                                          std::string_view help) {
  const auto time = node.find<config::Duration>(key, help);
  if (!time || *time > config::Duration::zero()) return time;
  node.error(key, "must be more than 0");
  return std::nullopt;
}

CustomQuery read_query(config::Node& node, const ForeignFamilies& foreign) {
  CustomQuery query;
  query.name = node.required<std::string>(
      "name", "first part of the names of the metrics, NAME_COLUMN, and the label `query`");
  check_name(node, query.name);
  query.sql = node.required<std::string>(
      "sql",
      "one statement, which runs in a read-only transaction; the search path is pg_catalog, "
      "public");
  const bool is_blank = std::ranges::all_of(
      query.sql, [](unsigned char c) { return std::isspace(c) != 0 || c == ';'; });
  if (node.has("sql") && is_blank) node.error("sql", "must not be empty");
  if (query.sql.contains('\0')) node.error("sql", "must not contain NUL");
  query.labels = node.list<std::string>("labels", "columns whose values are labels");
  check_labels(node, query.labels);
  std::list<config::Node>& values = node.sections(
      "values",
      "columns whose values are metrics; a text instead of a mapping is the name of the column");
  for (config::Node& section : values) {
    ValueColumn value = read_value(section, query.name, foreign);
    if (std::ranges::find(query.values, value.metric, &ValueColumn::metric) != query.values.end()) {
      section.error("column", "the metric " + value.metric + " occurs twice");
    }
    query.values.push_back(std::move(value));
  }
  if (values.empty()) node.error("values", "at least one column is required");
  query.interval = read_time(node, "interval", "time between two executions; default: each run");
  query.timeout =
      read_time(node, "timeout",
                "time limit of the statement; default and maximum: the remaining time of the run");
  read_versions(node, query);
  query.max_rows = static_cast<std::size_t>(
      node.get<std::int64_t>("max_rows", 100, "a result with more rows is an error", {1, 10'000}));
  return query;
}

bool overlap(const CustomQuery& a, const CustomQuery& b) {
  return a.min_version <= b.max_version && b.min_version <= a.max_version;
}

void check_against(config::Node& node, const CustomQuery& query, const CustomQuery& other) {
  if (!overlap(query, other)) return;
  if (query.name == other.name) {
    node.error("name", "duplicate query name " + config::quoted(query.name) +
                           ": use another name, or versions that do not overlap");
    return;
  }
  for (const ValueColumn& value : query.values) {
    if (std::ranges::find(other.values, value.metric, &ValueColumn::metric) == other.values.end())
      continue;
    node.error("values",
               "the query " + config::quoted(other.name) + " also has the metric " + value.metric);
  }
}

}  // namespace

std::vector<CustomQuery> read_queries(config::Node& options, const ForeignFamilies& foreign) {
  std::vector<CustomQuery> queries;
  for (config::Node& section :
       options.sections("queries", "SQL whose results are published as metrics")) {
    const config::Value value = with_mappings(section.value());
    CustomQuery query;
    if (value.members.empty()) {  // or the keys are only being listed
      query = read_query(section, foreign);
    } else {
      config::Node node(value, section.path(), section.problems());
      query = read_query(node, foreign);
      node.finish();
      section.ignore_unknown();
    }
    for (const CustomQuery& other : queries) check_against(section, query, other);
    queries.push_back(std::move(query));
  }
  if (queries.size() > kMaxQueries) {
    options.error("queries", "must contain at most " + std::to_string(kMaxQueries) + " queries");
  }
  return queries;
}

std::string place_in(std::string_view sql, std::size_t position) {
  std::size_t line = 1;
  std::size_t column = 0;
  bool is_new_line = false;
  for (const char c : sql) {
    const bool continues_a_character = (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
    if (continues_a_character) continue;
    if (position == 0) break;
    --position;
    if (is_new_line) {
      ++line;
      column = 0;
    }
    ++column;
    is_new_line = c == '\n';
  }
  column += position;  // at the end of the text
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace vitalsd::postgres
