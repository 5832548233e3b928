#include "exporter/web/status_json.hpp"

#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <utility>
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

TEST(StatusJson, HasTheContentOfThePage) {
  ProbeView view = probe("db \"main\"", ProbeView::State::failed);
  view.reason = "connect";
  view.detail = "refused\n";
  view.last_run = kNow - 12s;
  view.duration_seconds = 0.5;
  view.message = "12 MiB\n3 < 4";
  view.labels = {{"team", "db"}};
  view.checks.push_back({"age", "users", "2d", "warn above 1d", Status::warning, 172800,
                         Unit::seconds, 86400, Worse::above});
  const auto document = boost::json::parse(status_json({{view}, "1.2.3", kNow}));
  EXPECT_EQ(document.at("version"), "1.2.3");
  EXPECT_EQ(document.at("time"), "2026-01-01T00:00:00Z");
  const boost::json::value& row = document.at("probes").at(0);
  EXPECT_EQ(row.at("name"), "db \"main\"");
  EXPECT_EQ(document.at("state"), "critical");
  EXPECT_EQ(row.at("state"), "critical");
  EXPECT_EQ(row.at("labels").at("team"), "db");
  EXPECT_EQ(row.at("message"), "12 MiB\n3 < 4");
  EXPECT_EQ(row.at("reason"), "connect");
  EXPECT_EQ(row.at("error"), "refused\n");
  EXPECT_EQ(row.at("interval_seconds").to_number<double>(), 30);
  EXPECT_EQ(row.at("last_run"), "2025-12-31T23:59:48Z");
  EXPECT_EQ(row.at("duration_seconds").to_number<double>(), 0.5);
  EXPECT_EQ(row.at("checks").at(0),
            boost::json::parse(R"({"name": "age", "state": "warning", "reading": 1.728E5,
                                   "unit": "seconds", "object": "users", "threshold": 8.64E4,
                                   "threshold_state": "warning", "worse": "above"})"));
}

TEST(StatusJson, OmitsUnknownValues) {
  const auto document =
      boost::json::parse(status_json({{probe("a", ProbeView::State::pending)}, "1.2.3", kNow}));
  const boost::json::object& row = document.at("probes").at(0).as_object();
  for (const char* key :
       {"reason", "error", "message", "since", "last_run", "last_success", "duration_seconds"}) {
    EXPECT_FALSE(row.contains(key)) << key;
  }
  EXPECT_TRUE(row.at("checks").as_array().empty());
}

TEST(StatusJson, HasNoReadingThatJsonCannotRepresent) {
  ProbeView view = probe("a", ProbeView::State::ok);
  CheckView& check = view.checks.emplace_back();
  check.name = "age";
  check.value = std::numeric_limits<double>::infinity();
  const auto document = boost::json::parse(status_json({{view}, "1.2.3", kNow}));
  EXPECT_EQ(document.at("probes").at(0).at("checks").at(0),
            boost::json::parse(R"({"name": "age", "state": "ok", "reading": null})"));
}

TEST(ProbeJson, HasWhatThePageShows) {
  ProbeView view = probe("a", ProbeView::State::failed);
  view.reason = "connect";
  view.detail = "refused";
  view.timeout = 10s;
  view.down_since = kNow - 60s;
  view.next_run = kNow + 15s;
  view.options = std::make_shared<const std::vector<std::pair<std::string, std::string>>>(
      std::vector<std::pair<std::string, std::string>>{{"tls.ca", "/ca.pem"}});
  const CheckView age{"age",  "users",       "2d",  "warn above 1d", Status::warning,
                      172800, Unit::seconds, 86400, Worse::above};
  const ProbeEvents events = {
      std::make_shared<const ProbeEvent>(ProbeEvent{.probe = "a",
                                                    .what = ProbeEvent::What::check,
                                                    .time = kNow,
                                                    .state = Verdict::critical,
                                                    .check = age,
                                                    .check_state = Verdict::warning}),
      std::make_shared<const ProbeEvent>(ProbeEvent{.probe = "a",
                                                    .what = ProbeEvent::What::check,
                                                    .time = kNow,
                                                    .state = Verdict::ok,
                                                    .check = age}),
      std::make_shared<const ProbeEvent>(ProbeEvent{.probe = "a",
                                                    .what = ProbeEvent::What::recovered,
                                                    .time = kNow - 30s,
                                                    .state = Verdict::ok,
                                                    .after = 30s}),
      std::make_shared<const ProbeEvent>(ProbeEvent{.probe = "a",
                                                    .time = kNow - 60s,
                                                    .state = Verdict::critical,
                                                    .reason = "connect",
                                                    .text = "refused"})};
  const auto document = boost::json::parse(probe_json({{}, "1.2.3", kNow}, view, events));
  EXPECT_EQ(document.at("dropped"), 0);
  EXPECT_EQ(document.at("probe"), boost::json::parse(R"({
      "name": "a", "kind": "tcp", "target": "mail.example:25", "labels": {},
      "interval_seconds": 3E1, "timeout_seconds": 1E1, "state": "critical",
      "reason": "connect", "error": "refused", "down_since": "2025-12-31T23:59:00Z",
      "next_run": "2026-01-01T00:00:15Z", "checks": [], "options": {"tls.ca": "/ca.pem"},
      "rules": [{"name": "ProbeFailing",
                 "runbook": "https://github.com/vitalsd/vitalsd/blob/main/docs/runbooks/ProbeFailing.md"}]})"));
  EXPECT_EQ(document.at("events"), boost::json::parse(R"([
      {"time": "2026-01-01T00:00:00Z", "probe": "a", "event": "check", "state": "critical",
       "check": {"name": "age", "state": "warning", "reading": 1.728E5, "unit": "seconds",
                 "object": "users", "threshold": 8.64E4,
                 "threshold_state": "warning", "worse": "above"}},
      {"time": "2026-01-01T00:00:00Z", "probe": "a", "event": "check", "state": "ok",
       "check": {"name": "age", "state": "unknown"}},
      {"time": "2025-12-31T23:59:30Z", "probe": "a", "event": "recovered", "state": "ok",
       "after_seconds": 3E1},
      {"time": "2025-12-31T23:59:00Z", "probe": "a", "event": "failed", "state": "critical",
       "reason": "connect", "error": "refused"}])"));
}

TEST(EventsJson, NamesTheKindOfEachProbe) {
  EventFeed feed;
  feed.entries.push_back({std::make_shared<const ProbeEvent>(ProbeEvent{.probe = "a"}), "tcp"});
  feed.older = 7;
  feed.dropped = 8;
  const auto document = boost::json::parse(events_json({{}, "1.2.3", kNow}, feed));
  EXPECT_EQ(document.at("older"), 7);
  EXPECT_EQ(document.at("dropped"), 8);
  EXPECT_EQ(document.at("events").at(0).at("kind"), "tcp");
}

TEST(StatusJson, DescribesTheProcess) {
  const Overview overview{.probes = {probe("a", ProbeView::State::ok)},
                          .version = "1.2.3",
                          .now = kNow,
                          .healthy = false,
                          .notices = {"state: another process has locked <file>"}};
  const auto document = boost::json::parse(status_json(overview));
  EXPECT_FALSE(document.at("healthy").as_bool());
  EXPECT_TRUE(document.at("leads").as_bool());
  EXPECT_EQ(document.at("state"), "unknown");
  ASSERT_EQ(document.at("notices").as_array().size(), 1U);
  EXPECT_EQ(document.at("notices").at(0).as_string(), "state: another process has locked <file>");
}

}  // namespace
}  // namespace vitalsd
