#include "daemon/remote_status.hpp"

#include "daemon/check_output.hpp"
#include "daemon/checks.hpp"
#include "daemon/units.hpp"
#include "exporter/web/status_json.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

const ProbeView::Time kNow{1767225600s};  // 2026-01-01

constexpr Check kAge{
    .name = "age", .unit = Unit::seconds, .warn = 3600, .critical = 7200, .help = "age"};
constexpr Check kRate{.name = "rate",
                      .unit = Unit::ratio,
                      .worse = Worse::below,
                      .warn = {},
                      .critical = 0.5,
                      .help = "rate"};

CheckResult result(const Check& check, double reading) {
  const Thresholds thresholds{check.warn, check.critical};
  return {.check = &check,
          .reading = reading,
          .object = "a",
          .thresholds = thresholds,
          .status = judge(check, thresholds, reading)};
}

ProbeView probe(std::string name, ProbeView::State state, std::string_view reason = "") {
  ProbeView view;
  view.name = std::move(name);
  view.kind = "tcp";
  view.target = "a.test:1";
  view.labels = {{"team", "a"}};
  view.interval = 1500ms;
  view.state = state;
  view.reason = reason;
  view.detail = reason.empty() ? "" : "because";
  view.last_run = kNow - 5s;
  view.duration_seconds = 0.25;
  view.since = kNow - 60s;
  return view;
}

// One probe in each state, and checks with each threshold.
Overview overview() {
  using enum ProbeView::State;
  Overview out{.probes = {probe("ok", ok), probe("connect", failed, "connect"),
                          probe("auth", failed, "auth"), probe("waits", pending, "pending"),
                          probe("stale", stale, "stale"), probe("hangs", stuck, "timeout")},
               .version = "1.2.3",
               .now = kNow,
               .notices = {"state: locked"}};
  ProbeView& start = out.probes.emplace_back(probe("start", pending, "pending"));
  start.last_run.reset();
  start.since.reset();
  for (const double reading : {60.0, 4000.0, 8000.0}) {
    ProbeView& view = out.probes.emplace_back(probe("age", ok));
    view.checks = to_views({result(kAge, reading), result(kRate, 0.9), result(kRate, 0.1)});
    view.message = "two\nlines";
    view.last_success = view.next_run = view.down_since = kNow;
  }
  return out;
}

TEST(ParseStatus, ReadsWhatStatusJsonWrites) {
  const Overview original = overview();
  const std::string text = status_json(original);
  const auto status = parse_status(text);
  ASSERT_TRUE(status) << status.error();
  const Overview& read = (*status)->overview;
  EXPECT_EQ(status_json(read), text);
  EXPECT_EQ(check_text(read.probes), check_text(original.probes));
  EXPECT_EQ(check_nagios(read.probes), check_nagios(original.probes));
  EXPECT_EQ(check_markdown(read.probes), check_markdown(original.probes));
  EXPECT_EQ(verdict(read), Verdict::critical);
}

TEST(ParseStatus, ReadsAStandbyAndAProbeLoopThatHangs) {
  Overview original{.probes = {}, .version = "1", .now = kNow, .healthy = false, .leads = true};
  EXPECT_EQ(headline((*parse_status(status_json(original)))->overview), headline(original));
  original.healthy = true;
  original.leads = false;
  EXPECT_EQ(headline((*parse_status(status_json(original)))->overview), headline(original));
  EXPECT_EQ(verdict((*parse_status(status_json(original)))->overview), Verdict::unknown);
}

TEST(ParseStatus, RefusesOtherDocuments) {
  for (const char* text : {"", "<html>", "[]", "{}", "{\"probes\"", "404"}) {
    EXPECT_FALSE(parse_status(text)) << text;
  }
}

// Another version may omit or add keys, and a proxy may send anything.
TEST(ParseStatus, IgnoresWhatItDoesNotKnow) {
  const auto status = parse_status(
      R"({"probes": [1, {"name": 5, "kind": [], "labels": {"a": 1}, "interval_seconds": 1e300,
          "since": "yesterday", "checks": [[], {"name": "x", "state": "odd", "reading": "1",
          "unit": "miles", "threshold": 1}], "state": "critical"}, {"state": "unknown"}],
          "leads": "no", "notices": [3], "more": {}})");
  ASSERT_TRUE(status);
  const Overview& read = (*status)->overview;
  ASSERT_EQ(read.probes.size(), 2U);
  EXPECT_EQ(verdict(read.probes[0]), Verdict::critical);
  EXPECT_EQ(verdict(read.probes[1]), Verdict::unknown);
  EXPECT_TRUE(read.leads);
}

// The text is printed on a terminal.
TEST(ParseStatus, ShowsNoControlCharacters) {
  const auto status = parse_status(
      R"({"probes": [{"name": "\u001b[2J", "error": "\u0007\u009b", "reason": "\u001b",
          "message": "\u001b", "labels": {"\u001b": "\u001b"}, "kind": "\u001b",
          "checks": [{"name": "\u001b", "object": "\u001b"}]}], "notices": ["\u001b"]})");
  ASSERT_TRUE(status);
  EXPECT_FALSE(check_text((*status)->overview.probes).contains('\x1b'));
  EXPECT_FALSE(check_text((*status)->overview.probes).contains('\a'));
  EXPECT_FALSE((*status)->overview.notices.at(0).contains('\x1b'));
}

TEST(FetchStatus, RefusesUrlsThatItCannotUse) {
  EXPECT_EQ(fetch_status("localhost:9747", "").error(),
            "the URL has no scheme: it must start with one, such as https://");
  EXPECT_EQ(fetch_status("ftp://a.test", "").error(),
            "the scheme must be http or https, not 'ftp'");
  const std::string error = fetch_status("http://user:hunter2@a.test", "").error();
  EXPECT_TRUE(error.contains("VITALSD_PASSWORD")) << error;
  EXPECT_FALSE(error.contains("hunter2")) << error;
}

}  // namespace
}  // namespace vitalsd
