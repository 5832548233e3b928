// Kind `prometheus`: the targets of a Prometheus are up, its rules can be evaluated, its alerts
// reach the Alertmanagers, and the values of queries are within thresholds. The alerts that fire in
// Prometheus are not published.
#include "probes/net/concurrently.hpp"
#include "probes/net/http_access.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/probe.hpp"
#include "probes/prometheus/answers.hpp"
#include "probes/prometheus/own_metrics.hpp"
#include "probes/prometheus/query.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using prometheus::Query;
using Clock = std::chrono::steady_clock;

// Declared as MetricInfo, because a Metric must not have the label `job`. Here it is the job of the
// target that Prometheus scrapes, and the shipped scrape configurations keep it (honor_labels).
constexpr MetricInfo kTargets{.name = "vitalsd_prometheus_targets",
                              .help = "Active targets by job and health.",
                              .waiver = {},
                              .label_names = {"job", "health"},
                              .label_count = 2,
                              .foreign_unit = {}};
constexpr Metric kRules({.name = "vitalsd_prometheus_rules",
                         .help = "Rules by the health of their last evaluation: ok, err, or "
                                 "unknown before the first one."},
                        "health");
constexpr Metric kAlertmanagers({.name = "vitalsd_prometheus_alertmanagers",
                                 .help = "Alertmanagers that are in use (active) or removed by "
                                         "relabelling (dropped)."},
                                "state");
constexpr Metric kSent({.name = "vitalsd_prometheus_notifications_sent_total",
                        .type = Type::counter,
                        .help = "Alerts sent to an Alertmanager, including those that failed."},
                       "alertmanager");
constexpr Metric kErrors({.name = "vitalsd_prometheus_notifications_errors_total",
                          .type = Type::counter,
                          .help = "Errors while sending alerts to an Alertmanager."},
                         "alertmanager");
constexpr Metric kDropped({.name = "vitalsd_prometheus_notifications_dropped_total",
                           .type = Type::counter,
                           .help = "Alerts that reached no Alertmanager."});
constexpr Metric kRuleFailures({.name = "vitalsd_prometheus_rule_evaluation_failures_total",
                                .type = Type::counter,
                                .help = "Evaluations of rules that failed."});
constexpr Metric kQueryValue(
    {.name = "vitalsd_prometheus_query_value",
     .help = "Value of a query; absent if its result is empty or not a finite number."},
    "query");
constexpr Metric kQueryHasValue(
    {.name = "vitalsd_prometheus_query_has_value",
     .help = "Whether the result of a query is a finite number (1), or is empty, NaN or infinite "
             "(0)."},
    "query");
constexpr auto kMetrics = metric_list(kTargets, kRules, kAlertmanagers, kSent, kErrors, kDropped,
                                      kRuleFailures, kQueryValue, kQueryHasValue);

constexpr Check kTargetsCheck{
    .name = "targets_down", .warn = 0, .critical = {}, .help = "targets that are down"};
constexpr Check kRulesCheck{.name = "rules_failing",
                            .warn = 0,
                            .critical = {},
                            .help = "rules whose last evaluation failed"};
constexpr Check kAlertmanagersCheck{
    .name = "alertmanagers",
    .worse = Worse::below,
    .warn = {},
    .critical = 1,
    .help = "Alertmanagers that are in use, if there are alerting rules"};
constexpr Check kErrorsCheck{.name = "notification_errors",
                             .warn = 0,
                             .critical = {},
                             .help = "errors while sending alerts within 5 minutes"};
constexpr Check kDroppedCheck{.name = "notifications_dropped",
                              .unit = Unit::seconds,
                              .warn = {},
                              .critical = 30,
                              .help = "time for which alerts have reached no Alertmanager"};
constexpr std::array<const Check*, 5> kChecks = {&kTargetsCheck, &kRulesCheck, &kAlertmanagersCheck,
                                                 &kErrorsCheck, &kDroppedCheck};

class PrometheusProbe final : public Probe {
 public:
  PrometheusProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        access_(net::HttpAccess::read(
            options, "URL of the server, with its path prefix: http://prometheus:9090")),
        reads_targets_(options.get<bool>(
            "targets", true, "read the health of the targets; false for a server without targets")),
        reads_alerting_(options.get<bool>(
            "alerting", true,
            "read the rules, the Alertmanagers and the page /metrics; false for a server that does "
            "not send alerts")),
        queries_(prometheus::read_queries(options, kChecks)) {
    if (!access_.url.query.empty()) options.error("url", "must not have a query");
    while (access_.url.path.ends_with('/')) access_.url.path.pop_back();
    if (!reads_targets_ && !reads_alerting_ && queries_.empty())
      options.error("queries", "queries: required if targets and alerting are false");
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto start = Clock::now();
    has_answered_ = false;
    if (reads_targets_) {
      Part& part = out.part("targets");
      co_await guard(part, read_targets(part, out));
    }
    if (reads_alerting_) co_await read_alerting(out);
    // The server has to cancel a slow query before the run's deadline. At the deadline, the
    // remaining queries would fail, too.
    const auto now = Clock::now();
    co_await run_queries(now + (start + out.time_limit() - now) * 3 / 4, out);
  }

