// The whole daemon without its command line. It runs on a thread of its own; the tests use signals
// and HTTP requests.
#include "daemon/app.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>

#include "unit/support/conversation.hpp"
#include "unit/support/environment.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/notify_socket.hpp"
#include "unit/support/page.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using asio::ip::tcp;

constexpr std::string_view kReady = "READY=1\nSTATUS=";
constexpr std::string_view kServing = "Serves on 127.0.0.1:";

// Names whose phase makes the first run due within a few milliseconds.
constexpr std::string_view kEarly = "search-5";
constexpr std::string_view kAlsoEarly = "stock-8";

constexpr ElectionPace kFastElection{.duration = std::chrono::milliseconds(2'000),
                                     .period = std::chrono::milliseconds(50),
                                     .timeout = std::chrono::milliseconds(1'000)};

// Starts a daemon on a free port and stops it.
class Daemon {
 public:
  explicit Daemon(const std::string& config_file, test::NotifySocket& notifications)
      : notifications_(notifications),
        app_(std::make_unique<App>(
            App::Options{config_file, config::Endpoint{"127.0.0.1", 0}, {}, kFastElection})) {
    thread_ = std::thread([this] {
      exit_ = app_->run();
      has_ended_ = true;
    });
    const std::string ready = notifications_.wait().value_or("");
    const std::string front = std::string(kReady) + std::string(kServing);
    if (!ready.starts_with(front)) {
      if (!has_ended_) kill(getpid(), SIGTERM);
      thread_.join();
      throw std::runtime_error("the daemon does not start: " + ready);
    }
    port_ = static_cast<std::uint16_t>(std::stoi(ready.substr(front.size())));
  }
  ~Daemon() {
    if (thread_.joinable()) stop(SIGTERM);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  Exit stop(int signal) {
    kill(getpid(), signal);
    thread_.join();
    app_.reset();
    return exit_;
  }

  // Reloads and returns the status text.
  std::string reload() {
    kill(getpid(), SIGHUP);
    EXPECT_TRUE(notifications_.wait().value_or("").starts_with("RELOADING=1\n"));
    const std::string done = notifications_.wait().value_or("");
    EXPECT_TRUE(done.starts_with(kReady)) << done;
    return done.substr(std::min(kReady.size(), done.size()));
  }

  // Returns status line, headers and body of the response.
  [[nodiscard]] std::string request(const std::string& target, const std::string& method = "GET",
                                    const std::string& headers = "") const {
    asio::io_context loop;
    tcp::socket socket(loop);
    socket.connect({asio::ip::address_v4::loopback(), port_});
    asio::write(socket, asio::buffer(method + ' ' + target +
                                     " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + headers +
                                     "Connection: close\r\n\r\n"));
    std::string response;
    boost::system::error_code end;
    asio::read(socket, asio::dynamic_buffer(response), end);
    return response;
  }
  [[nodiscard]] int status(const std::string& target, const std::string& method = "GET",
                           const std::string& headers = "") const {
    return std::stoi(request(target, method, headers).substr(std::string_view("HTTP/1.1 ").size()));
  }
  [[nodiscard]] std::string page() const {
    const std::string response = request("/metrics");
    return response.substr(response.find("\r\n\r\n") + 4);
  }
  // Returns the value of the sample with this name and label, if there is one.
  [[nodiscard]] std::optional<double> value(std::string_view name, std::string_view label = "",
                                            std::string_view label_value = "") const {
    for (const test::ParsedSample& sample : test::parse_samples(page())) {
      if (sample.name != name) continue;
      const auto found = sample.labels.find(std::string(label));
      if (label.empty() || (found != sample.labels.end() && found->second == label_value)) {
        return sample.value;
      }
    }
    return std::nullopt;
  }
  // Polls without a pause: each condition sends a request, which takes long enough.
  template <class Condition>
  [[nodiscard]] static bool until(const Condition& condition) {
    const auto deadline = test::Clock::now() + test::kTimeLimit;
    while (!condition()) {
      if (test::Clock::now() > deadline) return false;
    }
    return true;
  }

 private:
  test::NotifySocket& notifications_;
  std::unique_ptr<App> app_;
  std::thread thread_;
  std::atomic<bool> has_ended_ = false;
  Exit exit_ = Exit::failure;
  std::uint16_t port_ = 0;
};

class AppTest : public testing::Test {
 protected:
  static std::string config(const std::string& rest) { return "log: {level: error}\n" + rest; }
  void write(const std::string& rest) {
    std::ignore = directory.file("vitalsd.yaml", config(rest));
  }
  [[nodiscard]] std::string file() const { return directory.path("vitalsd.yaml"); }
  // The address that the test itself listens on.
  [[nodiscard]] std::string own_address() const {
    return "127.0.0.1:" + std::to_string(target.local_endpoint().port());
  }
  [[nodiscard]] std::string probe(std::string_view name) const {
    return "{name: " + std::string(name) + ", kind: tcp, endpoint: '" + own_address() + "'}";
  }
  Exit run() { return App({file(), config::Endpoint{"127.0.0.1", 0}, {}}).run(); }

  test::TempDirectory directory;
  test::NotifySocket notifications{directory.path("notify")};
  test::Variable notify{"NOTIFY_SOCKET", directory.path("notify")};
  test::Variable watchdog{"WATCHDOG_USEC", std::nullopt};
  asio::io_context target_loop;
  tcp::acceptor target{target_loop, {asio::ip::address_v4::loopback(), 0}};
};

TEST_F(AppTest, ServesAndObserves) {
  write("probes: [" + probe(kEarly) + "]\n");
  Daemon daemon(file(), notifications);
  EXPECT_EQ(daemon.status("/-/healthy"), 200);
  EXPECT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kEarly) == 1; }));
  EXPECT_EQ(daemon.value("vitalsd_probes", "kind", "tcp"), 1);
  EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 1);
  EXPECT_EQ(daemon.value("vitalsd_leader"), std::nullopt);  // there is no election
  EXPECT_EQ(daemon.stop(SIGTERM), Exit::ok);
  EXPECT_EQ(notifications.poll(), "STOPPING=1\nSTATUS=Waiting for runs to end");
}

