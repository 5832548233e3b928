// The end of a page: the families that are published.
#include "probes/error.hpp"
#include "probes/page/page_reader.hpp"

#include <memory>
#include <string>
#include <utility>

namespace vitalsd::page {

Dropped reason_of(ForeignFamilies::Clash clash) {
  switch (clash) {
    case ForeignFamilies::Clash::type:
      return Dropped::type;
    case ForeignFamilies::Clash::name:
      return Dropped::name;
    case ForeignFamilies::Clash::declared:
      break;
  }
  return Dropped::declared;
}

Fragment PageReader::finish() {
  // The last line may have no newline.
  if (!partial_line_.empty()) read_line(std::exchange(partial_line_, {}));
  if (openmetrics_ && !ended_) {
    throw ProbeError(Reason::protocol,
                     "the page is truncated: OpenMetrics without its last line, # EOF");
  }
  auto out = std::make_shared<std::vector<FragmentFamily>>();
  for (Family& family : families_) {
    if (family.lines.count() > 0) publish(family, *out);
    family.lines.clear();
  }
  if (out->empty()) return nullptr;
  return out;
}

// A family that violates the rules of its type is published as type unknown, with one family for
// each name of its samples, because a strict parser would reject the whole page.
void PageReader::publish(Family& family, std::vector<FragmentFamily>& out) {
  const auto declaration = [&](std::string_view name, Type type) {
    return ForeignDeclaration{name, type, family.help, family.unit};
  };
  const bool has_total = family.type != Type::counter || family.name.ends_with("_total");
  const bool is_valid = family.check.finish();
  correct_count(family);
  if (is_valid || !has_total) {
    publish(declaration(family.name, family.type), family.lines, out);
    return;
  }
  if (!first_misfit_) first_misfit_ = {family.name, family.type};
  if (family.type != Type::histogram && family.type != Type::summary) {
    publish(declaration(family.name, Type::unknown), family.lines, out);
    return;
  }
  ByName<FamilyLines> singles;
  const std::string text = family.lines.take_text();
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    const std::string_view name = line.substr(0, line.find('{'));
    singles.try_emplace(std::string(name), previous_of(name)).first->second.add(line);
    rest.remove_prefix(line.size());
  }
  for (auto& [name, lines] : singles) {
    publish(declaration(name, Type::unknown), lines, out);
  }
}

void PageReader::publish(const ForeignDeclaration& declaration, FamilyLines& lines,
                         std::vector<FragmentFamily>& out) {
  const auto metric = foreign_.intern(declaration);
  if (metric) {
    out.push_back(lines.take(*metric));
    return;
  }
  drop(reason_of(metric.error()), lines.count(), declaration.name);
}

}  // namespace vitalsd::page
