#include "probes/net/resolver.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <netinet/in.h>
#include <sys/stat.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kShortestLife = 1s;   // names of the hosts file have none: still not asked each time
constexpr auto kLongestLife = 60s;   // a moved service is found within a minute
constexpr auto kCheckInterval = 5s;  // between looks at resolv.conf
constexpr std::size_t kMaxCached = 10'000;

asio::ip::address to_address(const sockaddr& raw) {
  if (raw.sa_family == AF_INET) {
    asio::ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in&>(raw).sin_addr, bytes.size());
    return asio::ip::address_v4(bytes);
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(raw);
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return asio::ip::address_v6(bytes, v6.sin6_scope_id);
}

}  // namespace

// One query, and all who wait for it. Lives until c-ares calls back.
struct Resolver::Flight {
  Resolver& resolver;
  std::string host;
  std::vector<std::shared_ptr<Pending<Addresses>>> waiters;
};

Resolver::Resolver(asio::io_context& loop, TimerWheel& wheel, std::vector<std::string> servers)
    : loop_(loop), wheel_(wheel), servers_(std::move(servers)) {
  open_channel();
}

// The channel goes first: its queries call back into the flights.
Resolver::~Resolver() { channel_.reset(); }

void Resolver::open_channel() {
  AresChannel::Options options;
  options.servers = servers_;
  channel_ = std::make_unique<AresChannel>(loop_, wheel_, options);
}

void Resolver::set_servers(std::vector<std::string> servers) {
  if (servers == servers_) return;
  servers_ = std::move(servers);
  cache_.clear();
  open_channel();
}

void Resolver::follow_resolv_conf() {
  const auto now = TimerWheel::Clock::now();
  if (!servers_.empty() || now - resolv_conf_checked_ < kCheckInterval) return;
  resolv_conf_checked_ = now;
  struct stat status{};
  if (stat("/etc/resolv.conf", &status) != 0) return;
  // Queries under way end with the old channel; their servers are most likely gone.
  if (std::exchange(resolv_conf_changed_, status.st_mtime) != status.st_mtime) open_channel();
}

asio::awaitable<Addresses> Resolver::resolve(std::string host) {
  boost::system::error_code not_an_address;
  const auto address = asio::ip::make_address(host, not_an_address);
  if (!not_an_address) co_return Addresses{address};
  const auto cached = cache_.find(host);
  if (cached != cache_.end()) {
    if (TimerWheel::Clock::now() < cached->second.until) co_return cached->second.addresses;
    cache_.erase(cached);
  }
  const auto begin = [this, &host](std::shared_ptr<Pending<Addresses>> pending) {
    start(host, std::move(pending));
  };
  co_return co_await Pending<Addresses>::wait(begin);
}

void Resolver::start(const std::string& host, std::shared_ptr<Pending<Addresses>> waiter) {
  follow_resolv_conf();
  std::unique_ptr<Flight>& flight = flights_[host];
  if (flight) {
    // Those who gave up are swept out here, so that a name that never resolves costs no memory.
    std::erase_if(flight->waiters, [](const auto& other) { return other->done(); });
    flight->waiters.push_back(std::move(waiter));
    return;
  }
  flight = std::make_unique<Flight>(Flight{*this, host, {std::move(waiter)}});
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // else every address comes once a socket type
  const auto done = [](void* raw, int status, int /*timeouts*/, ares_addrinfo* result) {
    auto& answered = *static_cast<Flight*>(raw);
    answered.resolver.finish(answered, status, result);
  };
  // May call back before it returns, which ends the flight.
  ares_getaddrinfo(channel_->handle(), host.c_str(), nullptr, &hints, done, flight.get());
  channel_->rearm();
}

void Resolver::finish(Flight& flight, int status, ares_addrinfo* result) {
  const auto node = flights_.extract(flight.host);
  Addresses addresses;
  int life = static_cast<int>(std::chrono::seconds(kLongestLife).count());
  for (const ares_addrinfo_node* at = result == nullptr ? nullptr : result->nodes; at != nullptr;
       at = at->ai_next) {
    addresses.push_back(to_address(*at->ai_addr));
    life = std::min(life, at->ai_ttl);
  }
  if (result != nullptr) ares_freeaddrinfo(result);
  if (addresses.empty()) {
    const int why = status == ARES_SUCCESS ? ARES_ENODATA : status;
    for (const auto& waiter : flight.waiters) {
      waiter->fail_with(ProbeError(Reason::dns, flight.host + ": " + ares_text(why)));
    }
    return;
  }
  if (cache_.size() >= kMaxCached) cache_.clear();
  cache_[flight.host] = {addresses,
                         TimerWheel::Clock::now() + std::max<TimerWheel::Clock::duration>(
                                                        kShortestLife, std::chrono::seconds(life))};
  for (const auto& waiter : flight.waiters) waiter->succeed(addresses);
}

}  // namespace vitalsd::net
