#include "daemon/reload.hpp"

#include "daemon/log.hpp"
#include "probes/services.hpp"

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "unit/support/loop.hpp"
#include "unit/support/page.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

namespace fs = std::filesystem;

std::string config(std::string_view name) {
  return "probes: [{name: " + std::string(name) + ", kind: tcp, endpoint: \"h:1\"}]\n";
}

class ReloadTest : public testing::Test {
 protected:
  ReloadTest() { log::configure({config::LogLevel::error, config::LogFormat::logfmt}); }

  // Replaces the file by rename, as editors do.
  void write(std::string_view text) { fs::rename(directory.file("new", text), file); }

  bool wait_until_installed(const std::string& names) {
    return test::run_until(loop, [&] { return installed == names; });
  }
  // Reloads and returns the text, with the prefix "good" or "bad".
  std::string reload() {
    std::optional<std::string> answer;
    reloader.reload([&](bool succeeded, const std::string& text) {
      answer = (succeeded ? "good: " : "bad: ") + text;
    });
    EXPECT_TRUE(test::run_until(loop, [&] { return answer.has_value(); }));
    return answer.value_or("none");
  }
  // Looks at the file, and reloads it if necessary.
  void look() {
    ASSERT_TRUE(test::run_until(loop, [&] { return reloader.idle(); }));
    reloader.reload_if_changed();
    ASSERT_TRUE(test::run_until(loop, [&] { return reloader.idle(); }));
  }
  double last_reload_successful() {
    for (const Exposition::Extra& extra : metrics.collect()) {
      if (extra.name != "vitalsd_config_last_reload_successful") continue;
      return test::parse_samples(extra.lines).at(0).value;
    }
    return -1;
  }

  test::TempDirectory directory;
  std::string file = directory.file("vitalsd.yaml", config("first"));
  asio::io_context loop{1};
  ProbeServices services{loop, {}};
  SelfMetrics metrics;
  std::string installed;  // the names of the probes, in the order of their installation
  Reloader reloader{file, services.environment, metrics, [this](Loaded loaded) {
                      for (const JobSpec& job : loaded.jobs) installed += job.name + ' ';
                    }};
};

TEST_F(ReloadTest, InstallsAValidFile) {
  EXPECT_EQ(reload(), "good: Configuration reloaded.\n");
  EXPECT_EQ(installed, "first ");
  EXPECT_EQ(last_reload_successful(), 1);
}

TEST_F(ReloadTest, InstallsNothingOfAnInvalidFile) {
  std::string problem;
  reloader.on_reloaded = [&](const std::string& why) { problem = why; };
  write(config("second") + "web: 5\nlog: 5\n");
  const std::string why = "must be a mapping of keys, not text: write KEY: VALUE";
  const std::string lines = file + ":2:6: web: " + why + '\n' + file + ":3:6: log: " + why;
  EXPECT_EQ(reload(),
            "bad: Configuration is invalid, keeping the previous configuration:\n" + lines + '\n');
  EXPECT_EQ(installed, "");
  EXPECT_EQ(last_reload_successful(), 0);
  EXPECT_EQ(problem, "the configuration is invalid, keeping the previous configuration: " + lines);
  write(config("third"));
  EXPECT_TRUE(reload().starts_with("good"));
  EXPECT_EQ(problem, "");
  EXPECT_EQ(last_reload_successful(), 1);
}

// The response quotes the file, which may be in another encoding.
TEST_F(ReloadTest, TellsTheProblemsAsText) {
  write(config("second") + "caf\xe9: 5\n");
  const std::string text = reload();
  EXPECT_TRUE(text.starts_with("bad: ")) << text;
  EXPECT_TRUE(text.contains("caf\ufffd")) << text;
}

TEST_F(ReloadTest, ReloadsAgainForRequestsDuringAReload) {
  std::vector<int> served;
  const auto reload = [&](int i) {
    reloader.reload([&, i](bool, const std::string&) { served.push_back(i); });
  };
  reload(0);
  test::settle(loop);  // it has started and may have read the file
  reload(1);
  reload(2);
  ASSERT_TRUE(test::run_until(loop, [&] { return served.size() == 3; }));
  EXPECT_EQ(installed, "first first ");
}

TEST_F(ReloadTest, ReloadsAChangedFile) {
  look();
  EXPECT_EQ(installed, "");
  write(config("second"));
  look();
  ASSERT_TRUE(wait_until_installed("second "));
  look();
  EXPECT_EQ(installed, "second ");
}

TEST_F(ReloadTest, WaitsForAMissingFile) {
  fs::remove(file);
  look();
  EXPECT_EQ(installed, "");
  write(config("second"));
  look();
  EXPECT_TRUE(wait_until_installed("second "));
}

