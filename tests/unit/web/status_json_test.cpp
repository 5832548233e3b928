#include "exporter/web/status_json.hpp"

#include <chrono>
#include <limits>
#include <string>

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
                                   "worse": "above"})"));
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
