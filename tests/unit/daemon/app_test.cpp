// The whole daemon but its command line: on a thread of its own, told by signals and asked by HTTP,
// as people do.
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
constexpr std::string_view kServes = "Serves on 127.0.0.1:";

// Names whose probes are due first within some milliseconds.
constexpr std::string_view kSoon = "search-5";
constexpr std::string_view kSoonToo = "stock-8";

constexpr ElectionPace kHurry{.duration = std::chrono::milliseconds(2'000),
                              .period = std::chrono::milliseconds(50),
                              .timeout = std::chrono::milliseconds(1'000)};

// A daemon from its start to its end, on a port of its own.
class Daemon {
 public:
  explicit Daemon(const std::string& config_file, test::NotifySocket& told)
      : told_(told),
        app_(std::make_unique<App>(
            App::Options{config_file, config::Endpoint{"127.0.0.1", 0}, {}, kHurry})) {
    thread_ = std::thread([this] {
      exit_ = app_->run();
      ended_ = true;
    });
    const std::string ready = told_.wait().value_or("");
    const std::string front = std::string(kReady) + std::string(kServes);
    if (!ready.starts_with(front)) {
      if (!ended_) kill(getpid(), SIGTERM);
      thread_.join();
      throw std::runtime_error("does not start: " + ready);
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

  // The words for people at the end of a reload.
  std::string reload() {
    kill(getpid(), SIGHUP);
    EXPECT_TRUE(told_.wait().value_or("").starts_with("RELOADING=1\n"));
    const std::string done = told_.wait().value_or("");
    EXPECT_TRUE(done.starts_with(kReady)) << done;
    return done.substr(std::min(kReady.size(), done.size()));
  }

  // Status line, headers and body.
  [[nodiscard]] std::string ask(const std::string& target,
                                const std::string& method = "GET") const {
    asio::io_context loop;
    tcp::socket socket(loop);
    socket.connect({asio::ip::address_v4::loopback(), port_});
    asio::write(socket, asio::buffer(method + ' ' + target +
                                     " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                                     "Connection: close\r\n\r\n"));
    std::string answer;
    boost::system::error_code end;
    asio::read(socket, asio::dynamic_buffer(answer), end);
    return answer;
  }
  [[nodiscard]] int status(const std::string& target, const std::string& method = "GET") const {
    return std::stoi(ask(target, method).substr(std::string_view("HTTP/1.1 ").size()));
  }
  [[nodiscard]] std::string page() const {
    const std::string answer = ask("/metrics");
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }
  // The value of the only sample of that name with this label; nothing if there is none.
  [[nodiscard]] std::optional<double> value(std::string_view name, std::string_view label = "",
                                            std::string_view is = "") const {
    for (const test::ParsedSample& sample : test::parse_samples(page())) {
      if (sample.name != name) continue;
      const auto found = sample.labels.find(std::string(label));
      if (label.empty() || (found != sample.labels.end() && found->second == is)) {
        return sample.value;
      }
    }
    return std::nullopt;
  }
  // Asks again and again, which takes no longer than the daemon does.
  template <class Condition>
  [[nodiscard]] static bool until(const Condition& condition) {
    const auto deadline = test::Clock::now() + test::kPatience;
    while (!condition()) {
      if (test::Clock::now() > deadline) return false;
    }
    return true;
  }

 private:
  test::NotifySocket& told_;
  std::unique_ptr<App> app_;
  std::thread thread_;
  std::atomic<bool> ended_ = false;
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
  // Where the test itself listens.
  [[nodiscard]] std::string taken() const {
    return "127.0.0.1:" + std::to_string(target.local_endpoint().port());
  }
  [[nodiscard]] std::string probe(std::string_view name) const {
    return "{name: " + std::string(name) + ", kind: tcp, endpoint: '" + taken() + "'}";
  }
  Exit run() { return App({file(), config::Endpoint{"127.0.0.1", 0}, {}}).run(); }

  test::TempDirectory directory;
  test::NotifySocket told{directory.path("notify")};
  test::Variable notify{"NOTIFY_SOCKET", directory.path("notify")};
  test::Variable watchdog{"WATCHDOG_USEC", std::nullopt};
  asio::io_context unused;
  tcp::acceptor target{unused, {asio::ip::address_v4::loopback(), 0}};
};

TEST_F(AppTest, ServesAndObserves) {
  write("probes: [" + probe(kSoon) + "]\n");
  Daemon daemon(file(), told);
  EXPECT_EQ(daemon.status("/-/healthy"), 200);
  EXPECT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kSoon) == 1; }));
  EXPECT_EQ(daemon.value("vitalsd_probes", "kind", "tcp"), 1);
  EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 1);
  EXPECT_EQ(daemon.value("vitalsd_leader"), std::nullopt);  // there is no election
  EXPECT_EQ(daemon.stop(SIGTERM), Exit::ok);
  EXPECT_EQ(told.poll(), "STOPPING=1\nSTATUS=Waiting for runs to end");
}

TEST_F(AppTest, StopsOnSigintAsWell) {
  write("probes: []\n");
  EXPECT_EQ(Daemon(file(), told).stop(SIGINT), Exit::ok);
}

TEST_F(AppTest, IsReadyWhenEachProbeHasRun) {
  write("probes: [{name: " + std::string(kSoon) + ", kind: http, url: 'http://" + taken() +
        "/'}]\n");
  const Daemon daemon(file(), told);
  tcp::socket asked = target.accept();  // the run has begun, and waits for the answer
  EXPECT_EQ(daemon.status("/-/ready"), 503);
  EXPECT_EQ(daemon.status("/-/healthy"), 200);
  asio::write(asked, asio::buffer(test::http_answer(200, "")));
  EXPECT_TRUE(Daemon::until([&] { return daemon.status("/-/ready") == 200; }));
}

TEST_F(AppTest, IsReadyAtOnceWithoutProbes) {
  write("probes: []\n");
  EXPECT_EQ(Daemon(file(), told).status("/-/ready"), 200);
}

TEST_F(AppTest, RefusesABadConfiguration) {
  write("probes: [{name: a, kind: nonsense}]\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(), Exit::config);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(text.contains("vitalsd.yaml:2:")) << text;
  EXPECT_TRUE(text.contains("unknown kind 'nonsense'")) << text;
  EXPECT_EQ(told.poll(), std::nullopt);
}

TEST_F(AppTest, RefusesAConfigurationThatIsNotThere) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(), Exit::config);
  EXPECT_TRUE(testing::internal::GetCapturedStderr().contains("No such file"));
}

TEST_F(AppTest, RefusesAnAddressThatIsTaken) {
  write("web: {listen: '" + taken() + "'}\nprobes: []\n");
  EXPECT_EQ(App({file(), {}, {}}).run(), Exit::bind);
  EXPECT_EQ(told.poll(), std::nullopt);
}

TEST_F(AppTest, ListensWhereTheCommandLineSays) {
  write("web: {listen: '" + taken() + "'}\nprobes: []\n");
  EXPECT_EQ(Daemon(file(), told).status("/-/healthy"), 200);
}

TEST_F(AppTest, TakesAnotherConfigurationOnSighup) {
  write("probes: [" + probe(kSoon) + "]\n");
  Daemon daemon(file(), told);
  EXPECT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kSoon); }));
  write("probes: [" + probe(kSoonToo) + "]\n");
  EXPECT_EQ(daemon.reload(), "Configuration reloaded. ");
  EXPECT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kSoonToo); }));
  EXPECT_EQ(daemon.value("vitalsd_target_up", "probe", kSoon), std::nullopt);
}

