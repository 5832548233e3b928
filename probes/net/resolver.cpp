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

constexpr auto kMinTtl = 1s;         // names from the hosts file have a TTL of 0
constexpr auto kMaxTtl = 60s;        // a service that moves is found within a minute
constexpr auto kCheckInterval = 5s;  // between checks of resolv.conf
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

// A query and its waiters. Valid until c-ares calls back.
struct Resolver::Query {
  Resolver& resolver;
  std::string host;
  std::vector<std::shared_ptr<Pending<Addresses>>> waiters;
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
  std::unique_ptr<Query>& query = queries_[host];
  if (query) {
    // Removes cancelled waiters, so that a name that never resolves does not accumulate them.
    std::erase_if(query->waiters, [](const auto& other) { return other->done(); });
    query->waiters.push_back(std::move(waiter));
    return;
  }
  query = std::make_unique<Query>(Query{*this, host, {std::move(waiter)}});
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // otherwise each address is returned once per socket type
  const auto on_result = [](void* raw, int status, int /*timeouts*/, ares_addrinfo* result) {
    auto& finished = *static_cast<Query*>(raw);
    finished.resolver.finish(finished, status, result);
  };
  // May call back before it returns, which destroys the query.
  ares_getaddrinfo(channel_->handle(), host.c_str(), nullptr, &hints, on_result, query.get());
  channel_->rearm();
}

void Resolver::finish(Query& query, int status, ares_addrinfo* result) {
  const auto node = queries_.extract(query.host);
  Addresses addresses;
  int ttl = static_cast<int>(std::chrono::seconds(kMaxTtl).count());
  for (const ares_addrinfo_node* at = result == nullptr ? nullptr : result->nodes; at != nullptr;
       at = at->ai_next) {
    addresses.push_back(to_address(*at->ai_addr));
    ttl = std::min(ttl, at->ai_ttl);
  }
  if (result != nullptr) ares_freeaddrinfo(result);
  if (addresses.empty()) {
    const int error = status == ARES_SUCCESS ? ARES_ENODATA : status;
    for (const auto& waiter : query.waiters) {
      waiter->fail_with(ProbeError(Reason::dns, query.host + ": " + ares_text(error)));
    }
    return;
  }
  if (cache_.size() >= kMaxCached) cache_.clear();
  cache_[query.host] = {
      addresses, TimerWheel::Clock::now() +
                     std::max<TimerWheel::Clock::duration>(kMinTtl, std::chrono::seconds(ttl))};
  for (const auto& waiter : query.waiters) waiter->succeed(addresses);
}

}  // namespace vitalsd::net
