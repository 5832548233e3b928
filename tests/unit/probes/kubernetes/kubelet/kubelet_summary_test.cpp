#include "probes/kubernetes/kubelet/kubelet_summary.hpp"

#include "probes/error.hpp"

#include <cstddef>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "unit/support/readers.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using testing::HasSubstr;

KubeletSummary read(std::string_view text, std::size_t piece = std::string_view::npos) {
  return test::read_in_pieces(SummaryReader(), text, piece);
}

std::string error_of(std::string_view text) {
  return test::protocol_error_of([&] { read(text); });
}

std::string sample() {
  std::ifstream in(VITALSD_TEST_DATA "/kubernetes/summary.json");
  return {std::istreambuf_iterator<char>(in), {}};
}

// A summary with the required members and these.
std::string with(std::string_view members) {
  return R"({"node":{"nodeName":"n"},)" + std::string(members) + '}';
}

void expect_sample(const KubeletSummary& summary) {
  EXPECT_EQ(summary.node, "worker-1");
  EXPECT_EQ(summary.usage.cpu_seconds, 48211.094112);
  EXPECT_EQ(summary.usage.memory_usage_bytes, 6442450944);
  EXPECT_EQ(summary.usage.memory_working_set_bytes, 4831838208);
  EXPECT_EQ(summary.usage.memory_available_bytes, 3520323584);
  EXPECT_EQ(summary.fs.available_bytes, 44023414784);
  EXPECT_EQ(summary.fs.capacity_bytes, 85899345920);
  EXPECT_EQ(summary.fs.used_bytes, 37580963840);
  EXPECT_EQ(summary.fs.inodes, 5242880);
  EXPECT_EQ(summary.fs.inodes_free, 4980000);
  EXPECT_EQ(summary.image_fs.used_bytes, 12884901888);
  EXPECT_EQ(summary.container_fs.used_bytes, 2147483648);
  EXPECT_EQ(summary.container_fs.inodes, std::nullopt);

  ASSERT_EQ(summary.pods.size(), 3);
  const PodSummary& api = summary.pods[0];
  EXPECT_EQ(api.name, "api-6d9f7c5b8-x2x7k");
  EXPECT_EQ(api.namespace_name, "vcci-production");
  EXPECT_EQ(api.usage.cpu_seconds, 9120.5);
  EXPECT_EQ(api.usage.memory_working_set_bytes, 393216000);
  ASSERT_EQ(api.containers.size(), 2);
  EXPECT_EQ(api.containers[0].name, "api");
  EXPECT_EQ(api.containers[0].usage.cpu_seconds, 118.5);
  EXPECT_EQ(api.containers[0].usage.memory_available_bytes, 222298112);
  EXPECT_EQ(api.containers[1].name, "log-shipper");
  EXPECT_EQ(api.containers[1].usage.memory_usage_bytes, 25165824);
  EXPECT_EQ(api.containers[1].usage.memory_available_bytes, std::nullopt);
  ASSERT_EQ(api.volumes.size(), 1);
  EXPECT_EQ(api.volumes[0].name, "kube-api-access-8fjx2");
  EXPECT_EQ(api.volumes[0].claim, "");

  const PodSummary& postgres = summary.pods[1];
  EXPECT_EQ(postgres.usage.memory_available_bytes, std::nullopt);
  ASSERT_EQ(postgres.volumes.size(), 1);
  EXPECT_EQ(postgres.volumes[0].name, "data");
  EXPECT_EQ(postgres.volumes[0].claim, "data-postgres-0");
  EXPECT_EQ(postgres.volumes[0].claim_namespace, "vcci-production");
  EXPECT_EQ(postgres.volumes[0].fs.available_bytes, 9663676416);
  EXPECT_EQ(postgres.volumes[0].fs.capacity_bytes, 10464022528);
  EXPECT_EQ(postgres.volumes[0].fs.used_bytes, 783568896);
  EXPECT_EQ(postgres.volumes[0].fs.inodes, 655360);
  EXPECT_EQ(postgres.volumes[0].fs.inodes_free, 654000);

  EXPECT_EQ(summary.pods[2].name, "report-28912345-q8zvw");
  EXPECT_TRUE(summary.pods[2].containers.empty());
  EXPECT_EQ(summary.pods[2].usage.cpu_seconds, std::nullopt);
}

TEST(KubeletSummary, ReadsRecordedSummary) { expect_sample(read(sample())); }

TEST(KubeletSummary, AcceptsPiecesOfAnySize) {
  const std::string text = sample();
  for (const std::size_t piece : {1, 2, 3, 7, 100, 4096}) expect_sample(read(text, piece));
}

TEST(KubeletSummary, MissingAndNullAreEmpty) {
  const KubeletSummary summary = read(R"({"node":{"nodeName":"n","cpu":null,
      "fs":{"availableBytes":null,"usedBytes":0}},"pods":null})");
  EXPECT_EQ(summary.fs.available_bytes, std::nullopt);
  EXPECT_EQ(summary.fs.used_bytes, 0);
  EXPECT_EQ(summary.usage.cpu_seconds, std::nullopt);
  EXPECT_TRUE(summary.pods.empty());
}

TEST(KubeletSummary, AcceptsNodeAfterPods) {
  const auto summary = read(R"({"pods":[{"podRef":{"name":"p"}}],"node":{"nodeName":"n"}})");
  EXPECT_EQ(summary.node, "n");
  ASSERT_EQ(summary.pods.size(), 1);
  EXPECT_EQ(summary.pods[0].name, "p");
}

