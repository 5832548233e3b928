#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpCall;
using testing::HasSubstr;

std::string success(const std::string& data, const std::string& more = "") {
  return http_answer(200, R"({"status":"success","data":)" + data + more + '}');
}

const std::string kTargets =
    R"({"activeTargets":[{"labels":{"job":"api","instance":"a:1"},"health":"up"},)"
    R"({"labels":{"job":"api","instance":"b:1"},"health":"down"}]})";
const std::string kRules =
    R"({"groups":[{"rules":[{"name":"A","type":"alerting","health":"ok"}]}]})";
const std::string kAlertmanagers = R"({"activeAlertmanagers":[{"url":"http://m"}]})";

std::string page(int errors, int dropped) {
  return http_answer(200, "prometheus_notifications_errors_total{alertmanager=\"http://m\"} " +
                              std::to_string(errors) + "\nprometheus_notifications_dropped_total " +
                              std::to_string(dropped) + '\n');
}

class PrometheusTest : public testing::Test {
 protected:
  test::Conversation::Script script() {
    return [this](test::Line& line) -> asio::awaitable<void> {
      calls.push_back(co_await test::read_http(line));
      const std::string& target = calls.back().target;
      const auto known = answers.find(target.substr(0, target.find('?')));
      co_await line.write(known == answers.end() ? http_answer(404, "404 page not found\n")
                                                 : known->second);
    };
  }
  [[nodiscard]] std::string options(const std::string& more = "") const {
    return "url: 'http://" + peer.endpoint() + "/'" + more;
  }
  // The checks of queries belong to the probe, so it outlives the observation.
  test::Observation observe(const std::string& more = "") {
    observed = fixture.make("prometheus", options(more));
    return fixture.observe(*observed);
  }
  test::Observation query(const std::string& answer, const std::string& more = "") {
    answers["/api/v1/query"] = answer;
    return observe(", targets: false, alerting: false, queries: [{name: q, expr: x" + more + "}]");
  }
  std::string problems(const std::string& more) {
    try {
      fixture.make("prometheus", "url: 'http://h'" + more);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  test::ProbeFixture fixture;
  std::map<std::string, std::string> answers{{"/api/v1/targets", success(kTargets)},
                                             {"/api/v1/rules", success(kRules)},
                                             {"/api/v1/alertmanagers", success(kAlertmanagers)},
                                             {"/metrics", page(0, 0)}};
  std::vector<HttpCall> calls;
  test::Conversation peer{fixture.loop, script()};
  std::unique_ptr<Probe> observed;
};

TEST_F(PrometheusTest, ARatioMayExceedOne) {
  const std::string limits = ", unit: ratio, warn: 150%, critical: 2.5";
  const test::Observation run =
      query(success(R"({"resultType":"scalar","result":[1,"1.6"]})"), limits);
  EXPECT_EQ(run.value("vitalsd_prometheus_query_value", {{"query", "q"}}), 1.6);
  EXPECT_THAT(problems(", queries: [{name: q, expr: x, unit: ratio, warn: 5s}]"),
              HasSubstr("'5s' is not a valid ratio"));
}

TEST_F(PrometheusTest, PublishesTargetsRulesAndAlertmanagers) {
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  const std::string targets = "vitalsd_prometheus_targets";
  EXPECT_EQ(run.value(targets, {{"job", "api"}, {"health", "up"}}), 1);
  EXPECT_EQ(run.value(targets, {{"job", "api"}, {"health", "down"}}), 1);
  EXPECT_EQ(run.value(targets, {{"job", "api"}, {"health", "unknown"}}), 0);
  EXPECT_EQ(run.reading("targets_down", "api b:1"), 1);
  EXPECT_EQ(run.value("vitalsd_prometheus_rules", {{"health", "ok"}}), 1);
  EXPECT_EQ(run.value("vitalsd_prometheus_rules", {{"health", "err"}}), 0);
  EXPECT_EQ(run.reading("rules_failing"), 0);
  EXPECT_EQ(run.value("vitalsd_prometheus_alertmanagers", {{"state", "active"}}), 1);
  EXPECT_EQ(run.reading("alertmanagers"), 1);
  EXPECT_EQ(run.value("vitalsd_prometheus_notifications_dropped_total"), 0);
  EXPECT_EQ(run.reading("notifications_dropped"), 0);
  EXPECT_EQ(run.reading("notification_errors", "http://m"), 0);
  EXPECT_EQ(run.parts(), 4U);
}

TEST_F(PrometheusTest, CountsNotificationsThatFailWhileItRuns) {
  const auto probe = fixture.make("prometheus", options());
  answers["/metrics"] = page(5, 3);
  EXPECT_EQ(fixture.observe(*probe).reading("notifications_dropped"), std::nullopt);
  answers["/metrics"] = page(6, 5);
  const auto successor = fixture.make("prometheus", options(", targets: false"));
  successor->inherit(*probe);
  const test::Observation run = fixture.observe(*successor);
  EXPECT_EQ(run.reading("notifications_dropped"), 0);  // alerts have not been dropped yet
  EXPECT_EQ(run.reading("notification_errors", "http://m"), 1);
  answers["/metrics"] = page(7, 6);
  EXPECT_GT(fixture.observe(*successor).reading("notifications_dropped").value_or(0), 0);
}

TEST_F(PrometheusTest, NeedsAnAlertmanagerOnlyForAlerts) {
  answers["/api/v1/alertmanagers"] = success("{}");
  EXPECT_EQ(observe().reading("alertmanagers"), 0);
  answers["/api/v1/rules"] = success(R"({"groups":[]})");
  const test::Observation run = observe();
  EXPECT_EQ(run.reading("alertmanagers"), std::nullopt);
  EXPECT_EQ(run.value("vitalsd_prometheus_alertmanagers", {{"state", "active"}}), 0);
}

TEST_F(PrometheusTest, ReportsAServerWithoutTargets) {
  answers["/api/v1/targets"] = success(R"({"activeTargets":[]})");
  const test::Observation run = observe();
  EXPECT_EQ(run.failure("targets"), "mismatch: Prometheus has no active targets");
  EXPECT_EQ(run.reading("targets_down"), std::nullopt);
}

TEST_F(PrometheusTest, ReadsTheOtherPartsIfOneIsRefused) {
  answers.erase("/metrics");
  answers["/api/v1/rules"] = http_answer(200, "<html>");
  const test::Observation run = observe();
  EXPECT_FALSE(run.threw());
  EXPECT_EQ(run.failure("notifications"), "mismatch: status 404: '404 page not found'");
  EXPECT_THAT(run.failure("rules"), HasSubstr("protocol: the response is not valid JSON"));
  EXPECT_EQ(run.reading("targets_down", "api b:1"), 1);
}

TEST_F(PrometheusTest, ReportsAServerThatStarts) {
  answers["/api/v1/targets"] = http_answer(503, "Service Unavailable");
  const test::Observation run = observe();
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.failure(), "unready: status 503: 'Service Unavailable'");
  EXPECT_EQ(calls.size(), 1U);
}

TEST_F(PrometheusTest, SendsCredentialsBelowThePathPrefix) {
  answers = {{"/prefix/api/v1/query", success(R"({"resultType":"scalar","result":[1,"2"]})")}};
  const std::string more =
      "/prefix/', targets: false, alerting: false, bearer_token: hush-hush, "
      "queries: [{name: q, expr: 'sum(a{b=\"c\"})'}]";
  const test::Observation run =
      fixture.observe("prometheus", "url: 'http://" + peer.endpoint() + more);
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(calls.at(0).header("authorization"), "Bearer hush-hush");
  EXPECT_THAT(calls.at(0).target,
              HasSubstr("/prefix/api/v1/query?query=sum%28a%7Bb%3D%22c%22%7D%29&timeout="));
}

TEST_F(PrometheusTest, ConcealsSecretsInErrors) {
  answers["/api/v1/query"] = http_answer(403, "no access for hush-hush");
  const test::Observation run = observe(
      ", targets: false, alerting: false, bearer_token: hush-hush, "
      "queries: [{name: q, expr: x}]");
  EXPECT_EQ(run.failure(), "permission: query q: status 403: 'no access for ***'");
}

// A message shows 80 bytes of a text, which may end in a secret: the token, or a password decoded
// by a proxy.
TEST_F(PrometheusTest, ConcealsTheStartOfASecretWhereATextIsCut) {
  for (const std::string login : {"bearer_token: hush-hush", "user: u, password: hush-hush"}) {
    for (std::size_t size = 60; size < 82; ++size) {
      answers["/api/v1/targets"] = http_answer(500, std::string(size, 'x') + " u:hush-hush");
      const std::string failure = observe(", alerting: false, " + login).failure();
      EXPECT_THAT(failure, HasSubstr("xxx"));
      EXPECT_THAT(failure, testing::Not(HasSubstr("hu"))) << size;
    }
  }
}

// ---- queries ------------------------------------------------------------------------------------

TEST_F(PrometheusTest, PublishesTheValueOfAQuery) {
  const test::Observation run =
      query(success(R"({"resultType":"vector","result":[{"metric":{},"value":[1,"0.25"]}]})"),
            ", unit: ratio, warn: 1%, critical: 5%");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("vitalsd_prometheus_query_value", {{"query", "q"}}), 0.25);
  EXPECT_EQ(run.value("vitalsd_prometheus_query_has_value", {{"query", "q"}}), 1);
  EXPECT_EQ(run.reading("q"), 0.25);
}

