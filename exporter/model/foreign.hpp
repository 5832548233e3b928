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

/// A declaration as its publisher wrote it. A valid name ([a-zA-Z_:][a-zA-Z0-9_:]*), of the
/// samples: that of a counter has its _total, that of an info its _info. That of a histogram or a
/// summary is the common part of its samples' names.
struct ForeignDeclaration {
  std::string_view name;
  Type type = Type::unknown;
  std::string_view help{};  ///< without escapes; may be empty
  std::string_view unit{};  ///< of OpenMetrics; not published unless the name ends in it
};

/// Interns declarations. A family exists while a MetricRef refers to it; its text is then freed,
/// and its name is available to another declaration. May be used by several threads.
class ForeignFamilies {
 public:
  /// Why a publisher cannot have a family.
  enum class Clash : unsigned char {
    declared,  ///< vitalsd declares a family of this name with another type
    type,      ///< another publisher has a family of this name with another type
    name,      ///< the samples of another family have one of the names of this one's samples
  };

  ForeignFamilies();

  /// Adds a family that vitalsd declares. A foreign one of the same name and type joins it.
  void declare(std::string_view name, Type type);

  /// Whether vitalsd declares a family whose samples have this name.
  [[nodiscard]] bool is_declared(std::string_view name) const;

  /// Returns the family of the name, which is new or which other publishers with the same type
  /// share. The first help and unit stay. A name that is reserved is replaced by exported_name().
  [[nodiscard]] std::expected<MetricRef, Clash> intern(const ForeignDeclaration& declaration);

  /// The number of families that exist.
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  struct Family;

  std::shared_ptr<State> state_;  // shared with every family, which removes itself from it
};

/// Whether a publisher may not use the name, because Prometheus or vitalsd itself writes the
/// series: up, scrape_*, vitalsd_*, and facts about a probe, such as relay_up, probe_success and
/// job_overdue, because the label `probe` of a foreign line is that of its publisher.
bool is_reserved_name(std::string_view name);

/// "exported_NAME" if the name is reserved, otherwise the name.
std::string exported_name(std::string_view name);

}  // namespace vitalsd
