// A daemon that is one of several replicas.
#include "daemon/app.hpp"

#include <csignal>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>

#include "unit/daemon/app_fixture.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
using test::AppTest;
using test::Daemon;
using test::kEarly;

class AppElection : public AppTest {
 protected:
  // An API server whose Lease is held by `holder`.
  test::Conversation::Script leases() {
    return [this](test::Line& line) -> asio::awaitable<void> {
      for (;;) {
        const test::HttpCall call = co_await test::read_http(line);
        const std::lock_guard guard(lease);
        if (call.method == "PUT") {
          const auto spec = boost::json::parse(call.body).at("spec");
          holder = spec.at("holderIdentity").as_string();
        }
        co_await line.write(test::http_answer(
            200, R"({"kind": "Lease", "metadata": {"resourceVersion": "7"}, "spec": )"
                 R"({"holderIdentity": ")" +
                     holder + R"(", "leaseDurationSeconds": 3600}})"));
      }
    };
  }
  void write_election() {
    std::ignore =
        directory.file("kubeconfig",
                       "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
                       "clusters: [{name: c, cluster: {server: 'http://" +
                           api->endpoint() + "'}}]\nusers: [{name: u, user: {}}]\n");
    write("kubernetes: {kubeconfig: '" + directory.path("kubeconfig") +
          "'}\nleader_election: {lease: vitalsd}\nprobes: [" + probe(kEarly) + "]\n");
  }
  void set_holder(const std::string& name) {
    const std::lock_guard guard(lease);
    holder = name;
  }
  void serve_api() {
    api_thread = std::thread([this] { api_loop.run(); });
  }
  void stop_api() {
    api_loop.stop();
    if (api_thread.joinable()) api_thread.join();
  }
  ~AppElection() override { stop_api(); }

  std::mutex lease;
  std::string holder;
  asio::io_context api_loop;
  std::unique_ptr<test::Conversation> api =
      std::make_unique<test::Conversation>(api_loop, leases());
  std::thread api_thread;
};

TEST_F(AppElection, DoesNotObserveWhileAnotherReplicaLeads) {
  holder = "other";
  serve_api();
  write_election();
  const Daemon daemon(file(), notifications);
  EXPECT_EQ(daemon.status("/-/ready"), 200);  // a replica that stands by is ready
  EXPECT_TRUE(Daemon::until([&] { return api->accepted() > 0; }));
  EXPECT_EQ(daemon.value("vitalsd_leader"), 0);
  EXPECT_EQ(daemon.value("vitalsd_target_up"), std::nullopt);
}

// Regression: after the file had become invalid, a new leader was ready but observed nothing.
TEST_F(AppElection, UsesTheLastValidConfigurationWhenItLeadsAgain) {
  serve_api();
  write_election();
  const Daemon daemon(file(), notifications);
  ASSERT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kEarly) == 1; }));
  set_holder("other");
  ASSERT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_leader") == 0; }));
  EXPECT_EQ(daemon.value("vitalsd_target_up"), std::nullopt);
  std::ignore = directory.file("vitalsd.yaml", "nonsense");
  set_holder("");
  EXPECT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kEarly) == 1; }));
}

TEST_F(AppElection, ObservesAsLeaderAndReleasesTheLease) {
  serve_api();
  write_election();
  Daemon daemon(file(), notifications);
  EXPECT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_leader") == 1; }));
  EXPECT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kEarly) == 1; }));
  EXPECT_EQ(daemon.stop(SIGTERM), Exit::ok);
  stop_api();
  EXPECT_EQ(holder, "");
}

}  // namespace
}  // namespace vitalsd
