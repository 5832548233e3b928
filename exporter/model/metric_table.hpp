// Metrics, each with the function that reads its value from an object. The samples and the kind's
// list of metrics come from this one declaration.
//
//   constexpr MetricTable kTable(
//       MetricRow{Metric({.name = "kube_pod_created", ...}, "namespace", "pod"),
//                 [](const Pod& pod) { return pod.created; }},
//       MetricRow{Metric({.name = "kube_pod_container_status_waiting_reason", ...},
//                        "namespace", "pod", "reason"),
//                 [](const Pod& pod, auto put) { if (pod.waiting()) put(1, pod.reason); }});
//
//   kTable.add(part, pod, pod.namespace_name, pod.name);
//   constexpr auto kMetrics = metric_list(kTable, kAnotherMetric);
#pragma once

#include "exporter/model/metric.hpp"
#include "exporter/model/sample_set.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>

namespace vitalsd {

/// `read(object)` returns the value: a number, a bool, or an optional of one (empty: no sample).
/// `read(object, put)` calls `put(value, labels...)` once for each sample, with the values of the
/// labels that follow those that all rows of the table have.
template <std::size_t N, class Read>
struct MetricRow {
  Metric<N> metric;
  Read read;
};

template <class... Rows>
class MetricTable {
 public:
  static constexpr std::size_t kSize = sizeof...(Rows);

  explicit constexpr MetricTable(const Rows&... rows) : rows_(rows...) {}

  /// Adds the samples of `object`; `labels` are the values of the first labels of each metric.
  template <class Object, class... Labels>
  void add(Part& out, const Object& object, const Labels&... labels) const {
    std::apply([&](const Rows&... row) { (add_row(out, row, object, labels...), ...); }, rows_);
  }

  [[nodiscard]] constexpr std::array<const MetricInfo*, kSize> metrics() const {
    return std::apply(
        [](const Rows&... row) { return std::array<const MetricInfo*, kSize>{&row.metric...}; },
        rows_);
  }

 private:
  template <class T>
  static std::optional<double> to_value(const std::optional<T>& value) {
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  static double to_value(T value) {
    return static_cast<double>(value);
  }

  template <class Row, class Object, class... Labels>
  static void add_row(Part& out, const Row& row, const Object& object, const Labels&... labels) {
    if constexpr (std::invocable<decltype(row.read), const Object&>) {
      out.add(row.metric, to_value(row.read(object)), labels...);
    } else {
      row.read(object, [&](const auto& value, const auto&... more) {
        out.add(row.metric, to_value(value), labels..., more...);
      });
    }
  }

  std::tuple<Rows...> rows_;
};

namespace detail {
template <class Item>
constexpr std::size_t metric_count() {
  if constexpr (std::derived_from<Item, MetricInfo>) {
    return 1;
  } else {
    return Item::kSize;
  }
}
}  // namespace detail

/// All metrics of a kind, for its ProbeKind. `items` are single metrics and tables.
template <class... Items>
constexpr auto metric_list(const Items&... items) {
  std::array<const MetricInfo*, (detail::metric_count<Items>() + ... + 0)> list{};
  std::size_t next = 0;
  const auto append = [&]<class Item>(const Item& item) {
    if constexpr (std::derived_from<Item, MetricInfo>) {
      list[next++] = &item;
    } else {
      for (const MetricInfo* metric : item.metrics()) list[next++] = metric;
    }
  };
  (append(items), ...);
  return list;
}

}  // namespace vitalsd
