// Requests to the nodes of a RabbitMQ cluster: the page of the Prometheus plug-in, and the
// management API. Probe loop only.
#pragma once

#include "config/url.hpp"
#include "probes/net/http_access.hpp"
#include "probes/probe.hpp"
#include "probes/rabbitmq/management.hpp"
#include "probes/rabbitmq/node_page.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::rabbitmq {

/// All queues of the cluster.
struct AllQueues {
  std::vector<Queue> queues;
  /// Queues were declared or deleted while the pages were read, so `queues` may lack a queue.
  bool has_shifted = false;
};

/// The columns of a list of queues.
enum class Columns : unsigned char {
  all,         ///< messages, consumers and attributes; the server must collect them from all nodes
  no_stats,    ///< messages except those of streams, and attributes; needs no statistics
  attributes,  ///< attributes that a declaration sets
};

class Client {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `environment` must outlive the client.
  Client(const Environment& environment, net::HttpAccess access)
      : environment_(environment), access_(std::move(access)) {}

  [[nodiscard]] const net::HttpAccess& access() const { return access_; }

  /// Reads the secrets again. Call it before the requests of a run. Throws what
  /// ConfiguredFiles::read() throws.
  asio::awaitable<void> load_credentials(SampleSet& out);

  // Each request throws ProbeError (auth, permission, mismatch, unready, overload, protocol and
  // those of HttpClient::perform), and timeout after `deadline`.

  /// The page at one address of the URL's host. Uses a new connection, so that a load balancer does
  /// not hide the other nodes.
  asio::awaitable<NodePage> node_page(const config::Url& url, const std::string& address,
                                      Time deadline) const;

  /// The user, if `api` is a management API. Nothing if the server has no such path (404).
  asio::awaitable<std::optional<User>> whoami(const config::Url& api, Time deadline) const;
  /// If the response does not contain it, assumes that the server collects statistics.
  asio::awaitable<Overview> overview(const config::Url& api, Time deadline) const;
  asio::awaitable<std::vector<ManagedNode>> nodes(const config::Url& api, Time deadline) const;
  /// Nothing if the server is too old for this check.
  asio::awaitable<std::optional<std::vector<Alarm>>> alarms(const config::Url& api,
                                                            Time deadline) const;
  /// Throws ProbeError(permission) if `listed` lacks the queues of some virtual hosts: even with
  /// the tag `monitoring`, a user sees only queues of virtual hosts on which it has a permission.
  asio::awaitable<void> expect_all(const config::Url& api, const std::vector<Queue>& listed,
                                   Time deadline) const;
  asio::awaitable<AllQueues> queues(const config::Url& api, Columns columns, Time deadline) const;

 private:
  [[nodiscard]] net::HttpRequest request(const config::Url& url, Time deadline) const;
  /// `max_body` in bytes; 0: enough for a page of queues.
  asio::awaitable<net::HttpResponse> get(const config::Url& api, std::string_view path,
                                         const std::string& query, Time deadline,
                                         std::size_t max_body = 0) const;
  /// Parses a large response on a thread.
  template <class Result>
  asio::awaitable<Result> parse(net::HttpResponse response, Result (*read)(std::string_view)) const;
  [[nodiscard]] ProbeError refused(const config::Url& url, const net::HttpResponse& response) const;

  const Environment& environment_;
  net::HttpAccess access_;
  net::HttpRequest authorized_;  // with the secrets
};

/// The message for a user that lacks the tag `monitoring`.
ProbeError lacks_tag(const User& user);

}  // namespace vitalsd::rabbitmq