TEST_F(AppTest, KeepsTheGoodConfigurationWhereTheNewOneIsBad) {
  write("probes: [" + probe(kSoon) + "]\n");
  Daemon daemon(file(), told);
  EXPECT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kSoon); }));
  write("probes: [" + probe(kSoonToo) + ", {name: b, kind: tcp}]\n");
  const std::string outcome = daemon.reload();
  EXPECT_TRUE(outcome.starts_with("Configuration is invalid, the previous one stays in force:"))
      << outcome;
  EXPECT_TRUE(outcome.contains("probes[1]")) << outcome;
  EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 0);
  EXPECT_EQ(daemon.value("vitalsd_target_up", "probe", kSoon), 1);
  EXPECT_EQ(daemon.value("vitalsd_probes", "kind", "tcp"), 1);
  write("probes: [" + probe(kSoon) + "]\n");
  EXPECT_EQ(daemon.reload(), "Configuration reloaded. ");
  EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 1);
}

TEST_F(AppTest, ReloadsByHttpOnlyWhereThatIsAllowed) {
  write("probes: []\n");
  {
    const Daemon daemon(file(), told);
    EXPECT_NE(daemon.status("/-/reload", "POST"), 200);
    EXPECT_EQ(daemon.value("vitalsd_config_last_reload_successful"), 1);
  }
  EXPECT_TRUE(told.poll().value_or("").starts_with("STOPPING=1"));
  write("web: {reload: true}\nprobes: []\n");
  const Daemon daemon(file(), told);
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
  void write_backup_of(const std::string& where) {
    write("state: {directory: '" + directory.path("state") + "'}\nprobes: [{name: " +
          std::string(kSoon) + ", kind: backup, directory: '" + directory.path(where) + "'}]\n");
  }
  static std::optional<double> last_backup(const Daemon& daemon) {
    return daemon.value("backup_last_success_timestamp_seconds");
  }
};

