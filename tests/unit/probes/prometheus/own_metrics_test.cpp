#include "probes/prometheus/own_metrics.hpp"

#include "probes/error.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace vitalsd::prometheus {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kPage =
    "# TYPE prometheus_notifications_dropped_total counter\n"
    "prometheus_notifications_dropped_total 7\n"
    "prometheus_notifications_errors_total{alertmanager=\"http://a:9093/api/v2/alerts\"} 2\r\n"
    "prometheus_notifications_sent_total{alertmanager=\"http://a:9093/api/v2/alerts\"} 1.2e+03\n"
    "prometheus_notifications_sent_total{alertmanager=\"http://b:9093/api/v2/alerts\"} 3\n"
    "prometheus_rule_evaluation_failures_total{rule_group=\"a} b;c\"} 4\n"
    "prometheus_rule_evaluation_failures_total{rule_group=\"d\"} 5\n"
    "prometheus_rule_evaluation_failures_total{rule_group=\"d\"} NaN\n"
    "go_goroutines 12\n"
    "prometheus_notifications_errors_total";

TEST(OwnMetrics, ReadsThePageInAnyPieces) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{17}, kPage.size()}) {
    OwnMetrics page;
    for (std::size_t at = 0; at < kPage.size(); at += size) page.feed(kPage.substr(at, size));
    page.finish();
    EXPECT_EQ(page.dropped(), 7);
    EXPECT_EQ(page.rule_failures(), 9);
    ASSERT_EQ(page.notifications().size(), 2U);
    EXPECT_EQ(page.notifications().at("http://a:9093/api/v2/alerts").errors, 2);
    EXPECT_EQ(page.notifications().at("http://a:9093/api/v2/alerts").sent, 1200);
    EXPECT_EQ(page.notifications().at("http://b:9093/api/v2/alerts").errors, 0);
  }
}

TEST(OwnMetrics, ShowsNoSecretsOfUrls) {
  OwnMetrics page;
  for (const std::string url : {"https://user:se%2Fcret@a:9093/x?token=hush", "http://u:p@q@b/y@z",
                                "http://c/y@z", "http://u:p@d?e=f"}) {
    page.feed("prometheus_notifications_sent_total{alertmanager=\"" + url + "\"} 1\n");
  }
  std::string shown;
  for (const auto& [url, notifications] : page.notifications()) shown += url + ' ';
  EXPECT_EQ(shown, "http://b/y@z http://c/y@z http://d https://a:9093/x ");
}

TEST(OwnMetrics, SkipsLongLines) {
  OwnMetrics page;
  for (int i = 0; i < 100; ++i) page.feed(std::string(1000, 'x'));
  page.feed("\nprometheus_notifications_dropped_total 1");
  page.finish();
  EXPECT_EQ(page.dropped(), 1);
}

TEST(OwnMetrics, RefusesOtherPages) {
  OwnMetrics other;
  other.feed("go_goroutines 12\n");
  EXPECT_THROW(other.finish(), ProbeError);
  OwnMetrics many;
  std::string page;
  for (int i = 0; i <= 1000; ++i) {
    page += "prometheus_notifications_sent_total{alertmanager=\"" + std::to_string(i) + "\"} 1\n";
  }
  EXPECT_THROW(many.feed(page), ProbeError);
}

TEST(RecentIncrease, IsUnknownAfterOneValueUnlessItIsZero) {
  const RecentIncrease::Clock::time_point start{};
  RecentIncrease fresh;
  EXPECT_EQ(fresh.update(start, 0), 0);
  EXPECT_EQ(fresh.update(start + 15s, 2), 2);
  RecentIncrease old;
  EXPECT_EQ(old.update(start, 100), std::nullopt);
  EXPECT_EQ(old.update(start + 15s, 100), 0);
}

TEST(RecentIncrease, CoversFiveMinutesAndRestarts) {
  RecentIncrease recent;
  const RecentIncrease::Clock::time_point start{};
  recent.update(start, 10);
  EXPECT_EQ(recent.update(start + 60s, 15), 5);
  EXPECT_EQ(recent.update(start + 120s, 3), 8);  // the server has restarted
  EXPECT_EQ(recent.update(start + 350s, 3), 8);
  EXPECT_EQ(recent.update(start + 361s, 3), 3);
  EXPECT_EQ(recent.update(start + 421s, 3), 0);
}

TEST(Undelivered, LastsFromTheFirstToTheLastDroppedAlert) {
  Undelivered undelivered;
  const Undelivered::Clock::time_point start{};
  EXPECT_EQ(undelivered.update(start, {5, 1}, 0), 0);
  EXPECT_EQ(undelivered.update(start + 60s, {6, 2}, 1), 0);
  EXPECT_EQ(undelivered.update(start + 90s, {6, 2}, 1), 0);
  EXPECT_EQ(undelivered.update(start + 120s, {7, 3}, 2), 60);
  EXPECT_EQ(undelivered.update(start + 150s, {7, 3}, 2), 60);
  EXPECT_EQ(undelivered.update(start + 180s, {1, 1}, 1), 120);  // the server has restarted
  EXPECT_EQ(undelivered.update(start + 240s, {2, 1}, 1), 0);    // delivered
  EXPECT_EQ(undelivered.update(start + 300s, {2, 1}, 1), 0);
}

// A Prometheus that starts drops alerts until it knows its Alertmanagers.
TEST(Undelivered, IsZeroForAlertsThatAreDroppedOnce) {
  Undelivered undelivered;
  const Undelivered::Clock::time_point start{};
  EXPECT_EQ(undelivered.update(start, {0, 0}, 7), std::nullopt);
  EXPECT_EQ(undelivered.update(start + 30s, {0, 0}, 7), 0);
  EXPECT_EQ(undelivered.update(start + 60s, {0, 0}, 8), 0);
  EXPECT_EQ(undelivered.update(start + 661s, {0, 0}, 8), 0);
  EXPECT_EQ(undelivered.update(start + 700s, {0, 0}, 9), 0);  // the former ones are forgotten
  EXPECT_EQ(undelivered.update(start + 760s, {0, 0}, 10), 60);
}

TEST(RecentIncrease, CountsAllWithinAShortInterval) {
  RecentIncrease recent;
  RecentIncrease::Clock::time_point now{};
  recent.update(now, 0);
  std::optional<double> last;
  for (int i = 1; i <= 1000; ++i) last = recent.update(now += 10ms, i);
  EXPECT_EQ(last, 1000);
}

}  // namespace
}  // namespace vitalsd::prometheus
