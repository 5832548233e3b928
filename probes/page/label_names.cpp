#include "probes/page/label_names.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace vitalsd::page {
namespace {

// The names in `a="1",b="2"`.
std::vector<std::string> names_in(std::string_view labels) {
  std::vector<std::string> names;
  while (!labels.empty()) {
    names.emplace_back(labels.substr(0, labels.find('=')));
    labels.remove_prefix(names.back().size() + 2);
    while (!labels.starts_with('"')) labels.remove_prefix(labels.starts_with('\\') ? 2 : 1);
    labels.remove_prefix(std::min<std::size_t>(2, labels.size()));
  }
  return names;
}

}  // namespace

LabelNames::LabelNames(std::string_view constant_labels, const Renames& renames) {
  std::vector<std::string> added = names_in(constant_labels);
  added.emplace_back("__name__");           // the label would replace the name of the metric
  added.emplace_back("exported_instance");  // the label would replace the instance
  const auto exported = [&](std::string name) {
    if (name == "instance" || name == "exported_instance") name.insert(0, "relayed_");
    while (std::ranges::find(added, name) != added.end()) name.insert(0, kExported);
    return name;
  };
  for (const auto& [from, to] : renames) renames_.emplace_back(from, exported(to));
  for (const std::string& name : added) {
    const bool is_renamed =
        std::ranges::any_of(renames_, [&](const auto& rename) { return rename.first == name; });
    if (!is_renamed) renames_.emplace_back(name, exported(name));
  }
  for (const auto& rename : renames_) renamed_.add(rename.first);
}

std::string_view LabelNames::published(std::string_view name) const {
  for (const auto& [from, to] : renames_) {
    if (from == name) return to;
  }
  return name;
}

void LabelNames::apply(SampleLine& line) const {
  if (!line.names().overlaps(renamed_)) return;
  const std::span<const LineLabel> labels = line.labels();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::string_view name = published(labels[i].name);
    if (name.data() == labels[i].name.data()) continue;
    // The labels before this one already have their new names.
    const auto is_taken = [&](const LineLabel& other) {
      if (other.name != name || &other == &labels[i]) return false;
      return &other < &labels[i] || published(other.name) == other.name;
    };
    while (std::ranges::any_of(labels, is_taken)) {
      name = line.keep(std::string(kExported) + std::string(name));
    }
    line.rename(i, name);
  }
}

}  // namespace vitalsd::page