TEST_F(AppState, KnowsItsFactsFromTheFirstScrapeOn) {
  write_backup_of("backups");
  double last = 0;
  {
    Daemon daemon(file(), told);
    ASSERT_TRUE(Daemon::until([&] { return last_backup(daemon).value_or(0) > 0; }));
    last = *last_backup(daemon);
    EXPECT_EQ(daemon.stop(SIGTERM), Exit::ok);
    std::ignore = told.poll();
  }
  fs::rename(directory.path("backups"), directory.path("elsewhere"));  // it cannot look now
  {
    const Daemon daemon(file(), told);
    EXPECT_EQ(last_backup(daemon), last);
    EXPECT_TRUE(Daemon::until(
        [&] { return daemon.value("vitalsd_probe_failures_total", "reason", "mismatch") > 0; }));
    EXPECT_EQ(last_backup(daemon), last);
  }
  std::ignore = told.poll();
  write_backup_of("another");  // of which nothing is known
  EXPECT_EQ(last_backup(Daemon(file(), told)), std::nullopt);
}

TEST_F(AppState, StartsWithoutAStateThatIsDamaged) {
  write_backup_of("backups");
  Daemon(file(), told).stop(SIGTERM);
  std::ignore = told.poll();
  std::ignore = directory.file("state/state.json", "{");
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const Daemon daemon(file(), told);
  EXPECT_TRUE(Daemon::until([&] { return last_backup(daemon).value_or(0) > 0; }));
  testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
}

// ---- several replicas ---------------------------------------------------------------------------

class AppElection : public AppTest {
 protected:
  // An API server with a Lease of that holder.
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
          "'}\nleader_election: {lease: vitalsd}\nprobes: [" + probe(kSoon) + "]\n");
  }
  void take_the_lease(const std::string& by) {
    const std::lock_guard guard(lease);
    holder = by;
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

TEST_F(AppElection, ObservesNothingWhileAnotherLeads) {
  holder = "other";
  serve_api();
  write_election();
  const Daemon daemon(file(), told);
  EXPECT_EQ(daemon.status("/-/ready"), 200);  // it stands by, as it shall
  EXPECT_TRUE(Daemon::until([&] { return api->accepted() > 0; }));
  EXPECT_EQ(daemon.value("vitalsd_leader"), 0);
  EXPECT_EQ(daemon.value("vitalsd_target_up"), std::nullopt);
}

// A file that had become invalid left a leader that watched nothing, and was Ready.
TEST_F(AppElection, ObservesWithTheLastGoodConfigurationWhenItLeadsAgain) {
  serve_api();
  write_election();
  const Daemon daemon(file(), told);
  ASSERT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kSoon) == 1; }));
  take_the_lease("other");
  ASSERT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_leader") == 0; }));
  EXPECT_EQ(daemon.value("vitalsd_target_up"), std::nullopt);
  std::ignore = directory.file("vitalsd.yaml", "nonsense");
  take_the_lease("");
  EXPECT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kSoon) == 1; }));
}

TEST_F(AppElection, ObservesWhenItLeadsAndGivesTheLeaseBack) {
  serve_api();
  write_election();
  Daemon daemon(file(), told);
  EXPECT_TRUE(Daemon::until([&] { return daemon.value("vitalsd_leader") == 1; }));
  EXPECT_TRUE(
      Daemon::until([&] { return daemon.value("vitalsd_target_up", "probe", kSoon) == 1; }));
  EXPECT_EQ(daemon.stop(SIGTERM), Exit::ok);
  stop_api();
  EXPECT_EQ(holder, "");
}

}  // namespace
}  // namespace vitalsd
