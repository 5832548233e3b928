// A reference to a metric family: one that the code declares, which is never freed, or a foreign
// one (foreign.hpp), which exists while something refers to it. Standard library only.
#pragma once

#include "exporter/model/metric.hpp"

#include <memory>
#include <utility>

namespace vitalsd {

/// Equal if they refer to the same object.
class MetricRef {
 public:
  MetricRef() = default;
  MetricRef(const MetricInfo* declared)  // NOLINT(*-explicit-*): declared metrics need no owner
      : metric_(std::shared_ptr<const void>(), declared) {}
  explicit MetricRef(std::shared_ptr<const MetricInfo> foreign) : metric_(std::move(foreign)) {}

  [[nodiscard]] const MetricInfo* get() const { return metric_.get(); }
  const MetricInfo& operator*() const { return *metric_; }
  const MetricInfo* operator->() const { return metric_.get(); }
  /// Whether the family is freed with its last reference.
  [[nodiscard]] bool is_foreign() const { return metric_.use_count() > 0; }

  friend bool operator==(const MetricRef& a, const MetricRef& b) { return a.get() == b.get(); }

 private:
  std::shared_ptr<const MetricInfo> metric_;
};

}  // namespace vitalsd
