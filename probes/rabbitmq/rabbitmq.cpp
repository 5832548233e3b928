// Kind `rabbitmq`: the queues and the nodes of one cluster. The counts of queues come from the
// Prometheus plug-in of every node, which costs the cluster little, or from the management API.
// Only the management API has attributes of queues, alarms and partitions; it is read at an
// interval of its own.
#include "probes/net/concurrently.hpp"
#include "probes/net/options.hpp"
#include "probes/net/resolver.hpp"
#include "probes/probe.hpp"
#include "probes/rabbitmq/client.hpp"
#include "probes/rabbitmq/cluster.hpp"
#include "probes/rabbitmq/metrics.hpp"
#include "probes/rabbitmq/node_samples.hpp"
#include "probes/rabbitmq/queue_samples.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>

namespace vitalsd {
namespace {

using namespace rabbitmq;
using Clock = std::chrono::steady_clock;

/// The reason for the failure of one part of the cluster. If other parts respond, the cluster is
/// up.
Reason partial(Reason reason) { return is_up(reason) == false ? Reason::mismatch : reason; }

net::Pattern default_pattern() {
  // The alert QueueWithoutConsumers has the same pattern. The words of the second line must be
  // whole words, because they also occur in other words, such as "dead" in "deadlines".
  return *config::Scalar<net::Pattern>::parse(
      "(?i)(.*(dead.?letter|dlq|dlx|parking.?lot|retry|retries).*"
      "|(.*[^a-z])?(dead|parking|delay|delayed)([^a-z].*)?)");
}

class RabbitmqProbe final : public Probe {
 public:
  RabbitmqProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        url_(options.find<config::Url>(
            "url",
            "the management API (port 15672), or the Prometheus plug-in (port 15692) if "
            "management is set")),
        urls_(options.list<config::Url>(
            "urls",
            "the Prometheus plug-in of each node (port 15692); a name stands for all its "
            "addresses")),
        management_(options.find<config::Url>(
            "management", "the management API (port 15672) of any node, in addition to urls")),
        client_(environment,
                net::HttpAccess::read_with_urls(
                    options, {{"url", url_}, {"urls", urls_}, {"management", management_}},
                    "a user with the tag monitoring")),
        management_interval_(options.get<config::Duration>(
            "management_interval", std::chrono::seconds(60),
            "between readings of nodes, alarms and attributes of queues",
            {std::chrono::seconds(0), std::chrono::hours(24)})),
        queues_{.max_queues = static_cast<std::size_t>(
                    options.get<std::int64_t>("max_queues", 1000,
                                              "maximum number of queues with series of their own: "
                                              "those with the most ready messages",
                                              {0, static_cast<std::int64_t>(kMaxQueues)})),
                .temporary = options.get<bool>(
                    "temporary_queues", false,
                    "exclusive, auto-delete and amq.gen-* queues have series of their own"),
                .kbudde = options.choice("names", {"plugin", "kbudde"},
                                         "names of metrics: those of the Prometheus plug-in, or of "
                                         "rabbitmq_exporter (kbudde)") == "kbudde",
                .no_consumers = options.get<net::Pattern>(
                    "no_consumers", default_pattern(),
                    "queues whose whole name matches need no consumer, such "
                    "as those of dead letters; without the management API "
                    "it must match streams, too, because the plug-in "
                    "does not report the type of a queue")} {
    read_urls(options);
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const Clock::time_point start = Clock::now();
    co_await client_.load_credentials(out);
    if (is_management_ != false) {
      co_await observe_by_management(out, start + out.time_limit());
    }
    if (is_management_ != false) co_return;
    try {
      co_await observe_nodes(out, start);
    } catch (const ProbeError&) {
      if (detects_) is_management_.reset();
      throw;
    }
  }

