#include "probes/kubernetes/objects/quota_object.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

std::optional<double> amount_of(const Amounts& amounts, std::string_view resource) {
  const auto found = std::ranges::find(amounts, resource, &Amounts::value_type::first);
  if (found == amounts.end()) return std::nullopt;
  return found->second;
}

// The entries of a protobuf map have any order, and a key may be repeated. After this, equal maps
// compare equal.
void normalize(Amounts& amounts) {
  std::ranges::sort(amounts);
  const auto duplicates = std::ranges::unique(amounts, {}, &Amounts::value_type::first);
  amounts.erase(duplicates.begin(), duplicates.end());
}

}  // namespace

std::optional<double> Quota::used_ratio(std::string_view resource) const {
  const std::optional<double> limit = amount_of(hard, resource);
  const std::optional<double> use = amount_of(used, resource);
  if (!limit || !use || *limit <= 0) return std::nullopt;
  return *use / *limit;
}

Quota read_quota(std::string_view message) {
  Quota quota;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) quota.meta = read_metadata(field.bytes());
    if (field.tag() == 3) {
      for_each_field(field.bytes(), [&](Field& status) {
        if (status.tag() == 1) read_amount(status.bytes(), quota.hard);
        if (status.tag() == 2) read_amount(status.bytes(), quota.used);
      });
    }
  });
  normalize(quota.hard);
  normalize(quota.used);
  return quota;
}

}  // namespace vitalsd::kubernetes