// Regression: 16 hanging mounts used all threads of the pool, after which a reload ended the
// daemon.
TEST_F(ReloadTest, DoesNotUseThreadsOfThePool) {
  std::mutex mount;
  std::unique_lock hanging(mount);
  std::vector<std::unique_ptr<test::Task<int>>> lost;
  for (std::size_t i = 0; i < net::Offload::kMaxThreads; ++i) {
    lost.push_back(std::make_unique<test::Task<int>>(
        loop, services.offload.run(std::to_string(i), [&mount](const net::StopFlag&) {
          const std::lock_guard wait(mount);
          return 0;
        })));
  }
  ASSERT_TRUE(
      test::run_until(loop, [&] { return services.offload.busy() == net::Offload::kMaxThreads; }));
  for (const auto& task : lost) task->cancel();
  EXPECT_EQ(reload(), "good: Configuration reloaded.\n");
  hanging.unlock();
  EXPECT_TRUE(test::run_until(loop, [&] { return services.offload.busy() == 0; }));
}

TEST_F(ReloadTest, FailsIfInstallingFails) {
  Reloader failing{file, services.environment, metrics,
                   [](Loaded) { throw std::runtime_error("no memory"); }};
  std::optional<std::string> answer;
  failing.reload([&](bool succeeded, const std::string& text) {
    answer = (succeeded ? "good: " : "bad: ") + text;
  });
  ASSERT_TRUE(test::run_until(loop, [&] { return answer.has_value(); }));
  EXPECT_EQ(*answer,
            "bad: Cannot load the configuration, keeping the previous configuration: no memory\n");
  EXPECT_EQ(last_reload_successful(), 0);
}

TEST_F(ReloadTest, InstallsNothingAfterStop) {
  std::vector<std::string> answers;
  const auto done = [&](bool succeeded, const std::string& text) {
    answers.push_back((succeeded ? "good: " : "bad: ") + text);
  };
  reloader.reload(done);
  reloader.reload(done);
  reloader.stop();
  ASSERT_TRUE(test::run_until(loop, [&] { return reloader.idle(); }));
  reloader.reload(done);
  EXPECT_EQ(answers, std::vector<std::string>(3, "bad: vitalsd is stopping.\n"));
  EXPECT_EQ(installed, "");
}

TEST_F(ReloadTest, InstallsTheConfigurationInForceAgainDespiteAnInvalidFile) {
  EXPECT_TRUE(reload().starts_with("good"));
  write("nonsense");
  EXPECT_TRUE(reload().starts_with("bad"));
  reloader.install_again();
  EXPECT_TRUE(wait_until_installed("first first "));
}

// Regression: a leader remained without jobs until the file was edited.
TEST_F(ReloadTest, RetriesInstallingAgain) {
  reloader.set_in_force("nonsense");
  reloader.install_again();
  ASSERT_TRUE(test::run_until(loop, [&] { return reloader.idle(); }));
  EXPECT_EQ(installed, "");
  reloader.set_in_force(config("old"));
  look();
  EXPECT_TRUE(wait_until_installed("old "));
  look();
  EXPECT_EQ(installed, "old ");
}

TEST_F(ReloadTest, PrefersAValidFileToInstallingAgain) {
  reloader.set_in_force("nonsense");
  reloader.install_again();
  ASSERT_TRUE(test::run_until(loop, [&] { return reloader.idle(); }));
  look();
  write(config("second"));
  look();
  EXPECT_TRUE(wait_until_installed("second "));
}

TEST_F(ReloadTest, ReloadReplacesInstallingAgain) {
  reloader.set_in_force(config("old"));
  reloader.reload([](bool, const std::string&) {});
  reloader.install_again();
  ASSERT_TRUE(wait_until_installed("first "));
  ASSERT_TRUE(test::run_until(loop, [&] { return reloader.idle(); }));
  EXPECT_EQ(installed, "first ");
  write("nonsense");
  reloader.reload([](bool, const std::string&) {});
  reloader.install_again();  // runs after the reload, because that fails
  EXPECT_TRUE(wait_until_installed("first first "));
}

// A second read would return an empty configuration.
TEST_F(ReloadTest, DoesNotReadStandardInputAgain) {
  Reloader standard{"-", services.environment, metrics, [this](Loaded) { installed += "new "; }};
  std::string answer;
  standard.reload([&](bool succeeded, const std::string& text) {
    answer = (succeeded ? "good: " : "bad: ") + text;
  });
  standard.reload_if_changed();
  test::settle(loop);
  EXPECT_EQ(answer, "bad: Cannot reload: the configuration was read from standard input.\n");
  EXPECT_EQ(installed, "");
}

// Kubernetes updates a mounted ConfigMap this way.
TEST_F(ReloadTest, DetectsAReplacedSymlink) {
  fs::remove(file);
  fs::create_directories(directory.path("v1"));
  fs::create_directories(directory.path("v2"));
  std::ignore = directory.file("v1/vitalsd.yaml", config("one"));
  std::ignore = directory.file("v2/vitalsd.yaml", config("two"));
  fs::create_symlink("v1", directory.path("..data"));
  fs::create_symlink("..data/vitalsd.yaml", file);
  look();
  ASSERT_TRUE(wait_until_installed("one "));
  fs::create_symlink("v2", directory.path("..tmp"));
  fs::rename(directory.path("..tmp"), directory.path("..data"));
  look();
  EXPECT_TRUE(wait_until_installed("one two "));
}

}  // namespace
}  // namespace vitalsd