  [[nodiscard]] std::string target() const override {
    const config::Url& first = url_ ? *url_ : urls_.front();
    return net::shown(first) +
           (urls_.size() > 1 ? " and " + std::to_string(urls_.size() - 1) + " more" : "");
  }
  [[nodiscard]] std::string endpoint() const override {
    if (!url_) return {};
    return config::Endpoint{url_->host, net::port_of(*url_)}.text();
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<RabbitmqProbe&>(predecessor);
    if (detects_ && old.detects_) {
      is_management_ = old.is_management_;
      urls_ = std::move(old.urls_);
    } else if (!std::ranges::equal(urls_, old.urls_, {}, &config::Url::text, &config::Url::text)) {
      return;  // target() names the first one only
    }
    cluster_ = std::move(old.cluster_);
    listed_ = std::move(old.listed_);
    if (management_ && old.management_ && management_->text() == old.management_->text()) {
      attributes_ = std::move(old.attributes_);
    }
  }

 private:
  void read_urls(config::Node& options);

  // ---- all from the management API

  asio::awaitable<void> observe_by_management(SampleSet& out, Clock::time_point deadline) {
    out.doing("waiting for a response from " + net::shown(*url_));
    const bool is_due = !managed_ || Clock::now() >= managed_due_;
    if (is_due && !co_await read_details(*url_, deadline)) {
      is_management_ = false;  // the address of the plug-in
      urls_ = {*url_};
      co_return;
    }
    is_management_ = true;
    if (is_due) has_statistics_ = (co_await client_.overview(*url_, deadline)).has_statistics;
    AllQueues all = co_await client_.queues(
        *url_, has_statistics_ ? Columns::all : Columns::no_stats, deadline);
    if (is_due) co_await expect_all(*url_, all.queues, deadline);
    if (!has_statistics_) {
      out.fail(Reason::mismatch,
               net::shown(*url_) +
                   " has no statistics, because management_agent.disable_metrics_collector or "
                   "management.disable_stats is true in rabbitmq.conf, so the consumers of queues "
                   "are unknown: set urls to the Prometheus plug-in of each node (port 15692), and "
                   "management to this URL");
    }
    std::vector<std::vector<Queue>*> before;
    if (all.has_shifted) before.push_back(&listed_);
    add_nodes(*managed_, {}, queues_.kbudde, out);
    co_await add_queues(queues_, co_await merge({&all.queues}, std::move(before)), true, out);
    listed_ = std::move(all.queues);
  }

  // ---- counts from the plug-in

  asio::awaitable<void> observe_nodes(SampleSet& out, Clock::time_point start) {
    // A node or a management API that hangs must not use up the time of the run.
    const auto limit = out.time_limit();
    out.doing("waiting for the nodes");
    const std::optional<ProbeError> silence = co_await ask_nodes(start + limit / 2);
    if (silence && !management_) throw ProbeError(*silence);
    if (silence) managed_.reset();  // whether the cluster is up must be known in this run
    // The management API must also show in this run whether the nodes that do not respond run.
    const std::map<std::string, bool> nodes = cluster_.nodes();
    if (std::ranges::any_of(nodes, [](const auto& node) { return !node.second; })) {
      managed_due_ = {};
    }
    std::optional<ProbeError> failure;
    if (management_) {
      try {
        out.doing("waiting for a response from " + net::shown(*management_));
        co_await refresh_details(start + limit * 9 / 10);
      } catch (const ProbeError& error) {
        failure = error;
      }
    }
    // A refusal is a response of RabbitMQ, too.
    if (silence && failure && failure->reason() != Reason::auth &&
        failure->reason() != Reason::permission) {
      throw ProbeError(*silence);
    }
    cluster_.end_run(managed_ ? &*managed_ : nullptr, Clock::now());
    if (!cluster_.problem().empty()) out.fail(Reason::mismatch, cluster_.problem());
    if (failure) {
      out.fail(partial(failure->reason()), "management API: " + std::string(failure->what()));
    }
    add_nodes(managed_.value_or(std::vector<ManagedNode>()), cluster_.nodes(), queues_.kbudde, out);
    for (std::vector<Queue>* queues : cluster_.current()) {
      co_await set_attributes(*queues, attributes_);
    }
    co_await add_queues(queues_, co_await merge(cluster_.current(), cluster_.previous()),
                        cluster_.problem().empty(), out);
  }

