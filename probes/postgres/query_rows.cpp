#include "probes/postgres/query_rows.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/error.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace vitalsd::postgres {
namespace {

ProbeError mismatch(const std::string& text) { return {Reason::mismatch, text}; }

int find_column(const std::vector<std::string_view>& columns, std::string_view name) {
  const auto found = std::ranges::find(columns, name);
  if (found != columns.end()) return static_cast<int>(found - columns.begin());
  std::string list;
  for (const std::string_view column : columns) {
    list += (list.empty() ? "" : ", ") + config::quoted(column);
  }
  throw mismatch("the result has no column " + config::quoted(name) +
                 (list.empty() ? "; it has no columns" : "; its columns are " + list));
}

// Returns nothing for NULL and NaN.
std::optional<double> read_value(const net::PgResult& result, int row, int column,
                                 const ValueColumn& value) {
  if (result.is_null(row, column)) return std::nullopt;
  if (result.is_boolean(column)) return result.is_true(row, column) ? 1 : 0;
  const std::optional<double> number = result.number(row, column);
  if (!number) {
    throw mismatch("column " + config::quoted(value.column) + ": " +
                   config::quoted(result.text(row, column)) +
                   " is not a number: cast it, or for a time write extract(epoch FROM ...)");
  }
  if (std::isnan(*number)) return std::nullopt;
  if (value.type == Type::counter && *number < 0) {
    throw mismatch("column " + config::quoted(value.column) + ": a counter cannot be negative");
  }
  return number;
}

// Returns the family of `value`. Throws if another probe publishes the family with another type.
MetricRef family_of(const ValueColumn& value, ForeignFamilies& foreign) {
  const auto family =
      foreign.intern({.name = value.metric, .type = value.type, .help = value.help, .unit = {}});
  if (family) return *family;
  throw mismatch("the metric " + value.metric +
                 " cannot be published: another target has a metric of this name with another "
                 "type");
}

}  // namespace

boost::asio::awaitable<Fragment> read_rows(const CustomQuery& query, const net::PgResult& result,
                                           ForeignFamilies& foreign, std::string constant_labels) {
  if (static_cast<std::size_t>(result.rows()) > query.max_rows) {
    throw mismatch("the result has " + std::to_string(result.rows()) +
                   " rows, more than max_rows, which is " + std::to_string(query.max_rows));
  }
  const std::vector<std::string_view> columns = result.column_names();
  std::vector<std::pair<std::string, int>> labels;  // name and column
  for (const std::string& label : query.labels) {
    std::string name = label;
    const auto clashes = [&] {
      const bool is_another =
          name != label && std::ranges::find(query.labels, name) != query.labels.end();
      return is_another || (',' + constant_labels).contains(',' + name + "=\"");
    };
    while (clashes()) name.insert(0, "exported_");
    labels.emplace_back(std::move(name), find_column(columns, label));
  }
  std::vector<int> places;
  for (const ValueColumn& value : query.values) {
    places.push_back(find_column(columns, value.column));
  }
  std::vector<std::string> texts(query.values.size());
  std::unordered_set<std::string> seen;
  kubernetes::LoopYield loop_yield;
  for (int row = 0; row < result.rows(); ++row) {
    std::string all_labels = constant_labels;
    for (const auto& [name, column] : labels) {
      append_label(all_labels, name, printable_utf8(result.text(row, column)));
    }
    if (!seen.insert(all_labels).second) {
      throw mismatch("two rows have the same labels" +
                     (labels.empty() ? ": the query has no `labels`, so it must return one row"
                                     : ' ' + all_labels.substr(constant_labels.size() + 1)));
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto number = read_value(result, row, places[i], query.values[i]);
      if (!number) continue;
      texts[i] += query.values[i].metric + '{' + all_labels + "} ";
      append_number(texts[i], *number);
      texts[i] += '\n';
    }
    co_await loop_yield.yield_if_due();
  }
  auto fragment = std::make_shared<std::vector<FragmentFamily>>();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    MetricRef family = family_of(query.values[i], foreign);
    if (texts[i].empty()) continue;
    const auto keeper = std::make_shared<const std::string>(std::move(texts[i]));
    fragment->push_back({std::move(family), *keeper, keeper});
  }
  co_return fragment;
}

}  // namespace vitalsd::postgres