TEST(KubeletSummary, IgnoresMembersAtOtherPaths) {
  const KubeletSummary summary = read(with(R"(
      "a":{"node":{"nodeName":"x"},"pods":[{}]},
      "fs":{"usedBytes":1},
      "node/fs":{"usedBytes":2},
      "pods":[{"volume":[{"name":"v","pvcRef":{"name":"c","usedBytes":"x"}}],
               "containers":[{"name":"c","rootfs":{"name":4},"cpu":{"name":5}}]}],
      "/pods/volume":{"name":6},
      "":{"":7})"));
  EXPECT_EQ(summary.node, "n");
  EXPECT_EQ(summary.fs.used_bytes, std::nullopt);
  ASSERT_EQ(summary.pods.size(), 1);
  EXPECT_EQ(summary.pods[0].volumes.at(0).claim, "c");
  EXPECT_EQ(summary.pods[0].containers.at(0).name, "c");
}

TEST(KubeletSummary, ReadsEscapesAndLargeNumbers) {
  const KubeletSummary summary = read(
      R"({"node":{"nodeName":"\u00e4\n\"","fs":{"usedBytes":18446744073709551615,
          "inodes":1.5e3}}})");
  EXPECT_EQ(summary.node, "\u00e4\n\"");
  EXPECT_EQ(summary.fs.used_bytes, 0x1p64);
  EXPECT_EQ(summary.fs.inodes, 1500);
}

TEST(KubeletSummary, ReportsMembersOfWrongType) {
  struct Case {
    std::string text;
    std::string_view error;
  };
  for (const auto& [text, error] : {
           Case{"1", "the document is a number, not an object"},
           Case{"\"x\"", "the document is a string, not an object"},
           Case{"[true]", "the document is a boolean, not an object"},
           Case{R"({"node":5})", "node is a number, not an object"},
           Case{R"({"node":{"nodeName":5}})", "node/nodeName is a number, not a string"},
           Case{R"({"node":{"nodeName":{}}})", "node/nodeName is an object, not a string"},
           Case{R"({"node":{"nodeName":["n"]}})", "node/nodeName is a list, not a string"},
           Case{R"({"node":{"nodeName":true}})", "node/nodeName is a boolean, not a string"},
           Case{with(R"("pods":"none")"), "pods is a string, not an object"},
           Case{with(R"("pods":[1])"), "pods is a number, not an object"},
           Case{with(R"("pods":[{"volume":[{"usedBytes":"1"}]}])"),
                "pods/volume/usedBytes is a string, not a number"},
           Case{with(R"("pods":[{"volume":[{"pvcRef":"x"}]}])"),
                "pods/volume/pvcRef is a string, not an object"},
           Case{with(R"("pods":[{"cpu":{"usageCoreNanoSeconds":[]}}])"),
                "pods/cpu/usageCoreNanoSeconds is a list, not a number"},
           Case{R"({"node":{"memory":{"usageBytes":{"a":1}}}})",
                "node/memory/usageBytes is an object, not a number"},
           Case{R"({"node":{"fs":{"usedBytes":-1}}})", "node/fs/usedBytes is out of range"},
           Case{R"({"node":{"fs":{"usedBytes":1e30}}})", "node/fs/usedBytes is out of range"},
           Case{R"({"node":{"fs":{"usedBytes":1e400}}})", "/stats/summary: "},
       }) {
    EXPECT_THAT(error_of(text), HasSubstr(error)) << text;
  }
}

TEST(KubeletSummary, ReportsInvalidDocuments) {
  struct Case {
    std::string_view text;
    std::string_view error;
  };
  for (const auto& [text, error] : {
           Case{"", "incomplete JSON at byte 0"},
           Case{"<html>", "syntax error at byte 0"},
           Case{"{\"node\":{\"nodeName\":\"n\"}", "incomplete JSON at byte 24"},
           Case{"{\"node\":{\"nodeName\":\"n\"}} x", "extra data at byte 26"},
           Case{"{\"a\":NaN}", "syntax error at byte 5"},
           Case{"{\"a\":\"\xff\"}", "at byte"},
           Case{"{}", "node/nodeName is missing"},
           Case{"null", "node/nodeName is missing"},
           Case{R"({"kind":"Status","code":403})", "node/nodeName is missing"},
       }) {
    EXPECT_THAT(error_of(text), HasSubstr(error)) << text;
  }
}

TEST(KubeletSummary, EnforcesLimits) {
  EXPECT_EQ(error_of(with("\"a\":" + std::string(31, '[') + std::string(31, ']'))), "");
  EXPECT_THAT(error_of(with("\"a\":" + std::string(1'000'000, '['))), HasSubstr("too deep"));
  EXPECT_THAT(error_of(with("\"a\":\"" + std::string(std::size_t{32} << 20, 'a') + '"')),
              HasSubstr("more than 32 MiB"));
  std::string pods = "\"pods\":[{}";
  for (int i = 0; i < 50'000; ++i) pods += ",{}";
  EXPECT_THAT(error_of(with(pods + ']')), HasSubstr("too many pods, containers or volumes"));
  // The name of an unknown member may have any length.
  EXPECT_EQ(error_of(with('"' + std::string(1'000'000, 'a') + "\":1")), "");
}

}  // namespace
}  // namespace vitalsd::kubernetes