TEST_F(PrometheusTest, OmitsAnUnknownValue) {
  for (const std::string result : {"", R"({"metric":{},"value":[1,"NaN"]})"}) {
    const test::Observation run =
        query(success(R"({"resultType":"vector","result":[)" + result + "]}"));
    EXPECT_EQ(run.failure(), "");
    EXPECT_EQ(run.count("vitalsd_prometheus_query_value"), 0U);
    EXPECT_EQ(run.value("vitalsd_prometheus_query_has_value", {{"query", "q"}}), 0);
    EXPECT_EQ(run.reading("q"), std::nullopt);
  }
}

TEST_F(PrometheusTest, OmitsAValueThatMayBeIncomplete) {
  const test::Observation run = query(
      success(R"({"resultType":"scalar","result":[1,"2"]})", R"(,"warnings":["store is away"])"));
  EXPECT_EQ(run.failure(), "mismatch: query q: the result may be incomplete: 'store is away'");
  EXPECT_EQ(run.count("vitalsd_prometheus_query_value"), 0U);
}

TEST_F(PrometheusTest, ReportsEachQuerySeparately) {
  answers["/api/v1/query"] =
      http_answer(400, R"({"status":"error","errorType":"bad_data","error":"parse error"})");
  std::string queries;
  for (int i = 10; i < 20; ++i) queries += "{name: q" + std::to_string(i) + ", expr: x}, ";
  const test::Observation run = observe(", queries: [" + queries + "]");
  EXPECT_EQ(run.failure("query q19"), "config: status 400, bad_data: 'parse error'");
  EXPECT_EQ(run.failure("targets"), "");
  EXPECT_EQ(run.parts(), 14U);
}

