// Families that are declared at run time: by the page of a target, or by a query in the
// configuration. Standard library only.
#pragma once

#include "exporter/model/metric_ref.hpp"

#include <cstddef>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace vitalsd {

/// A declaration as its publisher wrote it. `name` is a valid metric name
/// ([a-zA-Z_:][a-zA-Z0-9_:]*): with _total for a counter, with _info for an info. For a histogram
/// or a summary, it is the name without the suffixes of the samples.
struct ForeignDeclaration {
  std::string_view name;
  Type type = Type::unknown;
  std::string_view help{};  ///< without escapes; may be empty
  std::string_view unit{};  ///< as in OpenMetrics; published only if the name ends in it
};

/// Interns declarations. A family exists while a MetricRef refers to it. When the last one is
/// destroyed, the text is freed, and another declaration can use the name. Thread-safe.
class ForeignFamilies {
 public:
  /// Why a publisher cannot have a family.
  enum class Clash : unsigned char {
    declared,  ///< vitalsd declares a family of this name with another type
    type,      ///< another publisher has a family of this name with another type
    name,      ///< another family has a sample with the name of a sample of this family
  };

  ForeignFamilies();

  /// Adds a family that vitalsd declares. A foreign family of the same name and type joins it.
  void declare(std::string_view name, Type type);

  /// Whether vitalsd declares a family whose samples have this name.
  [[nodiscard]] bool is_declared(std::string_view name) const;

  /// Returns the existing family with this name and type, or a new one. All publishers of a family
  /// share it. An existing family keeps its help and unit. A reserved name is replaced by
  /// exported_name().
  [[nodiscard]] std::expected<MetricRef, Clash> intern(const ForeignDeclaration& declaration);

  /// The number of families that exist.
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  struct Family;

  std::shared_ptr<State> state_;  // shared with every family, which removes itself from it
};

/// Whether publishers must not use the name, because Prometheus or vitalsd itself writes series of
/// that name. They are up, scrape_*, vitalsd_* and series about a probe, such as relay_up,
/// probe_success and job_overdue: the label `probe` of a foreign line is that of its publisher, so
/// the line would look like a result of that probe.
bool is_reserved_name(std::string_view name);

/// "exported_NAME" if the name is reserved, otherwise the name.
std::string exported_name(std::string_view name);

}  // namespace vitalsd
