#include "probes/kubernetes/objects/volume_objects.hpp"

#include "unit/support/protobuf.hpp"

namespace vitalsd::kubernetes {
namespace {

using test::Message;
using test::metadata;

Message volume() {
  const Message claim =
      Message().text(1, "PersistentVolumeClaim").text(2, "shop").text(3, "data").text(4, "uid-2");
  return Message()
      .message(1, metadata("pv-1", ""))
      .message(2, Message()
                      .amount(1, "storage", "10Gi")
                      .message(4, claim)
                      .text(5, "Retain")
                      .text(6, "fast"))
      .message(3, Message().text(1, "Failed").text(2, "words").text(3, "RecyclerFailed"));
}

TEST(VolumeObjects, ReadsAVolume) {
  const Volume pv = read_volume(test::with_unknown_fields(volume()).bytes());
  EXPECT_EQ(pv.key(), "pv-1");
  EXPECT_EQ(pv.uid, "uid-1");
  EXPECT_EQ(pv.created, 1000);
  EXPECT_EQ(pv.capacity, 10737418240.0);
  EXPECT_EQ(pv.claim_namespace, "shop");
  EXPECT_EQ(pv.claim_name, "data");
  EXPECT_EQ(pv.storage_class, "fast");
  EXPECT_EQ(pv.phase.get(), "Failed");
  EXPECT_EQ(pv.reason.get(), "RecyclerFailed");
}

Message claim() {
  const Message resources = Message().amount(1, "storage", "20Gi").amount(2, "storage", "5Gi");
  return Message()
      .message(1, metadata("data"))
      .message(
          2,
          Message().text(1, "ReadWriteOnce").message(2, resources).text(3, "pv-1").text(5, "fast"))
      .message(3, Message().text(1, "Bound").amount(3, "storage", "10Gi"));
}

TEST(VolumeObjects, ReadsAClaim) {
  const Claim data = read_claim(test::with_unknown_fields(claim()).bytes());
  EXPECT_EQ(data.key(), "shop/data");
  EXPECT_EQ(data.requested, 5368709120.0) << "the request, not the limit";
  EXPECT_EQ(data.capacity, 10737418240.0);
  EXPECT_EQ(data.volume, "pv-1");
  EXPECT_EQ(data.storage_class, "fast");
  EXPECT_EQ(data.phase.get(), "Bound");
}

TEST(VolumeObjects, MissingFieldsAreEmpty) {
  EXPECT_EQ(read_volume("").capacity, std::nullopt);
  EXPECT_EQ(read_volume("").claim_name, "");
  EXPECT_EQ(read_claim("").requested, std::nullopt);
  const Message other = Message().message(2, Message().amount(1, "iops", "100"));
  EXPECT_EQ(read_volume(other.bytes()).capacity, std::nullopt);
}

TEST(VolumeObjects, KeepsAnUnknownPhase) {
  const Message future = Message().message(3, Message().text(1, "Snoozing"));
  EXPECT_EQ(read_volume(future.bytes()).phase.get(), "Snoozing");
}

TEST(VolumeObjects, RejectsMalformedBytes) {
  test::expect_hostile_bytes_refused(volume().bytes(), &read_volume);
  test::expect_hostile_bytes_refused(claim().bytes(), &read_claim);
}

}  // namespace
}  // namespace vitalsd::kubernetes