TEST_F(AppTest, PassesRequestsToProbes) {
  const std::string job = "{name: nightly, kind: job, schedule: '@daily', token: none}";
  write("state: {directory: " + directory.path("state") + "}\nprobes: [" + job + "]\n");
  fs::create_directory(directory.path("state"));
  Daemon daemon(file(), notifications);
  EXPECT_EQ(daemon.status("/api/v1/jobs/nightly/fail", "POST"), 200);
  EXPECT_TRUE(test::read_file(directory.path("state/state.json")).contains("last_failure"));
  EXPECT_EQ(daemon.status("/api/v1/jobs/nightly/stop", "POST"), 404);
  EXPECT_EQ(daemon.status("/api/v1/jobs/weekly", "POST"), 404);
  write("probes: [" + job + ", {name: weekly, kind: job, schedule: '@weekly', token: none}]\n");
  daemon.reload();
  EXPECT_EQ(daemon.status("/api/v1/jobs/weekly", "POST"), 200);
  write("probes: []\n");
  daemon.reload();
  EXPECT_EQ(daemon.status("/api/v1/jobs/nightly", "POST"), 404);
}

TEST_F(AppTest, ReadsTheTokenOfAJobForEachRequest) {
  const std::string token = directory.path("token");
  write("probes: [{name: nightly, kind: job, schedule: '@daily', token: {file: " + token + "}}]\n");
  const Daemon daemon(file(), notifications);
  const auto post = [&](const std::string& sent) {
    return daemon.status("/api/v1/jobs/nightly", "POST", "Authorization: Bearer " + sent + "\r\n");
  };
  EXPECT_EQ(post("first"), 503);  // there is no file
  std::ignore = directory.file("token", "first\n");
  EXPECT_EQ(post("first"), 200);
  EXPECT_EQ(post("wrong"), 401);
  std::ignore = directory.file("token", "second\n");
  EXPECT_EQ(post("second"), 200);
  EXPECT_EQ(post("first"), 401);
}

TEST_F(AppTest, StopsOnSigint) {
  write("probes: []\n");
  EXPECT_EQ(Daemon(file(), notifications).stop(SIGINT), Exit::ok);
}

TEST_F(AppTest, IsReadyAfterTheFirstRunOfEveryProbe) {
  write("probes: [{name: " + std::string(kEarly) + ", kind: http, url: 'http://" + own_address() +
        "/'}]\n");
  const Daemon daemon(file(), notifications);
  tcp::socket peer = target.accept();  // the run has started and waits for the response
  EXPECT_EQ(daemon.status("/-/ready"), 503);
  EXPECT_EQ(daemon.status("/-/healthy"), 200);
  asio::write(peer, asio::buffer(test::http_answer(200, "")));
  EXPECT_TRUE(Daemon::until([&] { return daemon.status("/-/ready") == 200; }));
}

TEST_F(AppTest, IsReadyImmediatelyWithoutProbes) {
  write("probes: []\n");
  EXPECT_EQ(Daemon(file(), notifications).status("/-/ready"), 200);
}

TEST_F(AppTest, RejectsAnInvalidConfiguration) {
  write("probes: [{name: a, kind: nonsense}]\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(), Exit::config);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(text.contains("vitalsd.yaml:2:")) << text;
  EXPECT_TRUE(text.contains("unknown kind 'nonsense'")) << text;
  EXPECT_EQ(notifications.poll(), std::nullopt);
}

TEST_F(AppTest, RejectsAMissingConfigurationFile) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(), Exit::config);
  EXPECT_TRUE(testing::internal::GetCapturedStderr().contains("No such file"));
}

