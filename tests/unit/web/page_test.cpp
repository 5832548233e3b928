#include "exporter/web/page.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
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
    names.push_back(text.substr(at, text.find('/', at) - at));
  }
  return names;
}

TEST(EscapeHtml, EscapesAllSpecialCharacters) {
  EXPECT_EQ(escape_html(R"(<a href="x" onclick='y'>&amp;</a>)"),
            "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
  EXPECT_EQ(escape_html("plain é"), "plain é");
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

TEST(StatusPage, ShowsFailuresFirst) {
  using enum ProbeView::State;
  ProbeView warning = probe("warning", ok);
  warning.checks.push_back({"age", "", "2d", "", Status::warning});
  ProbeView critical = probe("critical", ok);
  critical.checks.push_back({"age", "", "1d", "", Status::ok});
  critical.checks.push_back({"size", "", "9d", "", Status::critical});
  EXPECT_EQ(order({probe("b-ok", ok), probe("a-ok", ok), probe("waiting", pending), warning,
                   critical, probe("hangs", stuck), probe("fails", failed)}),
            (std::vector<std::string>{"fails", "hangs", "critical", "warning", "a-ok", "b-ok",
                                      "waiting"}));
}

TEST(StatusPage, CountsProbesInItsTitle) {
  using enum ProbeView::State;
  EXPECT_TRUE(page({probe("a", ok), probe("b", failed), probe("c", pending)})
                  .contains("<title>vitalsd: 1 of 3 probes ok</title>"));
}

TEST(StatusPage, ShowsAges) {
  ProbeView view = probe("a", ProbeView::State::failed);
  view.since = kNow - 90min;
  view.last_run = kNow - 12s;
  view.last_success = kNow - 72h;
  view.duration_seconds = 0.0123;
  const std::string text = page({view});
  EXPECT_TRUE(text.contains("for 1 h<"));
  EXPECT_TRUE(text.contains("12 s ago<small>took 12.3 ms, every 30 s</small>"));
  EXPECT_TRUE(text.contains(">3 d ago<"));
}

TEST(StatusPage, ShowsTheMessageOfTheTarget) {
  ProbeView view = probe("a", ProbeView::State::ok);
  EXPECT_FALSE(page({view}).contains("<pre>"));
  EXPECT_FALSE(status_json({{view}, "1.2.3", kNow}).contains("message"));
  view.message = "12 MiB\n3 < 4";
  EXPECT_TRUE(page({view}).contains("<pre>12 MiB\n3 &lt; 4</pre>"));
  EXPECT_TRUE(status_json({{view}, "1.2.3", kNow}).contains(R"("message":"12 MiB\n3 < 4")"));
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

TEST(StatusJson, HasTheContentOfThePage) {
  ProbeView view = probe("db \"main\"", ProbeView::State::failed);
  view.reason = "connect";
  view.detail = "refused\n";
  view.last_run = kNow - 12s;
  view.duration_seconds = 0.5;
  view.checks.push_back({"age", "users", "2d", "warn above 1d", Status::warning});
  const auto document = boost::json::parse(status_json({{view}, "1.2.3", kNow}));
  EXPECT_EQ(document.at("version"), "1.2.3");
  EXPECT_EQ(document.at("time"), "2026-01-01T00:00:00Z");
  const boost::json::value& row = document.at("probes").at(0);
  EXPECT_EQ(row.at("name"), "db \"main\"");
  EXPECT_EQ(row.at("state"), "failed");
  EXPECT_EQ(row.at("reason"), "connect");
  EXPECT_EQ(row.at("error"), "refused\n");
  EXPECT_EQ(row.at("interval_seconds").to_number<double>(), 30);
  EXPECT_EQ(row.at("last_run"), "2025-12-31T23:59:48Z");
  EXPECT_EQ(row.at("duration_seconds").to_number<double>(), 0.5);
  EXPECT_EQ(row.at("checks").at(0).at("object"), "users");
  EXPECT_EQ(row.at("checks").at(0).at("status"), "warning");
}

TEST(StatusJson, OmitsUnknownValues) {
  const auto document =
      boost::json::parse(status_json({{probe("a", ProbeView::State::pending)}, "1.2.3", kNow}));
  const boost::json::object& row = document.at("probes").at(0).as_object();
  for (const char* key :
       {"reason", "error", "since", "last_run", "last_success", "duration_seconds"}) {
    EXPECT_FALSE(row.contains(key)) << key;
  }
  EXPECT_TRUE(row.at("checks").as_array().empty());
}

// A page with "all ok" would be wrong: the states are stale.
TEST(StatusPage, ReportsAProbeLoopThatHangs) {
  const Overview overview{{probe("a", ProbeView::State::ok)}, "1.2.3", kNow, false};
  const std::string text = status_page(overview);
  EXPECT_TRUE(text.contains("<h1>the probe loop does not respond: all states are stale</h1>"));
  EXPECT_FALSE(text.contains("1 of 1 probes ok"));
  EXPECT_FALSE(boost::json::parse(status_json(overview)).at("healthy").as_bool());
}

TEST(StatusPage, ShowsNotices) {
  const Overview overview{.probes = {},
                          .version = "1.2.3",
                          .now = kNow,
                          .notices = {"state: another process has locked <file>"}};
  EXPECT_TRUE(status_page(overview).contains("state: another process has locked &lt;file&gt;"));
  const auto document = boost::json::parse(status_json(overview));
  ASSERT_EQ(document.at("notices").as_array().size(), 1U);
  EXPECT_EQ(document.at("notices").at(0).as_string(), "state: another process has locked <file>");
}

}  // namespace
}  // namespace vitalsd
