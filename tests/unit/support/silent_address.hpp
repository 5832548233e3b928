// Addresses of this machine that drop the packets of connections.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

#include "unit/support/loop.hpp"
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>

namespace vitalsd::test {

/// Listens with a queue that is full, so the kernel drops new connections.
class SilentListener {
 public:
  explicit SilentListener(asio::io_context& loop) : acceptor_(loop, asio::ip::tcp::v4()) {}
  /// Binds and listens.
  SilentListener(asio::io_context& loop, const asio::ip::tcp::endpoint& at) : SilentListener(loop) {
    acceptor_.bind(at);
    listen(loop);
  }

  asio::ip::tcp::acceptor& acceptor() { return acceptor_; }
  void listen(asio::io_context& loop) {
    acceptor_.listen(0);
    for (int i = 0; i < 2; ++i) {
      queue_.emplace_back(loop, asio::ip::tcp::v4());
      queue_.back().async_connect(acceptor_.local_endpoint(), [](const auto& /*error*/) {});
    }
    settle(loop);
  }

 private:
  asio::ip::tcp::acceptor acceptor_;
  std::vector<asio::ip::tcp::socket> queue_;
};

/// Two addresses with the same free port: one accepts connections, the other is silent.
class SilentAddress {
 public:
  static constexpr const char* kLive = "127.0.0.1";
  static constexpr const char* kSilent = "127.0.0.2";

  explicit SilentAddress(asio::io_context& loop) : silent_(loop) {
    const auto bind_fails = [&] {
      boost::system::error_code error;
      live_.emplace(loop, asio::ip::tcp::endpoint(asio::ip::make_address(kLive), 0));
      silent_.acceptor().bind({asio::ip::make_address(kSilent), port()}, error);
      return error.failed();
    };
    for (int attempts = 1; bind_fails(); ++attempts) {
      if (attempts == 50) throw std::runtime_error("no port is free at both addresses");
    }
    silent_.listen(loop);
  }

  [[nodiscard]] std::uint16_t port() const { return live_->local_endpoint().port(); }
  asio::ip::tcp::acceptor& live() { return *live_; }

 private:
  std::optional<asio::ip::tcp::acceptor> live_;
  SilentListener silent_;
};

}  // namespace vitalsd::test