TEST_F(AppTest, FailsIfTheAddressIsInUse) {
  write("web: {listen: '" + own_address() + "'}\nprobes: []\n");
  EXPECT_EQ(App({file(), {}, {}}).run(), Exit::bind);
  EXPECT_EQ(notifications.poll(), std::nullopt);
}

TEST_F(AppTest, CommandLineOverridesTheListenAddress) {
  write("web: {listen: '" + own_address() + "'}\nprobes: []\n");
  EXPECT_EQ(Daemon(file(), notifications).status("/-/healthy"), 200);
}

TEST_F(AppTest, ReloadsOnSighup) {
  write("probes: [" + probe(kEarly) + "]\n");
  Daemon daemon(file(), notifications);
  EXPECT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kEarly); }));
  write("probes: [" + probe(kAlsoEarly) + "]\n");
  EXPECT_EQ(daemon.reload(), "Configuration reloaded. ");
  EXPECT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kAlsoEarly); }));
  EXPECT_EQ(daemon.value("vitalsd_target_up", "probe", kEarly), std::nullopt);
}

TEST_F(AppTest, KeepsTheConfigurationIfTheNewOneIsInvalid) {
  write("probes: [" + probe(kEarly) + "]\n");
  Daemon daemon(file(), notifications);
  EXPECT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kEarly); }));
  write("probes: [" + probe(kAlsoEarly) + ", {name: b, kind: tcp}]\n");
  const std::string outcome = daemon.reload();
  EXPECT_TRUE(outcome.starts_with("Configuration is invalid, keeping the previous configuration:"))
      << outcome;
  EXPECT_TRUE(outcome.contains("probes[1]")) << outcome;
  EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 0);
  EXPECT_TRUE(daemon.request("/").contains("keeping the previous configuration"));
  EXPECT_EQ(daemon.value("vitalsd_target_up", "probe", kEarly), 1);
  EXPECT_EQ(daemon.value("vitalsd_probes", "kind", "tcp"), 1);
  write("probes: [" + probe(kEarly) + "]\n");
  EXPECT_EQ(daemon.reload(), "Configuration reloaded. ");
  EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 1);
}

TEST_F(AppTest, ReloadsByHttpOnlyIfEnabled) {
  write("probes: []\n");
  {
    const Daemon daemon(file(), notifications);
    EXPECT_NE(daemon.status("/-/reload", "POST"), 200);
    EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 1);
  }
  EXPECT_TRUE(notifications.poll().value_or("").starts_with("STOPPING=1"));
  write("web: {reload: true}\nprobes: []\n");
  const Daemon daemon(file(), notifications);
  EXPECT_EQ(daemon.status("/-/reload", "POST"), 200);
  write("nonsense");
  EXPECT_NE(daemon.status("/-/reload", "POST"), 200);
}

// ---- state --------------------------------------------------------------------------------------

class AppState : public AppTest {
 protected:
  AppState() {
    fs::create_directory(directory.path("state"));
    fs::create_directory(directory.path("backups"));
    const std::string path = directory.file("backups/a", "x");
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(5));
  }
  void write_backup_of(const std::string& subdirectory) {
    write("state: {directory: '" + directory.path("state") +
          "'}\nprobes: [{name: " + std::string(kEarly) + ", kind: backup, directory: '" +
          directory.path(subdirectory) + "'}]\n");
  }
  static std::optional<double> last_backup(const Daemon& daemon) {
    return daemon.value("backup_last_success_timestamp_seconds");
  }
};

TEST_F(AppState, PublishesSavedFactsInTheFirstScrape) {
  write_backup_of("backups");
  double last = 0;
  {
    Daemon daemon(file(), notifications);
    ASSERT_TRUE(Daemon::until([&] { return last_backup(daemon).value_or(0) > 0; }));
    last = *last_backup(daemon);
    EXPECT_EQ(daemon.stop(SIGTERM), Exit::ok);
    std::ignore = notifications.poll();
  }
  fs::rename(directory.path("backups"), directory.path("elsewhere"));  // observing fails now
  {
    const Daemon daemon(file(), notifications);
    EXPECT_EQ(last_backup(daemon), last);
    EXPECT_TRUE(Daemon::until(
        [&] { return daemon.value("vitalsd_probe_failures_total", "reason", "mismatch") > 0; }));
    EXPECT_EQ(last_backup(daemon), last);
  }
  std::ignore = notifications.poll();
  write_backup_of("another");  // without saved state
  EXPECT_EQ(last_backup(Daemon(file(), notifications)), std::nullopt);
}

TEST_F(AppState, StartsWithADamagedStateFile) {
  write_backup_of("backups");
  Daemon(file(), notifications).stop(SIGTERM);
  std::ignore = notifications.poll();
  std::ignore = directory.file("state/state.json", "{");
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const Daemon daemon(file(), notifications);
  EXPECT_TRUE(Daemon::until([&] { return last_backup(daemon).value_or(0) > 0; }));
  testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
}

// ---- several replicas ---------------------------------------------------------------------------

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
