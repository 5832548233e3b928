#include "daemon/health_check.hpp"

#include <string>
#include <thread>

#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

// Runs the command; its output and exit code.
struct Verdict {
  explicit Verdict(const std::string& url) {
    testing::internal::CaptureStderr();
    code = check_health(url);
    text = testing::internal::GetCapturedStderr();
  }
  int code = -1;
  std::string text;
};

// A daemon that sends one response. It runs on a thread of its own, because the command has its own
// loop.
class Daemon {
 public:
  explicit Daemon(const std::string& answer)
      : script_(loop_,
                [answer](const std::string&) { return test::HttpScript::Reply{answer, false}; }) {
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Daemon() {
    loop_.stop();
    thread_.join();
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  [[nodiscard]] std::string url() const { return script_.url() + "/-/healthy"; }

 private:
  boost::asio::io_context loop_;
  test::HttpScript script_;
  std::thread thread_;
};

TEST(HealthCheckTest, PrintsNothingForAHealthyDaemon) {
  const Daemon daemon(test::http_answer(200, "ok\n"));
  const Verdict verdict(daemon.url());
  EXPECT_EQ(verdict.code, 0);
  EXPECT_EQ(verdict.text, "");
}

TEST(HealthCheckTest, PrintsTheFirstLineOfTheResponse) {
  const Daemon daemon(test::http_answer(503, "The probe loop stands still.\nSince 07:30.\n"));
  const Verdict verdict(daemon.url());
  EXPECT_EQ(verdict.code, 1);
  EXPECT_EQ(verdict.text, daemon.url() + ": status 503: The probe loop stands still.\n");
}

TEST(HealthCheckTest, FailsForOtherStatusCodes) {
  const Daemon daemon(test::http_answer(204, ""));
  EXPECT_EQ(Verdict(daemon.url()).code, 1);
}

TEST(HealthCheckTest, ReportsARefusedConnection) {
  const test::ClosedPort port;
  const std::string url = "http://" + port.endpoint() + "/-/healthy";
  const Verdict verdict(url);
  EXPECT_EQ(verdict.code, 1);
  EXPECT_TRUE(verdict.text.starts_with(url + ": ")) << verdict.text;
  EXPECT_TRUE(verdict.text.contains("onnect")) << verdict.text;
}

TEST(HealthCheckTest, ReportsAnInvalidResponse) {
  const Daemon daemon("SSH-2.0-OpenSSH_9.2\r\n");
  const Verdict verdict(daemon.url());
  EXPECT_EQ(verdict.code, 1);
  EXPECT_NE(verdict.text, "");
}

TEST(HealthCheckTest, ReportsAnInvalidUrlAsUsageError) {
  const Verdict verdict("not a url");
  EXPECT_EQ(verdict.code, 2);
  EXPECT_TRUE(verdict.text.starts_with("--url: ")) << verdict.text;
}

}  // namespace
}  // namespace vitalsd
