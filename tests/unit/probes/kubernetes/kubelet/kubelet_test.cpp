// Kind kubelet against a scripted kubelet, which has its own TLS certificate and port.
#include "exporter/model/sample_set.hpp"
#include "probes/kubernetes/watch/selection.hpp"
#include "probes/probe.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/certificate.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/silent_address.hpp"
#include "unit/support/temp_directory.hpp"
#include "unit/support/tls_server.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpScript;
using test::Message;

constexpr std::string_view kMemory = "node_memory_working_set_bytes";
constexpr std::string_view kUsage = "container_memory_usage_bytes";

std::string file_system(double capacity, double available, double inodes, double inodes_free) {
  const auto number = [](std::string_view name, double value) {
    return '"' + std::string(name) + "\": " + std::to_string(value);
  };
  return '{' + number("capacityBytes", capacity) + ',' + number("availableBytes", available) + ',' +
         number("inodes", inodes) + ',' + number("inodesFree", inodes_free) + '}';
}

std::string summary(const std::string& fs, const std::string& image_fs = "{}",
                    const std::string& container_fs = "{}") {
  return R"({"node": {"nodeName": "n", "memory": {"workingSetBytes": 7}, "fs": )" + fs +
         R"(, "runtime": {"imageFs": )" + image_fs + R"(, "containerFs": )" + container_fs + "}}}";
}

class KubeletTest : public testing::Test {
 protected:
  KubeletTest() {
    fixture.services.kubernetes.set_access(
        {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())),
         .context = ""});
  }

  test::Observation observe(std::string of_summary, std::string of_cadvisor) {
    {
      const std::scoped_lock lock(mutex);
      answers = {{"/stats/summary", std::move(of_summary)},
                 {"/metrics/cadvisor", std::move(of_cadvisor)}};
    }
    return fixture.observe("kubelet", options);
  }

  // The published sizes by mount point, if the kubelet reports this summary.
  std::map<std::string, double> sizes(const std::string& text) {
    const test::Observation run = observe(http_answer(200, text), good_cadvisor);
    EXPECT_EQ(run.failure(), "");
    std::map<std::string, double> found;
    for (const char* const mountpoint : {"/", "imagefs", "containerfs"}) {
      const auto size = run.value("node_filesystem_size_bytes", {{"instance", "n"},
                                                                 {"mountpoint", mountpoint},
                                                                 {"device", ""},
                                                                 {"fstype", ""},
                                                                 {"node", "n"}});
      if (size) found.emplace(mountpoint, *size);
      const std::string object = std::string("n ") + mountpoint;
      EXPECT_EQ(run.reading("disk_used", object).has_value(), size.has_value()) << object;
    }
    EXPECT_EQ(run.count("node_filesystem_size_bytes"), found.size());
    return found;
  }

  // A run with this time limit.
  static asio::awaitable<test::Observation> run(Probe& probe, std::chrono::milliseconds limit) {
    const auto set = std::make_shared<SampleSet>();
    set->set_time_limit(limit);
    co_await probe.observe(*set);
    co_return test::Observation(set, std::nullopt);
  }

  // Responds to all requests of a connection while `is_silent` returns false.
  void serve(test::TlsLine& line, const std::function<bool()>& is_silent = [] { return false; }) {
    for (std::string request = line.read(); !request.empty(); request = line.read()) {
      if (is_silent()) continue;
      const std::size_t begin = request.find(' ') + 1;
      const std::scoped_lock lock(mutex);
      if (!line.write(answers.at(request.substr(begin, request.find(' ', begin) - begin)))) return;
    }
  }

  const std::string good_summary = http_answer(200, summary(file_system(1000, 500, 100, 50)));
  const std::string good_cadvisor = http_answer(
      200, std::string(kUsage) + "{container=\"c\",id=\"/c\",namespace=\"s\",pod=\"p\"} 1\n");

  std::string options = "tls: {verify: false}";
  std::vector<std::string> addresses{"127.0.0.1"};  // of the node
  bool has_node_without_address = false;
  std::atomic<bool> is_first_address_silent = false;
  std::mutex mutex;
  std::map<std::string, std::string, std::less<>> answers;
  test::TempDirectory scratch;
  test::ProbeFixture fixture;
  test::TlsServer kubelet{test::make_certificate("kubelet"), [this](test::TlsLine& line) {
                            serve(line, [this] { return is_first_address_silent.load(); });
                          }};
  HttpScript server{fixture.loop, [this](const std::string& target) -> HttpScript::Reply {
                      if (target.contains("sendInitialEvents")) return {http_answer(400, "no")};
                      if (target.contains("watch=1")) return {test::http_stream(), true};
                      Message status = Message().message(
                          6, Message().message(1, Message().number(1, kubelet.port())));
                      for (const std::string& address : addresses) {
                        status.message(5, Message().text(1, "InternalIP").text(2, address));
                      }
                      std::vector<Message> nodes{
                          Message().message(1, test::metadata("n", "")).message(3, status)};
                      if (has_node_without_address) {
                        nodes.push_back(Message().message(1, test::metadata("broken", "")));
                      }
                      return {http_answer(200, test::kubernetes_list(nodes, 7))};
                    }};
};

