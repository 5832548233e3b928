#include "probes/kubernetes/objects/node_object.hpp"

#include "unit/support/protobuf.hpp"
#include <gmock/gmock.h>

namespace vitalsd::kubernetes {
namespace {

using test::Message;
using test::metadata;
using testing::ElementsAre;
using testing::Pair;

Message address(std::string_view type, std::string_view value) {
  return Message().text(1, type).text(2, value);
}

Message condition(std::string_view type, std::string_view status, std::string_view reason) {
  return Message().text(1, type).text(2, status).time(4, 2000).text(5, reason).text(6, "words");
}

Message node() {
  const Message taint = Message().text(1, "gone").text(2, "yes").text(3, "NoExecute").time(4, 3000);
  const Message versions = Message()
                               .text(4, "6.1.0")
                               .text(5, "Debian 12")
                               .text(6, "containerd://1.6")
                               .text(7, "v1.34.0");
  return Message()
      .message(1, metadata("node-1", ""))
      .message(2, Message().number(4, 1).message(5, taint))
      .message(3, Message()
                      .amount(1, "cpu", "4")
                      .amount(2, "cpu", "3500m")
                      .message(4, condition("Ready", "False", "KubeletNotReady"))
                      .message(5, address("ExternalIP", "203.0.113.1"))
                      .message(5, address("InternalIP", "192.0.2.1"))
                      .message(5, address("InternalIP", "2001:db8::1"))
                      .message(5, address("Hostname", "node-1.test"))
                      .message(6, Message().message(1, Message().number(1, 10'251)))
                      .message(7, versions));
}

TEST(NodeObject, ReadsANode) {
  const Node read = read_node(test::with_unknown_fields(node()).bytes());
  EXPECT_EQ(read.key(), "node-1");
  EXPECT_EQ(read.uid, "uid-1");
  EXPECT_EQ(read.created, 1000);
  EXPECT_TRUE(read.unschedulable);
  EXPECT_THAT(read.taints, ElementsAre(Taint{"gone", "yes", "NoExecute"}));
  EXPECT_THAT(read.capacity, ElementsAre(Pair("cpu", 4)));
  EXPECT_THAT(read.allocatable, ElementsAre(Pair("cpu", 3.5)));
  EXPECT_EQ(read.kernel_version, "6.1.0");
  EXPECT_EQ(read.os_image, "Debian 12");
  EXPECT_EQ(read.container_runtime_version, "containerd://1.6");
  EXPECT_EQ(read.kubelet_version, "v1.34.0");
  ASSERT_NE(read.condition("Ready"), nullptr);
  EXPECT_EQ(read.condition("Ready")->status.get(), "False");
  EXPECT_EQ(read.condition("Ready")->reason.get(), "KubeletNotReady");
  EXPECT_EQ(read.condition("DiskPressure"), nullptr);
}

TEST(NodeObject, ReadsTheAddressOfItsKubelet) {
  const Node read = read_node(node().bytes());
  EXPECT_EQ(read.internal_ip, "192.0.2.1");  // the first one
  EXPECT_THAT(read.addresses, ElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_EQ(read.kubelet_port, 10'251);

  const Node bare = read_node(Message().message(1, metadata("bare", "")).bytes());
  EXPECT_EQ(bare.internal_ip, "");
  EXPECT_TRUE(bare.addresses.empty());
  EXPECT_EQ(bare.kubelet_port, 0);
  EXPECT_FALSE(bare.unschedulable);
}

TEST(NodeObject, RejectsATruncatedMessage) {
  const std::string whole = node().bytes();
  EXPECT_THROW(read_node(std::string_view(whole).substr(0, whole.size() - 1)), ProbeError);
}

}  // namespace
}  // namespace vitalsd::kubernetes
