#include "exporter/web/page.hpp"

#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

const ProbeView::Time kNow{1767225600s};  // 2026-01-01

ProbeView probe(std::string name, ProbeView::State state) {
  ProbeView view;
  view.name = std::move(name);
  view.kind = "tcp";
  view.target = "mail.example:25";
  view.interval = 30s;
  view.state = state;
  return view;
}

std::string page(const std::vector<ProbeView>& probes) {
  return status_page({probes, "1.2.3", kNow});
}

// The names of the probes in the order of their rows.
std::vector<std::string> order(const std::vector<ProbeView>& probes) {
  const std::string text = page(probes);
  constexpr std::string_view kFront = "href=\"probes/";
  std::vector<std::string> names;
  for (std::size_t at = text.find(kFront); at != std::string::npos; at = text.find(kFront, at)) {
    at += kFront.size();
    names.push_back(text.substr(at, text.find('"', at) - at));
  }
  return names;
}

TEST(StatusPage, EscapesAllValues) {
  const std::string hostile = "\"><script>alert('x')</script>";
  ProbeView view = probe(hostile, ProbeView::State::failed);
  view.kind = view.target = view.reason = view.detail = view.message = hostile;
  view.checks.push_back({hostile, hostile, hostile, hostile, Status::critical});
  const std::string text = page({view});
  EXPECT_FALSE(text.contains("<script"));
  EXPECT_FALSE(text.contains("alert('x')"));
  EXPECT_TRUE(text.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
  EXPECT_FALSE(status_page({{}, hostile, kNow}).contains("<script"));
}

TEST(StatusPage, ShowsTheMostSevereFirst) {
  using enum ProbeView::State;
  ProbeView warning = probe("warning", ok);
  warning.checks.push_back({"age", "", "2d", "", Status::warning});
  ProbeView critical = probe("critical", ok);
  critical.checks.push_back({"age", "", "1d", "", Status::ok});
  critical.checks.push_back({"size", "", "9d", "", Status::critical});
  EXPECT_EQ(order({probe("b-ok", ok), probe("a-ok", ok), probe("waiting", pending), warning,
                   critical, probe("hangs", stuck), probe("fails", failed)}),
            (std::vector<std::string>{"critical", "fails", "hangs", "waiting", "warning", "a-ok",
                                      "b-ok"}));
}

TEST(StatusPage, HasTheVerdictInItsTitle) {
  using enum ProbeView::State;
  const std::string text = page({probe("a", ok), probe("b", failed), probe("c", pending)});
  EXPECT_TRUE(text.contains("<title>vitalsd: critical: 1 critical, 1 unknown, 1 ok</title>"));
  EXPECT_TRUE(
      text.contains("<h1><b class=critical>critical</b>: 1 critical, 1 unknown, 1 ok</h1>"));
  EXPECT_TRUE(text.contains("href=\"favicon.ico?critical\""));
}

TEST(StatusPage, ShowsItsFilter) {
  Overview overview{.probes = {probe("a", ProbeView::State::ok)}, .version = "1", .now = kNow};
  EXPECT_FALSE(status_page(overview).contains("not shown"));
  overview.filter.text = "\"a";
  overview.hidden = 3;
  const std::string text = status_page(overview);
  EXPECT_TRUE(text.contains("value=\"&quot;a\""));
  EXPECT_TRUE(text.contains("<a href=\"./\">all</a> (3 not shown by q=&quot;a)"));
  EXPECT_TRUE(text.contains("<title>vitalsd: ok: 1 ok (q=&quot;a)</title>"));
}

// The search and the links change one part of the filter only.
TEST(StatusPage, KeepsTheOtherPartsOfItsFilter) {
  Overview overview{.probes = {probe("a", ProbeView::State::ok)}, .version = "1", .now = kNow};
  overview.filter = {.kinds = {"redis"}, .labels = {{"team", "a&b"}}, .text = "x"};
  const std::string text = status_page(overview);
  EXPECT_TRUE(text.contains("<input type=hidden name=\"kind\" value=\"redis\">"));
  EXPECT_TRUE(text.contains("<input type=hidden name=\"label.team\" value=\"a&amp;b\">"));
  EXPECT_TRUE(
      text.contains("<a href=\"?state=ok&amp;kind=redis&amp;label.team=a%26b&amp;q=x\">ok</a>"));
}

// A selection that matches nothing must not look healthy.
TEST(StatusPage, IsUnknownIfNoProbeMatches) {
  Overview overview{.probes = {probe("a", ProbeView::State::ok)}, .version = "1", .now = kNow};
  select_probes(overview, {.names = {"misspelled"}});
  EXPECT_EQ(overview.hidden, 1U);
  EXPECT_TRUE(status_page(overview).contains(
      "<title>vitalsd: unknown: no probe matches (name=misspelled)</title>"));
}

TEST(StatusPage, ShowsLabels) {
  ProbeView view = probe("a", ProbeView::State::ok);
  view.labels = {{"team", "<db>"}, {"site", "x"}};
  EXPECT_TRUE(
      page({view}).contains("<a class=l href=\"?label.team=%3Cdb%3E\">team=&lt;db&gt;</a> <a "
                            "class=l href=\"?label.site=x\">site=x</a>"));
}

TEST(StatusPage, ShowsAges) {
  ProbeView view = probe("a", ProbeView::State::failed);
  view.since = kNow - 90min;
  view.last_run = kNow - 12s;
  view.last_success = kNow - 72h;
  view.duration_seconds = 0.0123;
  const std::string text = page({view});
  EXPECT_TRUE(
      text.contains("<small>for <time datetime=\"2025-12-31T22:30:00Z\" "
                    "title=\"2025-12-31T22:30:00Z\">1 h</time></small>"));
  EXPECT_TRUE(
      text.contains("title=\"2025-12-31T23:59:48Z\">12 s ago</time>"
                    "<small>took 12.3 ms, every 30 s</small>"));
  EXPECT_TRUE(text.contains("title=\"2025-12-29T00:00:00Z\">3 d ago</time>"));
}

TEST(StatusPage, ShowsTheMessageOfTheTarget) {
  ProbeView view = probe("a", ProbeView::State::ok);
  EXPECT_FALSE(page({view}).contains("<pre>"));
  view.message = "12 MiB\n3 < 4";
  EXPECT_TRUE(page({view}).contains("<pre>12 MiB\n3 &lt; 4</pre>"));
}

TEST(StatusPage, ShowsNeverWithoutASuccess) {
  ProbeView view = probe("a", ProbeView::State::failed);
  EXPECT_FALSE(page({view}).contains("never"));
  view.last_run = kNow;
  EXPECT_TRUE(page({view}).contains("never"));
}

TEST(StatusPage, ShowsTheNewestRunOnTheRight) {
  ProbeView view = probe("a", ProbeView::State::ok);
  view.history = 0b01'10'11'01;  // ok, failed, stuck, ok
  EXPECT_TRUE(
      page({view}).contains("<span class=o>▪</span><span class=f>▪</span>"
                            "<span class=s>▫</span><span class=o>▪</span></span>"));
}

// A page with "all ok" would be wrong: nothing is known.
TEST(StatusPage, ReportsAProbeLoopThatHangs) {
  const Overview overview{{probe("a", ProbeView::State::ok)}, "1.2.3", kNow, false};
  const std::string text = status_page(overview);
  EXPECT_TRUE(
      text.contains("<b class=unknown>unknown</b>: the probe loop does not respond: all states are "
                    "unknown</h1>"));
  EXPECT_FALSE(text.contains("1 ok"));
}

TEST(StatusPage, ShowsNotices) {
  const Overview overview{.probes = {},
                          .version = "1.2.3",
                          .now = kNow,
                          .notices = {"state: another process has locked <file>"}};
  EXPECT_TRUE(status_page(overview).contains("state: another process has locked &lt;file&gt;"));
}

TEST(StatusPage, HasAnIconForEachVerdict) {
  std::set<std::string> icons;
  for (const Verdict verdict : kVerdicts) icons.insert(favicon(verdict));
  EXPECT_EQ(icons.size(), kVerdicts.size());
}

}  // namespace
}  // namespace vitalsd
