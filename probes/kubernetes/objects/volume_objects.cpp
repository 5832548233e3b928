#include "probes/kubernetes/objects/volume_objects.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

void read_storage(std::string_view entry, std::optional<double>& bytes) {
  Amounts amounts;
  read_amount(entry, amounts);
  const auto found = std::ranges::find(amounts, "storage", &Amounts::value_type::first);
  if (found != amounts.end()) bytes = found->second;
}

void read_volume_spec(std::string_view message, Volume& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) read_storage(field.bytes(), out.capacity);
    if (field.tag() == 4) {
      for_each_field(field.bytes(), [&](Field& claim) {
        if (claim.tag() == 2) out.claim_namespace = claim.bytes();
        if (claim.tag() == 3) out.claim_name = claim.bytes();
      });
    }
    if (field.tag() == 6) out.storage_class = field.bytes();
  });
}

void read_claim_spec(std::string_view message, Claim& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 2) {
      for_each_field(field.bytes(), [&](Field& resources) {
        if (resources.tag() == 2) read_storage(resources.bytes(), out.requested);
      });
    }
    if (field.tag() == 3) out.volume = field.bytes();
    if (field.tag() == 5) out.storage_class = field.bytes();
  });
}

}  // namespace

Volume read_volume(std::string_view message) {
  Volume volume;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) {
      Metadata meta = read_metadata(field.bytes());
      volume.name = std::move(meta.name);
      volume.uid = std::move(meta.uid);
      volume.created = meta.created;
    }
    if (field.tag() == 2) read_volume_spec(field.bytes(), volume);
    if (field.tag() == 3) {
      for_each_field(field.bytes(), [&](Field& status) {
        if (status.tag() == 1) volume.phase = SharedText(status.bytes());
        if (status.tag() == 3) volume.reason = SharedText(status.bytes());
      });
    }
  });
  return volume;
}

Claim read_claim(std::string_view message) {
  Claim claim;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) claim.meta = read_metadata(field.bytes());
    if (field.tag() == 2) read_claim_spec(field.bytes(), claim);
    if (field.tag() == 3) {
      for_each_field(field.bytes(), [&](Field& status) {
        if (status.tag() == 1) claim.phase = SharedText(status.bytes());
        if (status.tag() == 3) read_storage(status.bytes(), claim.capacity);
      });
    }
  });
  return claim;
}

}  // namespace vitalsd::kubernetes
