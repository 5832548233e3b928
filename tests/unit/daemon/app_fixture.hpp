// A daemon without its command line, on a thread of its own. Tests use signals and HTTP requests.
#pragma once

#include "daemon/app.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>

#include "unit/support/environment.hpp"
#include "unit/support/notify_socket.hpp"
#include "unit/support/page.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vitalsd::test {

namespace asio = boost::asio;
using asio::ip::tcp;

inline constexpr std::string_view kReady = "READY=1\nSTATUS=";
inline constexpr std::string_view kServing = "Serves on 127.0.0.1:";

/// Names whose phase makes the first run due within a few milliseconds.
inline constexpr std::string_view kEarly = "search-5";
inline constexpr std::string_view kAlsoEarly = "stock-8";

inline constexpr ElectionPace kFastElection{.duration = std::chrono::milliseconds(2'000),
                                            .period = std::chrono::milliseconds(50),
                                            .timeout = std::chrono::milliseconds(1'000)};

/// Starts a daemon on a free port and stops it.
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

  /// Reloads and returns the status text.
  std::string reload() {
    kill(getpid(), SIGHUP);
    EXPECT_TRUE(notifications_.wait().value_or("").starts_with("RELOADING=1\n"));
    const std::string done = notifications_.wait().value_or("");
    EXPECT_TRUE(done.starts_with(kReady)) << done;
    return done.substr(std::min(kReady.size(), done.size()));
  }

  /// Returns status line, headers and body of the response.
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
  /// Returns the value of the sample with this name and label, if there is one.
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
  /// Polls without a pause: each condition sends a request, which takes long enough.
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
  /// The address that the test itself listens on.
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

}  // namespace vitalsd::test
