#include "probes/net/resolver.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

#include <boost/asio/ip/udp.hpp>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kMinTtl = 1s;            // names from the hosts file have a TTL of 0
constexpr auto kMaxTtl = 60s;           // an address that has changed is used within a minute
constexpr auto kCheckInterval = 5s;     // between checks of resolv.conf
constexpr auto kFallbackDelay = 300ms;  // until a query for IPv4 addresses alone is sent
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

int family_of(IpVersion version) {
  if (version == IpVersion::any) return AF_UNSPEC;
  return version == IpVersion::v4 ? AF_INET : AF_INET6;
}

// If memory or descriptors are missing, or a reload has ended the query, the failure carries no
// information about the name. c-ares reports servers that cannot be reached, a socket that cannot
// be created, and SERVFAIL by the same status.
ProbeError error_of(const std::string& host, int status) {
  if (status == ARES_ECONNREFUSED && out_of_descriptors()) {
    return {Reason::internal, host + ": no file descriptor is left"};
  }
  constexpr std::array kLocal = {ARES_ENOMEM, ARES_EDESTRUCTION, ARES_ECANCELLED};
  const bool is_local = std::ranges::find(kLocal, status) != kLocal.end();
  return {is_local ? Reason::internal : Reason::dns, host + ": " + ares_text(status)};
}

// Whether the machine has a route to an address. Connects a UDP socket, so nothing is sent.
bool has_route_to(const asio::ip::address& address) {
  const int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const asio::ip::udp::endpoint to(address, 9);
  const bool has_route = connect(probe, to.data(), static_cast<socklen_t>(to.size())) == 0;
  close(probe);
  return has_route;
}

}  // namespace

bool is_of(IpVersion version, const asio::ip::address& address) {
  return version == IpVersion::any || (version == IpVersion::v4) == address.is_v4();
}

// A query for the addresses of both families of a name, and the coroutines that wait for it. c-ares
// waits for both families. A server that drops AAAA queries would delay the result by seconds, so
// after a while a second query for IPv4 addresses alone is sent. The first query that returns
// addresses is used. Each query keeps this object until c-ares calls back, which may happen after
// the result is known.
struct Resolver::Query {
  Query(Resolver& owner, Key asked)
      : resolver(owner),
        key(std::move(asked)),
        fallback([this] { resolver.send(*this, AF_INET); }) {}

  Resolver& resolver;
  Key key;  // the key in queries_ and cache_
  std::vector<std::shared_ptr<Pending<Addresses>>> waiters{};
  std::weak_ptr<Query> self{};
  Timer fallback;
  int pending = 0;  // number of queries
  bool is_finished = false;
};

Resolver::Resolver(asio::io_context& loop, TimerWheel& wheel, std::vector<std::string> servers)
    : loop_(loop), wheel_(wheel), servers_(std::move(servers)) {
  open_channel();
}

// The channel is destroyed first, because it then ends its queries by calling their callbacks.
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

void Resolver::check_resolv_conf() {
  const auto now = TimerWheel::Clock::now();
  if (!servers_.empty() || now - resolv_conf_checked_ < kCheckInterval) return;
  resolv_conf_checked_ = now;
  struct stat status{};
  if (stat("/etc/resolv.conf", &status) != 0) return;
  // Pending queries fail with the old channel, because their servers are most likely unreachable.
  if (std::exchange(resolv_conf_changed_, status.st_mtime) != status.st_mtime) open_channel();
}

asio::awaitable<Addresses> Resolver::resolve(std::string host, IpVersion version) {
  boost::system::error_code not_an_address;
  const auto address = asio::ip::make_address(host, not_an_address);
  if (!not_an_address) {
    if (is_of(version, address)) co_return Addresses{address};
    throw ProbeError(Reason::dns, host + ": not an address of the configured IP version");
  }
  const Key key(std::move(host), version);
  const auto cached = cache_.find(key);
  if (cached != cache_.end()) {
    if (TimerWheel::Clock::now() < cached->second.until) co_return cached->second.addresses;
    cache_.erase(cached);
  }
  const auto start_query = [this, &key](std::shared_ptr<Pending<Addresses>> pending) {
    start(key, std::move(pending));
  };
  co_return co_await Pending<Addresses>::wait(start_query);
}

void Resolver::start(const Key& key, std::shared_ptr<Pending<Addresses>> waiter) {
  check_resolv_conf();
  std::shared_ptr<Query>& query = queries_[key];
  if (query) {
    // Removes cancelled waiters, so that waiters for a name that never resolves do not accumulate.
    std::erase_if(query->waiters, [](const auto& other) { return other->done(); });
    query->waiters.push_back(std::move(waiter));
    return;
  }
  query = std::make_shared<Query>(*this, key);
  query->self = query;
  query->waiters.push_back(std::move(waiter));
  const std::shared_ptr<Query> kept = query;  // c-ares may call back before it returns
  if (key.second == IpVersion::any) wheel_.arm_after(kept->fallback, kFallbackDelay);
  send(*kept, family_of(key.second));
}

void Resolver::send(Query& query, int family) {
  struct Sent {
    std::shared_ptr<Query> query;
    int family;
  };
  const auto on_result = [](void* raw, int status, int /*timeouts*/, ares_addrinfo* result) {
    const std::unique_ptr<Sent> sent(static_cast<Sent*>(raw));
    const std::unique_ptr<ares_addrinfo,
                          decltype([](ares_addrinfo* list) { ares_freeaddrinfo(list); })>
        list(result);
    try {
      sent->query->resolver.answer(*sent->query, sent->family, status, result);
    } catch (...) {  // cannot pass through c-ares
      sent->query->is_finished = true;
      sent->query->fallback.disarm();
      sent->query->resolver.queries_.erase(sent->query->key);
      for (const auto& waiter : sent->query->waiters) waiter->fail(std::current_exception());
    }
  };
  ares_addrinfo_hints hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;  // otherwise each address is returned once per socket type
  ++query.pending;
  ares_getaddrinfo(channel_->handle(), query.key.first.c_str(), nullptr, &hints, on_result,
                   new Sent{query.self.lock(), family});
  channel_->rearm();
}

void Resolver::answer(Query& query, int family, int status, ares_addrinfo* result) {
  Addresses addresses;
  int ttl = static_cast<int>(std::chrono::seconds(kMaxTtl).count());
  for (const ares_addrinfo_node* at = result == nullptr ? nullptr : result->nodes; at != nullptr;
       at = at->ai_next) {
    addresses.push_back(to_address(*at->ai_addr));
    ttl = std::min(ttl, at->ai_ttl);
  }
  --query.pending;
  // A machine that has only IPv6 cannot use IPv4 addresses.
  const bool is_fallback = family != family_of(query.key.second);
  if (is_fallback && !addresses.empty() && !has_route_to(addresses.front())) addresses.clear();
  if (query.is_finished || (addresses.empty() && query.pending > 0)) return;
  query.is_finished = true;
  query.fallback.disarm();
  const auto node = queries_.extract(query.key);  // keeps the query until this returns
  if (addresses.empty()) {
    const int error = status == ARES_SUCCESS ? ARES_ENODATA : status;
    for (const auto& waiter : query.waiters) {
      waiter->fail_with(error_of(query.key.first, error));
    }
    return;
  }
  if (cache_.size() >= kMaxCached) cache_.clear();
  cache_[query.key] = {
      addresses, TimerWheel::Clock::now() +
                     std::max<TimerWheel::Clock::duration>(kMinTtl, std::chrono::seconds(ttl))};
  for (const auto& waiter : query.waiters) waiter->succeed(addresses);
}

}  // namespace vitalsd::net
