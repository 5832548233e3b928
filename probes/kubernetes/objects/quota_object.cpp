#include "probes/kubernetes/objects/quota_object.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

std::optional<double> amount_of(const Amounts& amounts, std::string_view resource) {
  const auto found = std::ranges::find(amounts, resource, &Amounts::value_type::first);
  if (found == amounts.end()) return std::nullopt;
  return found->second;
}

// A map comes in any order, but equal ones are to be equal; and each key is in it once.
void tidy(Amounts& amounts) {
  std::ranges::sort(amounts);
  const auto doubles = std::ranges::unique(amounts, {}, &Amounts::value_type::first);
  amounts.erase(doubles.begin(), doubles.end());
}

}  // namespace

std::optional<double> Quota::used_ratio(std::string_view resource) const {
  const std::optional<double> granted = amount_of(hard, resource);
  const std::optional<double> taken = amount_of(used, resource);
  if (!granted || !taken || *granted <= 0) return std::nullopt;
  return *taken / *granted;
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
  tidy(quota.hard);
  tidy(quota.used);
  return quota;
}

}  // namespace vitalsd::kubernetes
