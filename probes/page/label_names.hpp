// The names under which the labels of a page are published. Pure.
#pragma once

#include "probes/page/sample_line.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::page {

constexpr std::string_view kExported = "exported_";

class LabelNames {
 public:
  using Renames = std::vector<std::pair<std::string, std::string>>;  ///< from, to

  /// A label with the name of a label in `constant_labels` (`probe="x",instance="y"`) is renamed to
  /// exported_NAME. This also applies to the new names of `renames`. `instance` and
  /// `exported_instance` are renamed to relayed_NAME, because the shipped scrape configurations
  /// interpret exported_instance as the instance.
  LabelNames(std::string_view constant_labels, const Renames& renames);

  /// Renames the labels of a line.
  void apply(SampleLine& line) const;

 private:
  [[nodiscard]] std::string_view published(std::string_view name) const;

  Renames renames_;
  NameFilter renamed_;  // the names that change
};

}  // namespace vitalsd::page