  /// Requests the page of every address of every URL. Returns the first error if none responds.
  /// Throws if one of them cannot be trusted.
  asio::awaitable<std::optional<ProbeError>> ask_nodes(Clock::time_point deadline) {
    cluster_.begin_run();
    Answers answers;
    std::vector<asio::awaitable<void>> tasks;
    for (const config::Url& url : urls_) tasks.push_back(ask_all(url, deadline, answers));
    co_await net::concurrently(std::move(tasks));
    std::optional<ProbeError> first_error;
    std::optional<ProbeError> distrust;
    std::size_t responses = 0;
    const Clock::time_point now = Clock::now();
    for (Answer& answer : answers) {
      if (answer.error) {
        if (!first_error) first_error = answer.error;
        cluster_.add_failure(answer.address, answer.error->what());
        continue;
      }
      ++responses;
      try {
        cluster_.add(answer.address, std::move(answer.page), now);
      } catch (const ProbeError& error) {
        if (!distrust) distrust = error;
      }
    }
    if (distrust) throw ProbeError(*distrust);
    co_return responses == 0 ? first_error : std::nullopt;
  }

  struct Answer {
    std::string address;  // the URL; with the address, if its host has several
    NodePage page;
    std::optional<ProbeError> error;
  };
  using Answers = std::vector<Answer>;

  asio::awaitable<void> ask_all(const config::Url& url, Clock::time_point deadline,
                                Answers& answers) {
    constexpr std::size_t kMaxAddresses = 64;
    net::Addresses addresses;
    try {
      addresses = co_await environment_.resolver.resolve(url.host, client_.access().target_ip());
      if (addresses.size() > kMaxAddresses) {
        throw ProbeError(Reason::mismatch, url.host + " has more than 64 addresses");
      }
    } catch (const ProbeError& error) {
      answers.push_back({net::shown(url), {}, error});
      co_return;
    }
    std::vector<asio::awaitable<void>> tasks;
    for (const asio::ip::address& address : addresses) {
      std::string title = net::shown(url);
      if (addresses.size() > 1) title += " (" + address.to_string() + ')';
      tasks.push_back(ask(url, address.to_string(), std::move(title), deadline, answers));
    }
    co_await net::concurrently(std::move(tasks));
  }

  asio::awaitable<void> ask(const config::Url& url, std::string address, std::string title,
                            Clock::time_point deadline, Answers& answers) {
    Answer answer{std::move(title), {}, {}};
    try {
      answer.page = co_await client_.node_page(url, address, deadline);
    } catch (const ProbeError& error) {
      answer.error = error;
    }
    answers.push_back(std::move(answer));
  }

  // ---- nodes and attributes

  /// If a request fails, the last attributes are kept: without them, a stream would count as a
  /// queue without a consumer.
  asio::awaitable<void> refresh_details(Clock::time_point deadline) {
    if (managed_ && Clock::now() < managed_due_) co_return;
    try {
      if (!co_await read_details(*management_, deadline)) {
        throw ProbeError(Reason::mismatch, net::shown(*management_) +
                                               " has no management API: is the plug-in "
                                               "rabbitmq_management enabled?");
      }
      const AllQueues all = co_await client_.queues(*management_, Columns::attributes, deadline);
      attributes_ = co_await map_attributes(all.queues);
      co_await expect_all(*management_, all.queues, deadline);
    } catch (const ProbeError&) {
      managed_.reset();
      throw;
    }
  }

