#include "probes/relay/pod_targets.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "unit/support/protobuf.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::relay {
namespace {

using test::Message;
using testing::ElementsAre;

// A Container with one port.
Message container(std::string_view port, std::int64_t number) {
  return Message().text(1, "c").message(6, Message().text(1, port).number(3, number));
}

Message pod(const Message& spec) {
  return Message()
      .message(1, test::metadata("web-1"))
      .message(2, spec)
      .message(3, Message().text(1, "Running").text(6, "10.0.0.1"));
}

TEST(PodTargets, ReadsPorts) {
  const RelayedPod read = read_relayed_pod(
      pod(Message().message(2, container("http", 80)).message(2, container("", 81))).bytes());
  EXPECT_EQ(read.key(), "shop/web-1");
  EXPECT_EQ(read.address, "10.0.0.1");
  EXPECT_TRUE(read.running);
  EXPECT_THAT(read.ports, ElementsAre(std::pair("http", 80), std::pair("", 81)));
}

// Other init containers have ended when the pod runs.
TEST(PodTargets, ReadsPortsOfSidecars) {
  const Message spec = Message()
                           .message(2, container("http", 80))
                           .message(20, container("metrics", 1))
                           .message(20, container("metrics", 9000).text(24, "Always"))
                           .message(20, container("metrics", 2).text(24, "Never"));
  EXPECT_THAT(read_relayed_pod(pod(spec).bytes()).ports,
              ElementsAre(std::pair("http", 80), std::pair("metrics", 9000)));
}

TEST(PodTargets, RefusesHostileBytes) {
  const std::string good =
      pod(Message().message(20, container("metrics", 9000).text(24, "Always"))).bytes();
  test::expect_hostile_bytes_refused(good, [](std::string_view bytes) { read_relayed_pod(bytes); });
}

}  // namespace
}  // namespace vitalsd::relay