TEST_F(KubeletTest, FailedPageDoesNotAffectTheOther) {
  const std::vector<std::pair<std::string, std::string>> refusals = {
      {http_answer(404, "not found"), "mismatch"},
      {http_answer(403, "forbidden"), "permission"},
      {http_answer(429, "too many requests"), "overload"},
      {http_answer(500, "broken"), "unready"},
      {http_answer(503, "starting"), "unready"},
      {http_answer(200, "<html>\n"), "protocol"},
  };
  for (const auto& [refusal, reason] : refusals) {
    const test::Observation no_containers = observe(good_summary, refusal);
    EXPECT_TRUE(no_containers.failure("n").starts_with(reason)) << no_containers.failure("n");
    EXPECT_EQ(no_containers.value(kMemory, {{"instance", "n"}, {"node", "n"}}), 7) << reason;
    EXPECT_EQ(no_containers.reading("disk_used", "n /"), 0.5) << reason;
    EXPECT_EQ(no_containers.count(kUsage), 0U);

    const test::Observation no_summary = observe(refusal, good_cadvisor);
    EXPECT_TRUE(no_summary.failure("n").starts_with(reason)) << no_summary.failure("n");
    EXPECT_EQ(no_summary.count(kMemory), 0U);
    EXPECT_EQ(no_summary.count(kUsage), 1U) << reason;

    const test::Observation nothing = observe(refusal, refusal);
    EXPECT_TRUE(nothing.failure("n").starts_with(reason)) << nothing.failure("n");
    EXPECT_EQ(nothing.count(kMemory) + nothing.count(kUsage), 0U);
  }
}

// Rules and dashboards for cAdvisor select containers by image!="" and name!="".
TEST_F(KubeletTest, ContainersHaveTheLabelsOfCadvisor) {
  const test::Observation run = observe(
      good_summary,
      http_answer(200,
                  std::string(kUsage) +
                      R"({container="c",id="/c",image="i:1",name="5d",namespace="s",pod="p"} 1)"
                      "\n"));
  EXPECT_EQ(run.value(kUsage, {{"instance", "n"},
                               {"namespace", "s"},
                               {"pod", "p"},
                               {"container", "c"},
                               {"image", "i:1"},
                               {"name", "5d"},
                               {"node", "n"}}),
            1);
}

TEST_F(KubeletTest, FailsIfCadvisorIsIncomplete) {
  const test::Observation run =
      observe(good_summary, http_answer(200, "container_scrape_error 1\nmachine_cpu_cores 4\n"));
  EXPECT_TRUE(run.failure("n").starts_with("mismatch: ")) << run.failure("n");
  EXPECT_TRUE(run.failure("n").contains("container_scrape_error"));
  EXPECT_EQ(run.value(kMemory, {{"instance", "n"}, {"node", "n"}}), 7);
}

TEST_F(KubeletTest, ReportsANamespaceThatMatchesNothing) {
  options = "tls: {verify: false}, namespaces: [s, typo]";
  const auto selected = [](const test::Observation& run, const std::string& name) {
    return run.value("vitalsd_probe_selected_objects", {{"scope", name}});
  };
  const test::Observation run = observe(good_summary, good_cadvisor);
  EXPECT_EQ(selected(run, "s"), 1);
  EXPECT_EQ(selected(run, "typo"), 0);
  EXPECT_EQ(run.reading("unmatched", "typo (matches nothing)"), 1);
  // The page that is missing may have it.
  const test::Observation partial = observe(good_summary, http_answer(503, ""));
  EXPECT_EQ(selected(partial, "typo"), std::nullopt);
  EXPECT_EQ(partial.reading("unmatched"), std::nullopt);
}

TEST_F(KubeletTest, ReportsANamespaceThatMatchesNothingWhileAKubeletFails) {
  has_node_without_address = true;
  answers = {{"/stats/summary", good_summary}, {"/metrics/cadvisor", good_cadvisor}};
  const auto probe = fixture.make("kubelet", "tls: {verify: false}, namespaces: [s, typo]");
  const auto selected = [](const test::Observation& run, const std::string& name) {
    return run.value("vitalsd_probe_selected_objects", {{"scope", name}});
  };
  for (std::size_t i = 1; i < kubernetes::Selection::kMaxPendingRuns; ++i) {
    const test::Observation run = fixture.observe(*probe);
    EXPECT_EQ(selected(run, "s"), 1);
    EXPECT_EQ(selected(run, "typo"), std::nullopt) << "run " << i;
  }
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(selected(run, "typo"), 0);
  EXPECT_EQ(run.reading("unmatched", "typo (matches nothing; 1 of 2 could not be read)"), 1);
  // Another list of namespaces, after a reload, starts anew.
  const auto next = fixture.make("kubelet", "tls: {verify: false}, namespaces: [s, a, typo]");
  next->inherit(*probe);
  const test::Observation reloaded = fixture.observe(*next);
  EXPECT_EQ(selected(reloaded, "s"), 1);
  EXPECT_EQ(selected(reloaded, "typo"), std::nullopt);
}

