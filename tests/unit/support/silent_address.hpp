// Two addresses of this machine with the same free port: one accepts connections, the other drops
// their packets.
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

class SilentAddress {
 public:
  static constexpr const char* kLive = "127.0.0.1";
  static constexpr const char* kSilent = "127.0.0.2";

  explicit SilentAddress(asio::io_context& loop) : silent_(loop, asio::ip::tcp::v4()) {
    const auto bind_fails = [&] {
      boost::system::error_code error;
      live_.emplace(loop, asio::ip::tcp::endpoint(asio::ip::make_address(kLive), 0));
      silent_.bind({asio::ip::make_address(kSilent), port()}, error);
      return error.failed();
    };
    for (int attempts = 1; bind_fails(); ++attempts) {
      if (attempts == 50) throw std::runtime_error("no port is free at both addresses");
    }
    // Its queue is full, so the kernel drops new connections.
    silent_.listen(0);
    for (int i = 0; i < 2; ++i) {
      queue_.emplace_back(loop, asio::ip::tcp::v4());
      queue_.back().async_connect(silent_.local_endpoint(), [](const auto& /*error*/) {});
    }
    settle(loop);
  }

  [[nodiscard]] std::uint16_t port() const { return live_->local_endpoint().port(); }
  asio::ip::tcp::acceptor& live() { return *live_; }

 private:
  std::optional<asio::ip::tcp::acceptor> live_;
  asio::ip::tcp::acceptor silent_;
  std::vector<asio::ip::tcp::socket> queue_;
};

}  // namespace vitalsd::test