  [[nodiscard]] std::string target() const override { return access_.target(); }
  [[nodiscard]] std::string endpoint() const override { return access_.endpoint(); }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<PrometheusProbe&>(predecessor);
    recent_errors_ = std::move(old.recent_errors_);
    undelivered_ = old.undelivered_;
  }

 private:
  using Feed = std::function<void(std::string_view)>;
  static constexpr std::size_t kMaxErrorBody = std::size_t{64} << 10;
  static constexpr std::chrono::milliseconds kNoLimit{0};  // only the deadline of the run
  static constexpr std::chrono::milliseconds kMinLimit{1};
  static constexpr std::size_t kConcurrent = 4;

  // Reads one part. If the server refuses one part, the other parts are still read. Throws
  // ProbeError if the server is down.
  asio::awaitable<void> guard(Part& part, asio::awaitable<void> read) {
    try {
      co_await std::move(read);
    } catch (const ProbeError& error) {
      switch (error.reason()) {
        case Reason::dns:
        case Reason::connect:
        case Reason::tls:
        case Reason::timeout:
        case Reason::internal:
          throw;
        case Reason::unready:
          if (!has_answered_) throw;
          part.fail(Reason::mismatch, error.what());  // the server is up
          break;
        default:
          part.fail(error.reason(), error.what());
      }
    }
    part.complete();
  }

  // Sends a GET and passes the body of a 2xx response to `feed`, which may throw. Returns the
  // status. Throws ProbeError for another response.
  asio::awaitable<int> get(std::string_view path, std::string query, Feed feed,
                           std::chrono::milliseconds limit, SampleSet& out) {
    net::HttpRequest request = co_await access_.request(environment_.files, out);
    request.max_body = kMaxErrorBody;
    request.url.path += path;
    request.url.query = std::move(query);
    request.limit = limit;
    std::exception_ptr failure;
    request.on_data = [&feed, &failure](std::string_view bytes) {
      try {
        if (!bytes.empty()) feed(bytes);
      } catch (...) {
        failure = std::current_exception();
      }
      return failure == nullptr;
    };
    const net::HttpResponse response = co_await environment_.http.perform(request, out);
    if (failure) std::rethrow_exception(failure);
    if (response.status / 100 != 2) {
      throw net::about_response(request.url, request.proxy,
                                prometheus::api_error(response.status, response.body));
    }
    has_answered_ = true;
    co_return response.status;
  }

  asio::awaitable<void> ask(std::string_view path, std::string query,
                            prometheus::ApiContent& content, std::chrono::milliseconds limit,
                            SampleSet& out) {
    prometheus::ApiReader reader(content);
    Feed feed = [&reader](std::string_view bytes) { reader.feed(bytes); };
    const int status = co_await get(path, std::move(query), std::move(feed), limit, out);
    reader.finish(status);
    if (!reader.warning().empty()) {
      throw ProbeError(Reason::mismatch,
                       "the result may be incomplete: " + config::quoted(reader.warning()));
    }
  }

  asio::awaitable<void> read_targets(Part& part, SampleSet& out) {
    prometheus::Targets targets;
    std::string query = "state=active";
    co_await ask("/api/v1/targets", std::move(query), targets, kNoLimit, out);
    for (const auto& [name, job] : targets.jobs()) {
      part.add_values(kTargets, job.up, {name, "up"});
      part.add_values(kTargets, job.down, {name, "down"});
      part.add_values(kTargets, job.unknown, {name, "unknown"});
    }
    if (targets.jobs().empty()) {
      throw ProbeError(Reason::mismatch, "Prometheus has no active targets");
    }
    part.check(kTargetsCheck, static_cast<double>(targets.down().count()), targets.down().text());
  }

  asio::awaitable<void> read_alerting(SampleSet& out) {
    prometheus::Rules rules;
    Part& rules_part = out.part("rules");
    co_await guard(rules_part, read_rules(rules, rules_part, out));
    Part& alertmanagers = out.part("alertmanagers");
    co_await guard(alertmanagers, read_alertmanagers(rules.has_alerts(), alertmanagers, out));
    Part& notifications = out.part("notifications");
    co_await guard(notifications, read_notifications(notifications, out));
  }

  asio::awaitable<void> read_rules(prometheus::Rules& rules, Part& part, SampleSet& out) {
    std::string query = "exclude_alerts=true";  // older versions ignore it
    co_await ask("/api/v1/rules", std::move(query), rules, kNoLimit, out);
    for (const auto& [health, count] : rules.by_health()) part.add(kRules, count, health);
    part.check(kRulesCheck, static_cast<double>(rules.failing().count()), rules.failing().text());
  }

  asio::awaitable<void> read_alertmanagers(bool has_alerts, Part& part, SampleSet& out) {
    prometheus::Alertmanagers found;
    co_await ask("/api/v1/alertmanagers", std::string(), found, kNoLimit, out);
    part.add(kAlertmanagers, found.active(), "active");
    part.add(kAlertmanagers, found.dropped(), "dropped");
    if (has_alerts) part.check(kAlertmanagersCheck, found.active());
  }

  asio::awaitable<void> read_notifications(Part& part, SampleSet& out) {
    prometheus::OwnMetrics page;
    Feed feed = [&page](std::string_view bytes) { page.feed(bytes); };
    co_await get("/metrics", std::string(), std::move(feed), kNoLimit, out);
    page.finish();
    const auto now = Clock::now();
    std::erase_if(recent_errors_,
                  [&](const auto& entry) { return !page.notifications().contains(entry.first); });
    for (const auto& [url, notifications] : page.notifications()) {
      part.add(kSent, notifications.sent, url);
      part.add(kErrors, notifications.errors, url);
      const auto errors = recent_errors_[url].update(now, notifications.errors);
      if (errors) part.check(kErrorsCheck, *errors, url);
    }
    part.add(kDropped, page.dropped());
    part.add(kRuleFailures, page.rule_failures());
    const auto dropped = undelivered_.update(now, page.sums(), page.dropped());
    if (dropped) part.check(kDroppedCheck, *dropped);
  }

  asio::awaitable<void> run_queries(Clock::time_point deadline, SampleSet& out) {
    auto next = queries_.cbegin();
    std::vector<asio::awaitable<void>> workers;
    for (std::size_t i = 0; i < std::min(kConcurrent, queries_.size()); ++i) {
      workers.push_back(run_next_queries(next, deadline, out));
    }
    co_await net::concurrently(std::move(workers));
  }

  asio::awaitable<void> run_next_queries(std::list<Query>::const_iterator& next,
                                         Clock::time_point deadline, SampleSet& out) {
    while (next != queries_.cend()) {
      const auto limit = limit_of(next, deadline);
      const Query& query = *next++;
      Part& part = out.part("query " + query.name());
      co_await guard(part, run_query(query, limit, part, out));
    }
  }

  // The limit is a share of the remaining time, so that the run executes all queries even if many
  // are slow.
  [[nodiscard]] std::chrono::milliseconds limit_of(std::list<Query>::const_iterator next,
                                                   Clock::time_point deadline) const {
    const auto waiting = static_cast<std::size_t>(std::distance(next, queries_.cend()));
    const auto rounds = (waiting + kConcurrent - 1) / kConcurrent;
    const auto left = std::chrono::floor<std::chrono::milliseconds>(deadline - Clock::now());
    return std::max(left / static_cast<long>(rounds), kMinLimit);
  }

  asio::awaitable<void> run_query(const Query& query, std::chrono::milliseconds limit, Part& part,
                                  SampleSet& out) {
    prometheus::QueryResult result;
    std::string parameters = "query=" + config::percent_encode(query.expression()) +
                             "&timeout=" + std::to_string(limit.count()) + "ms";
    try {
      co_await ask("/api/v1/query", std::move(parameters), result, limit, out);
    } catch (const ProbeError& error) {
      if (error.reason() != Reason::timeout) throw;
      throw ProbeError(Reason::overload, error.what());  // other requests are answered
    }
    const std::optional<double> value = result.value();
    part.add(kQueryHasValue, value ? 1 : 0, query.name());
    part.add(kQueryValue, value, query.name());
    if (value) part.check(query.check(), *value);
  }

  const Environment& environment_;
  net::HttpAccess access_;
  bool reads_targets_;
  bool reads_alerting_;
  std::list<Query> queries_;
  net::HttpRequest base_;                                            // of the current run
  std::map<std::string, prometheus::RecentIncrease> recent_errors_;  // by Alertmanager
  prometheus::Undelivered undelivered_;
  bool has_answered_ = false;  // a request of the current run has succeeded
};

}  // namespace

namespace kinds {
extern const ProbeKind prometheus;
const ProbeKind prometheus = {
    .name = "prometheus",
    .help = "A Prometheus is up; its targets, rules and Alertmanagers, and the values of queries.",
    .make = make_probe<PrometheusProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
};
}  // namespace kinds

}  // namespace vitalsd