TEST_F(KubeletTest, TriesTheNextAddressIfOneDropsPackets) {
  using namespace std::chrono_literals;
  constexpr auto kLimit = 6s;
  addresses = {test::SilentAddress::kSilent, "127.0.0.1"};
  const test::SilentListener silent(
      fixture.loop, {asio::ip::make_address(test::SilentAddress::kSilent), kubelet.port()});
  answers = {{"/stats/summary", good_summary}, {"/metrics/cadvisor", good_cadvisor}};
  const auto probe = fixture.make("kubelet", options);
  const auto start = test::Clock::now();
  EXPECT_EQ(test::Task(fixture.loop, run(*probe, kLimit)).get().failure(), "");
  const auto took = test::Clock::now() - start;
  EXPECT_EQ(test::Task(fixture.loop, run(*probe, kLimit)).get().failure(), "");
  // The second run starts with the address that was reached.
  EXPECT_LT(test::Clock::now() - start, took + kLimit / 2);
}

// A kept connection may drop packets without an error, so its request takes the whole time.
TEST_F(KubeletTest, StartsWithTheNextAddressAfterATimeout) {
  using namespace std::chrono_literals;
  addresses = {"127.0.0.1", "127.0.0.2"};
  answers = {{"/stats/summary", good_summary}, {"/metrics/cadvisor", good_cadvisor}};
  const test::TlsServer other(
      test::make_certificate("other"), [this](test::TlsLine& line) { serve(line); }, "127.0.0.2",
      kubelet.port());
  const auto probe = fixture.make("kubelet", options);
  EXPECT_EQ(test::Task(fixture.loop, run(*probe, 6s)).get().failure(), "");
  is_first_address_silent = true;
  const std::string failure = test::Task(fixture.loop, run(*probe, 500ms)).get().failure("n");
  EXPECT_TRUE(failure.starts_with("timeout: ")) << failure;
  EXPECT_EQ(test::Task(fixture.loop, run(*probe, 6s)).get().failure(), "");
}

TEST_F(KubeletTest, ReportsTheFirstAddressIfAllDropPackets) {
  using namespace std::chrono_literals;
  addresses = {"127.0.0.2", "127.0.0.3"};
  const test::SilentListener first(fixture.loop,
                                   {asio::ip::make_address("127.0.0.2"), kubelet.port()});
  const test::SilentListener second(fixture.loop,
                                    {asio::ip::make_address("127.0.0.3"), kubelet.port()});
  const auto probe = fixture.make("kubelet", options);
  const std::string failure = test::Task(fixture.loop, run(*probe, 400ms)).get().failure("n");
  EXPECT_TRUE(failure.starts_with("timeout: 127.0.0.2:")) << failure;
}

TEST_F(KubeletTest, DistinguishesFileSystemsOfEqualSize) {
  const std::string root = file_system(1000, 500, 100, 50);
  using Sizes = std::map<std::string, double>;
  EXPECT_EQ(sizes(summary(root)), (Sizes{{"/", 1000}}));
  EXPECT_EQ(sizes(summary(root, root, root)), (Sizes{{"/", 1000}}));
  // Processes write between the two measurements.
  EXPECT_EQ(sizes(summary(root, file_system(1000, 499, 100, 50))), (Sizes{{"/", 1000}}));
  EXPECT_EQ(sizes(summary(root, file_system(1000, 0, 100, 50))),
            (Sizes{{"/", 1000}, {"imagefs", 1000}}));
  EXPECT_EQ(sizes(summary(root, file_system(1000, 500, 100, 0))),
            (Sizes{{"/", 1000}, {"imagefs", 1000}}));
  EXPECT_EQ(sizes(summary(root, file_system(1000, 500, 101, 50))),
            (Sizes{{"/", 1000}, {"imagefs", 1000}}));
  EXPECT_EQ(sizes(summary(root, file_system(2000, 500, 100, 50))),
            (Sizes{{"/", 1000}, {"imagefs", 2000}}));
}

TEST_F(KubeletTest, PublishesFileSystemOfWritableLayers) {
  const std::string root = file_system(1000, 500, 100, 50);
  const std::string images = file_system(2000, 500, 100, 50);
  const std::string layers = file_system(3000, 500, 100, 50);
  using Sizes = std::map<std::string, double>;
  EXPECT_EQ(sizes(summary(root, images, layers)),
            (Sizes{{"/", 1000}, {"imagefs", 2000}, {"containerfs", 3000}}));
  EXPECT_EQ(sizes(summary(root, root, layers)), (Sizes{{"/", 1000}, {"containerfs", 3000}}));
  EXPECT_EQ(sizes(summary(root, images, images)), (Sizes{{"/", 1000}, {"imagefs", 2000}}));
  EXPECT_EQ(sizes(summary(root, images, root)), (Sizes{{"/", 1000}, {"imagefs", 2000}}));
  // A number that is missing does not distinguish file systems.
  EXPECT_EQ(sizes(summary(root, root, R"({"capacityBytes": 1000, "availableBytes": 500})")),
            (Sizes{{"/", 1000}}));
}

}  // namespace
}  // namespace vitalsd