TEST_F(PrometheusTest, SlowQueriesShareTheTimeOfTheRun) {
  answers["/api/v1/query"] = success(R"({"resultType":"scalar","result":[1,"2"]})");
  std::string queries;
  for (int i = 0; i < 5; ++i) queries += "{name: q" + std::to_string(i) + ", expr: x}, ";
  observe(", targets: false, alerting: false, queries: [" + queries + "]");
  ASSERT_EQ(calls.size(), 5U);
  const auto limit = [&](std::size_t call) {
    const std::string& target = calls[call].target;
    return std::stoi(target.substr(target.find("timeout=") + 8));
  };
  // Four at a time: the fifth one starts when the first one has ended. 3/4 of 10 s are for both.
  int shortest = limit(0);
  for (std::size_t i = 1; i < 5; ++i) shortest = std::min(shortest, limit(i));
  EXPECT_GT(shortest, 3000);
  EXPECT_LE(shortest, 3750);
}

TEST_F(PrometheusTest, AnErrorOfOneQueryIsNotThatOfTheServer) {
  answers["/api/v1/query"] =
      http_answer(500, R"({"status":"error","errorType":"internal","error":"overflow"})");
  const std::string queries = "queries: [{name: q, expr: x}]";
  test::Observation run = observe(", targets: false, alerting: false, " + queries);
  EXPECT_FALSE(run.threw());
  EXPECT_EQ(run.failure("query q"), "mismatch: status 500, internal: 'overflow'");
  // From a proxy, after the server has answered.
  answers["/api/v1/query"] = http_answer(502, "Bad Gateway");
  run = observe(", " + queries);
  EXPECT_FALSE(run.threw());
  EXPECT_EQ(run.failure("query q"), "mismatch: status 502: 'Bad Gateway'");
  EXPECT_EQ(run.reading("targets_down", "api b:1"), 1);
}

TEST_F(PrometheusTest, RefusesInvalidQueries) {
  const auto with = [&](const std::string& text) { return problems(", queries: [" + text + "]"); };
  EXPECT_THAT(with("{name: a b, expr: x}"), HasSubstr("'a b' is not a valid name of a query"));
  EXPECT_THAT(with("{name: a, expr: x}, {name: a, expr: y}"),
              HasSubstr("duplicate query name 'a'"));
  EXPECT_THAT(with("{name: targets_down, expr: x}"), HasSubstr("is the name of a check"));
  EXPECT_THAT(with("{name: a, expr: ''}"), HasSubstr("must not be empty"));
  EXPECT_THAT(with("{name: a}"), HasSubstr("required key 'expr' is missing"));
  EXPECT_THAT(with("{name: a, expr: x, warn: 2, critical: 1}"), HasSubstr("beyond critical"));
  EXPECT_THAT(with("{name: a, expr: x, warn: 1, critical: 2, worse: below}"),
              HasSubstr("beyond critical"));
  EXPECT_EQ(with("{name: a, expr: x, warn: 2, critical: 1, worse: below}"), "");
  EXPECT_THAT(problems(", targets: false, alerting: false"), HasSubstr("queries: required if"));
  std::string many;
  for (int i = 0; i <= 50; ++i) many += "{name: q" + std::to_string(i) + ", expr: x}, ";
  EXPECT_THAT(with(many), HasSubstr("at most 50 queries"));
}

}  // namespace
}  // namespace vitalsd
