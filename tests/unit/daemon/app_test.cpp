// The whole daemon without its command line.
#include "daemon/app.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <tuple>

#include "unit/daemon/app_fixture.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using asio::ip::tcp;
using test::AppTest;
using test::Daemon;
using test::kAlsoEarly;
using test::kEarly;

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

TEST_F(AppTest, ShowsChangesThatWaitForARestart) {
  write("probes: []\n");
  Daemon daemon(file(), notifications);
  EXPECT_FALSE(daemon.request("/").contains("take effect after a restart"));
  write("web: {reload: true}\nprobes: []\n");
  EXPECT_EQ(daemon.reload(), "Configuration reloaded. ");
  EXPECT_TRUE(daemon.request("/").contains("web: changes take effect after a restart"));
  write("probes: []\n");
  EXPECT_EQ(daemon.reload(), "Configuration reloaded. ");
  EXPECT_FALSE(daemon.request("/").contains("take effect after a restart"));
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

}  // namespace
}  // namespace vitalsd
