// Resolves host names with c-ares, including the hosts file, resolv.conf and its search list. One
// query per name serves all probes that wait for it. Results are cached for their TTL, between 1 s
// and 60 s. A slow name delays only the probes that use it. Probe loop only.
#pragma once

#include "probes/net/ares_channel.hpp"
#include "probes/net/pending.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>

namespace vitalsd::net {

using Addresses = std::vector<asio::ip::address>;

/// The IP versions of the addresses that are used.
enum class IpVersion : unsigned char { any, v4, v6 };

/// Whether `address` is of that version.
bool is_of(IpVersion version, const asio::ip::address& address);

class Resolver {
 public:
  /// Each of `servers` is "address" or "address:port". If the list is empty, uses the servers in
  /// resolv.conf, which is read again when it changes.
  Resolver(asio::io_context& loop, TimerWheel& wheel, std::vector<std::string> servers);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Returns the addresses of `host`, never empty. IPv6 addresses come first if the machine has a
  /// route to them. An address resolves to itself. Throws ProbeError(dns), also for an address of
  /// another version.
  asio::awaitable<Addresses> resolve(std::string host, IpVersion version = IpVersion::any);

  /// Replaces the servers after a reload and clears the cache. Pending queries fail.
  void set_servers(std::vector<std::string> servers);

 private:
  using Key = std::pair<std::string, IpVersion>;  // with the host
  struct Query;
  struct Cached {
    Addresses addresses;
    TimerWheel::Clock::time_point until;
  };

  void start(const Key& key, std::shared_ptr<Pending<Addresses>> waiter);
  void send(Query& query, int family);
  void answer(Query& query, int family, int status, ares_addrinfo* result);
  void check_resolv_conf();
  void open_channel();

  asio::io_context& loop_;
  TimerWheel& wheel_;
  std::vector<std::string> servers_;
  std::unique_ptr<AresChannel> channel_;
  std::time_t resolv_conf_changed_ = 0;
  TimerWheel::Clock::time_point resolv_conf_checked_{};
  std::map<Key, std::shared_ptr<Query>> queries_;
  std::map<Key, Cached> cache_;
};

}  // namespace vitalsd::net
