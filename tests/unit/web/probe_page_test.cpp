#include "exporter/web/probe_page.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

const ProbeView::Time kNow{1767225600s};  // 2026-01-01

ProbeView probe(ProbeView::State state) {
  ProbeView view;
  view.name = "mail";
  view.kind = "tcp";
  view.target = "mail.example:25";
  view.interval = 30s;
  view.state = state;
  view.last_run = kNow - 12s;
  view.duration_seconds = 0.0123;
  return view;
}

ProbeView failing() {
  ProbeView view = probe(ProbeView::State::failed);
  view.reason = "connect";
  view.detail = "Connection refused";
  view.down_since = kNow - 90min;
  return view;
}

std::string page(const ProbeView& view, const ProbeEvents& events = {}) {
  return probe_page({{}, "1.2.3", kNow}, view, events);
}

ProbeEvents failed_at(ProbeView::Time time) {
  return {std::make_shared<const ProbeEvent>(ProbeEvent{.probe = "mail",
                                                        .time = time,
                                                        .state = Verdict::critical,
                                                        .reason = "connect",
                                                        .text = "Network unreachable"})};
}

TEST(ProbePage, EscapesAllValues) {
  const std::string hostile = "\"><script>alert('x')</script>";
  ProbeView view = failing();
  view.name = hostile;
  view.kind = view.target = view.reason = view.detail = view.message = hostile;
  view.labels = {{hostile, hostile}};
  view.options = std::make_shared<const std::vector<std::pair<std::string, std::string>>>(
      std::vector<std::pair<std::string, std::string>>{{hostile, hostile}});
  view.checks.push_back({hostile, hostile, hostile, hostile, Status::critical});
  const ProbeEvents events = {std::make_shared<const ProbeEvent>(
      ProbeEvent{.probe = hostile, .reason = hostile, .text = hostile, .check = view.checks[0]})};
  EXPECT_FALSE(page(view, events).contains("<script"));
  EXPECT_FALSE(page(view, events).contains("alert('x')"));
  EXPECT_FALSE(unknown_probe_page(hostile, {view}).contains("<script"));
  Overview overview{.probes = {}, .version = hostile, .now = kNow};
  overview.filter.text = hostile;
  EXPECT_FALSE(events_page(overview, {.entries = {{events[0], hostile}}}).contains("<script"));
}

TEST(ProbePage, ShowsTheErrorWithItsDuration) {
  const std::string text = page(failing());
  EXPECT_TRUE(text.contains("connect: Connection refused"));
  EXPECT_TRUE(text.contains("2025-12-31T22:30:00Z</time>, for 1 h"));
  EXPECT_TRUE(text.contains("/docs/runbooks/ProbeFailing.md\">ProbeFailing</a>"));
}

TEST(ProbePage, ShowsTheLastErrorOfAProbeThatIsOk) {
  EXPECT_FALSE(page(probe(ProbeView::State::ok)).contains("Last error"));
  const std::string text = page(probe(ProbeView::State::ok), failed_at(kNow - 3h));
  EXPECT_TRUE(text.contains("<dt>Last error</dt><dd>connect: Network unreachable<small>"));
  EXPECT_TRUE(text.contains("3 h ago"));
}

TEST(ProbePage, ShowsRunsAndChecks) {
  ProbeView view = probe(ProbeView::State::ok);
  view.next_run = kNow + 18s;
  view.timeout = 10s;
  view.checks.push_back({"latency", "", "3s", "critical above 1s", Status::critical});
  const std::string text = page(view);
  EXPECT_TRUE(text.contains("<h1><b class=critical>critical</b>: mail</h1>"));
  EXPECT_TRUE(text.contains(">12 s ago</time>, took 12.3 ms"));
  EXPECT_TRUE(text.contains(">in 18 s</time>"));
  EXPECT_TRUE(text.contains("<dd>30 s, timeout 10 s</dd>"));
  EXPECT_TRUE(text.contains("<dt>Last success</dt><dd>never</dd>"));
  EXPECT_TRUE(text.contains("critical above 1s"));
  EXPECT_TRUE(text.contains("/docs/runbooks/CheckCritical.md"));
}

TEST(ProbePage, LinksToTheOtherPages) {
  const std::string text = page(probe(ProbeView::State::ok));
  for (const char* link : {"\"../\"", "\"mail/metrics\"", "\"../api/v1/probes/mail\"",
                           "\"../events?name=mail\"", "\"../favicon.ico?ok\""}) {
    EXPECT_TRUE(text.contains("href=" + std::string(link))) << link;
  }
}

TEST(ProbePage, ShowsChangesOfState) {
  EXPECT_TRUE(page(failing()).contains("None since the start of the process."));
  const std::string text = page(failing(), failed_at(kNow - 90min));
  EXPECT_TRUE(text.contains("failed: connect: Network unreachable"));
  EXPECT_TRUE(text.contains("1 h ago"));
  EXPECT_FALSE(text.contains("not kept"));
}

TEST(ProbePage, DoesNotClaimThatNoChangeHappenedIfSomeAreNotKept) {
  const Overview overview{.probes = {}, .version = "1.2.3", .now = kNow};
  const std::string text = probe_page(overview, failing(), {}, 2);
  EXPECT_FALSE(text.contains("None since"));
  EXPECT_TRUE(text.contains("2 older changes are not kept."));
  const std::string feed = events_page(overview, {.dropped = 1});
  EXPECT_FALSE(feed.contains("None since"));
  EXPECT_TRUE(feed.contains("1 older change is not kept."));
}

TEST(EventsPage, LinksEachProbe) {
  EventFeed feed{.entries = {{failed_at(kNow - 5min)[0], "tcp"}}, .older = 7};
  Overview overview{.probes = {}, .version = "1.2.3", .now = kNow};
  const std::string text = events_page(overview, feed);
  EXPECT_TRUE(text.contains("<a href=\"probes/mail\">mail</a><small>tcp</small>"));
  EXPECT_TRUE(text.contains("7 older changes are not shown."));
  feed.entries.clear();
  feed.hidden = 2;
  overview.filter.kinds = {"redis"};
  EXPECT_TRUE(events_page(overview, feed).contains("No change matches."));
  EXPECT_TRUE(events_page(overview, feed).contains("href=\"api/v1/events?kind=redis\""));
}

TEST(UnknownProbePage, NamesALimitedNumberOfProbes) {
  std::vector<ProbeView> probes(150, probe(ProbeView::State::ok));
  EXPECT_TRUE(unknown_probe_page("x", probes).contains("<li>and 50 more</li>"));
  EXPECT_TRUE(unknown_probe_page("x", {}).contains("There are no probes."));
}

}  // namespace
}  // namespace vitalsd
