// Host names to addresses, on the probe loop: hosts file, resolv.conf, search list, by c-ares. One
// query a name whatever number of probes wait for it; answers are kept for their time to live,
// within bounds. A slow name delays only those who use it. Probe loop only.
#pragma once

#include "probes/net/ares_channel.hpp"
#include "probes/net/pending.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>

namespace vitalsd::net {

using Addresses = std::vector<asio::ip::address>;

class Resolver {
 public:
  /// `servers`: "address" or "address:port" each; empty: those of resolv.conf, followed as it
  /// changes.
  Resolver(asio::io_context& loop, TimerWheel& wheel, std::vector<std::string> servers);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// The addresses of `host`, best first, never empty; throws ProbeError(dns). An address resolves
  /// to itself at once.
  asio::awaitable<Addresses> resolve(std::string host);

  /// Asks other servers from now on (after a reload).
  void set_servers(std::vector<std::string> servers);

 private:
  struct Flight;
  struct Cached {
    Addresses addresses;
    TimerWheel::Clock::time_point until;
  };

  void start(const std::string& host, std::shared_ptr<Pending<Addresses>> waiter);
  void finish(Flight& flight, int status, ares_addrinfo* result);
  void follow_resolv_conf();
  void open_channel();

  asio::io_context& loop_;
  TimerWheel& wheel_;
  std::vector<std::string> servers_;
  std::unique_ptr<AresChannel> channel_;
  std::time_t resolv_conf_changed_ = 0;
  TimerWheel::Clock::time_point resolv_conf_checked_{};
  std::map<std::string, std::unique_ptr<Flight>> flights_;
  std::map<std::string, Cached> cache_;
};

}  // namespace vitalsd::net