  /// After a run that finds a missing permission, the next run checks again.
  asio::awaitable<void> expect_all(const config::Url& api, const std::vector<Queue>& queues,
                                   Clock::time_point deadline) {
    try {
      co_await client_.expect_all(api, queues, deadline);
    } catch (const ProbeError&) {
      managed_.reset();
      throw;
    }
  }

  /// Reads data that changes slowly. Returns false if the server has no management API.
  asio::awaitable<bool> read_details(const config::Url& api, Clock::time_point deadline) {
    managed_.reset();
    const std::optional<User> user = co_await client_.whoami(api, deadline);
    if (!user) co_return false;
    if (!user->sees_all()) throw lacks_tag(*user);
    std::vector<ManagedNode> nodes = co_await client_.nodes(api, deadline);
    if (const auto alarms = co_await client_.alarms(api, deadline)) set_alarms(nodes, *alarms);
    managed_ = std::move(nodes);
    managed_due_ = Clock::now() + management_interval_;
    co_return true;
  }

  const Environment& environment_;
  std::optional<config::Url> url_;
  std::vector<config::Url> urls_;
  std::optional<config::Url> management_;
  Client client_;
  config::Duration management_interval_;
  QueueOptions queues_;
  bool detects_ = false;  // only `url` is set: the type of its server is detected
  // Whether all data comes from the management API; empty until known.
  std::optional<bool> is_management_;
  Cluster cluster_;
  std::vector<Queue> listed_;  // the last list from the management API
  // The last data from the management API, which has a longer interval.
  std::optional<std::vector<ManagedNode>> managed_;
  bool has_statistics_ = true;
  Clock::time_point managed_due_{};
  AttributeMap attributes_;  // only if the counts come from the plug-in
};

void RabbitmqProbe::read_urls(config::Node& options) {
  if (url_ && !urls_.empty()) {
    options.error("urls", "must not be set together with url");
  } else if (!url_ && urls_.empty() && !options.has("url") && !options.has("urls")) {
    options.error("url", "url or urls is required: the management API, or the Prometheus plug-in");
  }
  const auto check = [&](std::string_view key, const config::Url& url) {
    if (url.host.empty()) return;  // reported already
    constexpr std::uint16_t kAmqp = 5672;
    constexpr std::uint16_t kAmqps = 5671;
    if (const auto port = net::port_of(url); port == kAmqp || port == kAmqps) {
      options.warning(key, "the port " + std::to_string(port) +
                               " is usually AMQP: the management API usually listens on 15672, "
                               "the Prometheus plug-in on 15692");
    }
  };
  if (url_) check("url", *url_);
  for (const config::Url& url : urls_) check("urls", url);
  if (management_) check("management", *management_);
  for (std::size_t i = 0; i < urls_.size(); ++i) {
    // The query is not sent.
    const std::string shown = net::shown(urls_[i]);
    const auto same = [&](const config::Url& other) { return net::shown(other) == shown; };
    if (std::any_of(urls_.begin(), urls_.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      options.error("urls", shown + " is listed twice");
    }
  }
  if (management_ && !client_.access().has_credentials())
    options.error("user", "the key 'user' is required with 'management'");
  if (url_ && management_) urls_ = {*url_};
  queues_.has_types = management_.has_value();
  detects_ = urls_.empty();
  if (!detects_) is_management_ = false;
  if (!url_ && urls_.empty()) urls_.emplace_back();  // the missing URL has been reported above
}

}  // namespace

namespace kinds {
extern const ProbeKind rabbitmq;
const ProbeKind rabbitmq = {
    .name = "rabbitmq",
    .help = "A RabbitMQ cluster is up; its queues, nodes and alarms.",
    .make = make_probe<RabbitmqProbe>,
    .metrics = rabbitmq::kMetrics,
    .checks = rabbitmq::kChecks,
    .up = &rabbitmq::kUp,
    .documented_series = "rabbitmq_up",
};
}  // namespace kinds

}  // namespace vitalsd
