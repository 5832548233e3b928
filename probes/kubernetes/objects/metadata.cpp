#include "probes/kubernetes/objects/metadata.hpp"

#include "probes/kubernetes/objects/quantity.hpp"

#include <algorithm>
#include <cctype>

namespace vitalsd::kubernetes {
namespace {

namespace meta {
constexpr std::uint32_t kName = 1;
constexpr std::uint32_t kNamespace = 3;
constexpr std::uint32_t kUid = 5;
constexpr std::uint32_t kGeneration = 7;
constexpr std::uint32_t kCreated = 8;
constexpr std::uint32_t kDeleted = 9;
constexpr std::uint32_t kOwners = 13;
}  // namespace meta

namespace owner {
constexpr std::uint32_t kKind = 1;
constexpr std::uint32_t kName = 3;
constexpr std::uint32_t kController = 6;
}  // namespace owner

void read_owner(std::string_view message, Metadata& out) {
  std::string_view kind;
  std::string_view name;
  bool controller = false;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == owner::kKind) kind = field.bytes();
    if (field.tag() == owner::kName) name = field.bytes();
    if (field.tag() == owner::kController) controller = field.boolean();
  });
  if (!controller) return;
  out.owner_kind = kind;
  out.owner_name = name;
}

}  // namespace

Metadata read_metadata(std::string_view message) {
  Metadata out;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == meta::kName) out.name = field.bytes();
    if (field.tag() == meta::kNamespace) out.namespace_name = field.bytes();
    if (field.tag() == meta::kUid) out.uid = field.bytes();
    if (field.tag() == meta::kGeneration) out.generation = field.integer();
    if (field.tag() == meta::kCreated) out.created = read_time(field.bytes());
    if (field.tag() == meta::kDeleted) out.deleted = read_time(field.bytes());
    if (field.tag() == meta::kOwners) read_owner(field.bytes(), out);
  });
  return out;
}

std::optional<double> read_time(std::string_view message) {
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) seconds = field.integer();
    if (field.tag() == 2) nanoseconds = field.integer();
  });
  // An empty message is the zero time. The API writes it if a required field has no time.
  if (seconds <= 0) return std::nullopt;
  constexpr std::int64_t kSecond = 1'000'000'000;
  return static_cast<double>(seconds) +
         static_cast<double>(std::clamp<std::int64_t>(nanoseconds, 0, kSecond - 1)) / kSecond;
}

void read_amount(std::string_view entry, Amounts& amounts) {
  read_map_entry(entry, [&](std::string_view resource, std::string_view quantity) {
    std::string_view text;
    for_each_field(quantity, [&](Field& field) {
      if (field.tag() == 1) text = field.bytes();
    });
    const std::optional<double> amount = parse_quantity(text);
    if (amount) amounts.emplace_back(resource, *amount);
  });
}

std::string resource_label(std::string_view resource) {
  std::string label(resource);
  std::ranges::replace_if(label, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return label;
}

std::string_view resource_unit(std::string_view resource) {
  if (resource == "cpu") return "core";
  const bool bytes =
      resource == "memory" || resource.ends_with("storage") || resource.starts_with("hugepages-");
  return bytes ? "byte" : "integer";
}

Condition read_condition(std::string_view message, const ConditionFields& fields) {
  Condition out;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.type = SharedText(field.bytes());
    if (field.tag() == 2) out.status = SharedText(field.bytes());
    if (field.tag() == fields.reason) out.reason = SharedText(field.bytes());
    if (field.tag() == fields.last_transition) out.since = read_time(field.bytes());
  });
  return out;
}

}  // namespace vitalsd::kubernetes
