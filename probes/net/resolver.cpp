#include "probes/net/resolver.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/asio/ip/udp.hpp>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kMinTtl = 1s;         // names from the hosts file have a TTL of 0
constexpr auto kMaxTtl = 60s;        // a service that moves is found within a minute
constexpr auto kCheckInterval = 5s;  // between checks of resolv.conf
constexpr auto kFamilyDelay = 50ms;  // the recommendation of RFC 8305
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

// Whether the machine has a route, and so an address of its own, for an IPv6 address. Sends
// nothing.
bool has_route_to(const asio::ip::address& address) {
  const int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const asio::ip::udp::endpoint to(address, 9);
  const bool has_route = connect(probe, to.data(), static_cast<socklen_t>(to.size())) == 0;
  close(probe);
  return has_route;
}

}  // namespace

// The queries for the IPv4 and the IPv6 addresses of a name, and their waiters. Each query keeps it
// until c-ares calls back, which may be after it has finished.
struct Resolver::Query {
  Query(Resolver& owner, std::string name)
      : resolver(owner), host(std::move(name)), delay([this] { resolver.finish(*this); }) {}

  Resolver& resolver;
  std::string host;
  std::vector<std::shared_ptr<Pending<Addresses>>> waiters{};
  Timer delay;  // until the result is used without that of the other family
  Addresses v4{};
  Addresses v6{};
  int status = ARES_SUCCESS;  // of a failed query
  int ttl = static_cast<int>(std::chrono::seconds(kMaxTtl).count());
  int pending = 2;
  bool is_finished = false;
};

Resolver::Resolver(asio::io_context& loop, TimerWheel& wheel, std::vector<std::string> servers)
    : loop_(loop), wheel_(wheel), servers_(std::move(servers)) {
  open_channel();
}

// The channel is destroyed first, because it ends its queries with a callback.
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
  // Pending queries fail with the old channel; their servers are most likely unreachable.
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
  const auto start_query = [this, &host](std::shared_ptr<Pending<Addresses>> pending) {
    start(host, std::move(pending));
  };
  co_return co_await Pending<Addresses>::wait(start_query);
}

void Resolver::start(const std::string& host, std::shared_ptr<Pending<Addresses>> waiter) {
  check_resolv_conf();
  std::shared_ptr<Query>& query = queries_[host];
  if (query) {
    // Removes cancelled waiters, so that a name that never resolves does not accumulate them.
    std::erase_if(query->waiters, [](const auto& other) { return other->done(); });
    query->waiters.push_back(std::move(waiter));
    return;
  }
  query = std::make_shared<Query>(*this, host);
  query->waiters.push_back(std::move(waiter));
  const std::shared_ptr<Query> kept = query;  // c-ares may call back before it returns
  const auto on_result = [](void* raw, int status, int /*timeouts*/, ares_addrinfo* result) {
    const std::unique_ptr<std::shared_ptr<Query>> answered(
        static_cast<std::shared_ptr<Query>*>(raw));
    (*answered)->resolver.answer(**answered, status, result);
  };
  for (const int family : {AF_INET, AF_INET6}) {
    ares_addrinfo_hints hints{};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;  // otherwise each address is returned once per socket type
    ares_getaddrinfo(channel_->handle(), kept->host.c_str(), nullptr, &hints, on_result,
                     new std::shared_ptr<Query>(kept));
  }
  channel_->rearm();
}

// RFC 8305: if a server answers for one family only, such as one that drops AAAA queries, the
// addresses of that family are used after a short delay.
void Resolver::answer(Query& query, int status, ares_addrinfo* result) {
  for (const ares_addrinfo_node* at = result == nullptr ? nullptr : result->nodes; at != nullptr;
       at = at->ai_next) {
    const asio::ip::address address = to_address(*at->ai_addr);
    (address.is_v4() ? query.v4 : query.v6).push_back(address);
    query.ttl = std::min(query.ttl, at->ai_ttl);
  }
  if (result != nullptr) ares_freeaddrinfo(result);
  if (query.is_finished) return;
  const int error = status == ARES_SUCCESS ? ARES_ENODATA : status;
  if (query.status == ARES_SUCCESS || query.status == ARES_ENODATA) query.status = error;
  --query.pending;
  if (query.pending == 0) {
    finish(query);
  } else if (!query.v4.empty() || !query.v6.empty()) {
    wheel_.arm_after(query.delay, kFamilyDelay);
  }
}

void Resolver::finish(Query& query) {
  query.is_finished = true;
  query.delay.disarm();
  const auto node = queries_.extract(query.host);  // keeps the query until this returns
  const bool v6_first = !query.v6.empty() && has_route_to(query.v6.front());
  Addresses addresses = v6_first ? query.v6 : query.v4;
  const Addresses& others = v6_first ? query.v4 : query.v6;
  addresses.insert(addresses.end(), others.begin(), others.end());
  if (addresses.empty()) {
    for (const auto& waiter : query.waiters) {
      waiter->fail_with(ProbeError(Reason::dns, query.host + ": " + ares_text(query.status)));
    }
    return;
  }
  if (cache_.size() >= kMaxCached) cache_.clear();
  cache_[query.host] = {addresses,
                        TimerWheel::Clock::now() + std::max<TimerWheel::Clock::duration>(
                                                       kMinTtl, std::chrono::seconds(query.ttl))};
  for (const auto& waiter : query.waiters) waiter->succeed(addresses);
}

}  // namespace vitalsd::net
