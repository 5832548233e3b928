// Histograms with classic buckets. A kind declares one beside its metrics; its probe owns the
// counts, which last between runs. One histogram is one chunk of the page, so that a scrape never
// sees buckets of two runs. Standard library only.
#pragma once

#include "exporter/model/metric.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// A metric whose samples are the buckets, the sum and the count. `bounds` are the upper bounds of
/// the buckets, ascending, without +Inf.
///
///   constexpr Histogram kDuration({.name = "..._duration_seconds", ...}, std::array{0.1, 1.0});
template <std::size_t B, std::size_t N>
struct Histogram : Metric<N> {
  template <class... Names>
  explicit consteval Histogram(MetricSpec spec, const std::array<double, B>& upper,
                               const Names&... names)
      : Metric<N>(with_type(spec), names...), bounds(upper) {
    for (std::size_t i = 0; i < B; ++i) {
      lint::require(bounds[i] - bounds[i] == 0, "a bound must be finite");
      lint::require(i == 0 || bounds[i - 1] < bounds[i], "the bounds must be ascending");
    }
    for (std::size_t i = 0; i < N; ++i) {
      lint::require(this->label_names[i] != "le", "the label le is that of the bounds");
    }
  }

  std::array<double, B> bounds;

 private:
  static consteval MetricSpec with_type(MetricSpec spec) {
    spec.type = Type::histogram;
    return spec;
  }
};

template <std::size_t B, class... Names>
Histogram(MetricSpec, const std::array<double, B>&, const Names&...)
    -> Histogram<B, sizeof...(Names)>;

/// The observations of one series.
class HistogramCounts {
 public:
  template <std::size_t B, std::size_t N>
  explicit HistogramCounts(const Histogram<B, N>& metric)
      : bounds_(metric.bounds), counts_(B + 1) {}

  /// Ignores NaN.
  void add(double value) {
    if (std::isnan(value)) return;
    std::size_t bucket = 0;
    while (bucket < bounds_.size() && value > bounds_[bucket]) ++bucket;
    ++counts_[bucket];
    sum_ += value;
  }

  /// Appends the lines of all buckets, the sum and the count. `labels` are added to every line:
  /// `probe="x",phase="tls"`.
  void render(std::string& out, std::string_view name, const std::string& labels) const;

 private:
  std::span<const double> bounds_;     // of the declaration
  std::vector<std::uint64_t> counts_;  // per bucket, not cumulative; the last one is +Inf
  double sum_ = 0;
};

/// A bound in the canonical form of OpenMetrics: "0.5", "1.0", "+Inf".
std::string bound_text(double bound);

}  // namespace vitalsd
