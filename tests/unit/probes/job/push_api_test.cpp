// Requests to a probe of kind job as to a Pushgateway, and what its runs publish of them.
#include "exporter/model/foreign.hpp"
#include "probes/net/offload.hpp"
#include "probes/receiver.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/gzip.hpp"
#include "unit/support/kinds.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kOptions = "schedule: '@every 1h', token: none, push: {ttl: 26h}";
constexpr std::string_view kLabels = R"(probe="p",environment="x",instance="p")";

class PushApiTest : public testing::Test {
 protected:
  // Sends a request below /metrics/job/p. Without an answer, the state is saved.
  PushAnswer send(const std::string& body, const std::string& path = "",
                  const std::string& method = "POST", const std::string& query = "") {
    request.method = method;
    request.route = "/metrics/job/p";
    request.path = path;
    request.query = query;
    request.body = body;
    std::optional<PushAnswer> answer;
    bool is_processed = false;
    probe->receiver()->receive(
        request,
        [&](PushAnswer given) {
          answer = std::move(given);
          is_processed = true;
        },
        [&] { is_processed = true; });
    test::run_until(fixture.loop, [&] { return is_processed; });
    is_answered_at_once = answer.has_value();
    if (!answer) save();
    return answer.value_or(PushAnswer{0, "no answer"});
  }
  // Begins a request whose answer is added to `answers`.
  void begin(const std::string& body, const std::string& method = "POST") {
    request.method = method;
    request.route = "/metrics/job/p";
    request.body = body;
    probe->receiver()->receive(
        request, [&](PushAnswer given) { answers.push_back(std::move(given)); },
        [&] { ++changes; });
  }
  int status(const std::string& body, const std::string& path = "",
             const std::string& method = "POST") {
    return send(body, path, method).status;
  }
  void save() {
    saved = probe->notes()->serialize();
    probe->notes()->saved();
  }
  // A new process that reads the saved state.
  void restart() {
    probe = fixture.make("job", kOptions);
    probe->notes()->restore(saved);
  }
  // The lines of a run, which are all that it publishes.
  std::string run() {
    set = std::make_shared<SampleSet>();
    set->set_constant_labels(std::string(labels));
    const auto observe = [](Probe& job, SampleSet& out) -> asio::awaitable<bool> {
      co_await job.observe(out);
      co_return true;
    };
    test::Task<bool>(fixture.loop, observe(*probe, *set)).get();
    std::string out;
    for (const Fragment& fragment : set->fragments()) {
      if (!fragment) continue;
      for (const FragmentFamily& family : *fragment) out += family.lines;
    }
    return out;
  }
  double sample(std::string_view name) {
    for (std::size_t i = 0; i < set->size(); ++i) {
      if (set->sample(i).metric->name == name) return set->sample(i).value;
    }
    return -1;
  }
  double reading(std::string_view check) {
    for (const CheckResult& result : set->checks()) {
      if (result.check->name == check) return result.reading;
    }
    return -1;
  }

  test::ProbeFixture fixture;
  std::unique_ptr<Probe> probe = fixture.make("job", kOptions);
  std::shared_ptr<SampleSet> set;
  Push request;
  std::string_view labels = kLabels;
  std::string saved;
  bool is_answered_at_once = false;
  std::vector<PushAnswer> answers;
  int changes = 0;
};

// More than is parsed on the loop.
std::string large_body(const std::string& value) {
  std::string body;
  for (int i = 0; i < 5'000; ++i) {
    body += "rows{table=\"" + std::to_string(i) + "\"} " + value + "\n";
  }
  return body;
}

TEST_F(PushApiTest, APushIsPublishedAndASuccess) {
  const PushAnswer answer = send("rows 3\n", "/zone/a", "POST");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.text, "OK\n");
  EXPECT_FALSE(is_answered_at_once);  // the answer follows when the state is saved
  const std::string lines = run();
  EXPECT_THAT(lines, HasSubstr("rows{probe=\"p\",environment=\"x\",job=\"p\",zone=\"a\","
                               "instance=\"p\"} 3\n"));
  EXPECT_THAT(lines, HasSubstr("push_time_seconds{probe=\"p\",environment=\"x\",job=\"p\","));
  EXPECT_GT(sample("job_last_success_timestamp_seconds"), 0);
  EXPECT_EQ(set->message(), "pushed 1 series");
  EXPECT_EQ(reading("unpublished"), 0);
  EXPECT_EQ(reading("failed"), 0);
}

TEST_F(PushApiTest, IsOffWithoutATimeToLive) {
  probe = fixture.make("job", "schedule: '@every 1h', token: none");
  const PushAnswer answer = send("rows 3\n");
  EXPECT_EQ(answer.status, 403);
  EXPECT_THAT(answer.text, HasSubstr("set push: {ttl: DURATION}"));
  EXPECT_EQ(run(), "");
  EXPECT_EQ(sample("job_last_success_timestamp_seconds"), -1);
  EXPECT_EQ(sample("vitalsd_job_push_dropped_total"), -1);
}

TEST_F(PushApiTest, ForgetsItsGroupsWhenItIsSwitchedOff) {
  send("rows 3\n");
  const auto next = fixture.make("job", "schedule: '@every 1h', token: none");
  next->inherit(*probe);
  probe = fixture.make("job", "schedule: '@every 1h', token: none");
  probe->inherit(*next);
  EXPECT_EQ(run(), "");
  save();
  EXPECT_THAT(saved, Not(HasSubstr("rows")));
}

TEST_F(PushApiTest, DeletesAGroup) {
  send("rows 3\n", "/zone/a");
  const PushAnswer answer = send("", "/zone/a", "DELETE");
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.text, "");
  EXPECT_FALSE(is_answered_at_once);
  EXPECT_EQ(run(), "");
  EXPECT_EQ(sample("job_runs_total"), 1);  // a push is not a run
  EXPECT_EQ(status("", "/zone/none", "DELETE"), 202);
}

TEST_F(PushApiTest, ANameOfVitalsdIsNotPublishedButTheJobHasSucceeded) {
  const PushAnswer answer =
      send("vcci_last_successful_backup_timestamp 1795906767\n# TYPE rows gauge\nrows 3\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.text,
            "OK. Not published, because vitalsd declares these metrics itself: "
            "vcci_last_successful_backup_timestamp.\n");
  const std::string lines = run();
  EXPECT_THAT(lines, Not(HasSubstr("vcci")));
  EXPECT_THAT(lines, HasSubstr("rows{"));
  EXPECT_EQ(sample("vitalsd_job_push_dropped_total"), 1);
  EXPECT_GT(sample("job_last_success_timestamp_seconds"), 0);
  EXPECT_EQ(reading("unpublished"), 0);
  EXPECT_THAT(set->message(), HasSubstr("pushed 1 series; not published"));
}

TEST_F(PushApiTest, ARefusedPushIsNoSuccess) {
  send("rows 1\n");
  const PushAnswer answer = send("rows x\n");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.text, "Line 1 is not valid in the Prometheus text format 0.0.4.\n");
  const std::string lines = run();
  EXPECT_THAT(lines, HasSubstr("rows{"));
  EXPECT_THAT(lines, Not(HasSubstr("push_failure_time_seconds{probe=\"p\",environment=\"x\","
                                   "job=\"p\",instance=\"p\"} 0\n")));
  EXPECT_EQ(sample("job_runs_total"), 1);
  for (const std::string path : {"/zone", "/job/other", "/a@base64/!"}) {
    EXPECT_EQ(status("rows 1\n", path), 400) << path;
  }
  EXPECT_EQ(send("rows 1\n", "", "POST", "unknown=1").status, 400);
}

TEST_F(PushApiTest, ARepeatedPushOfOneRunCountsOnce) {
  send("rows 1\n", "", "POST", "rid=7");
  send("rows 2\n", "", "POST", "rid=7");
  EXPECT_FALSE(is_answered_at_once);  // its metrics are new
  EXPECT_THAT(run(), HasSubstr("} 2\n"));
  EXPECT_EQ(sample("job_runs_total"), 1);
}

TEST_F(PushApiTest, AcceptsGzipAndRefusesOtherCodings) {
  request.content_encoding = "gzip";
  EXPECT_EQ(status(test::gzip("rows 3\n")), 200);
  EXPECT_THAT(run(), HasSubstr("rows{"));
  EXPECT_EQ(status("rows 3\n"), 400);
  const std::string whole = test::gzip("rows 3\nmore 4\n");
  EXPECT_EQ(status(whole.substr(0, whole.size() - 10)), 400);
  EXPECT_EQ(status(test::gzip(std::string(50'000'000, '\n'))), 413);
  request.content_encoding = "snappy";
  EXPECT_EQ(status("rows 3\n"), 415);
  request.content_encoding = "identity";
  EXPECT_EQ(status("rows 3\n"), 200);
  request.content_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
  const PushAnswer answer = send("rows 3\n");
  EXPECT_EQ(answer.status, 415);
  EXPECT_THAT(answer.text, HasSubstr("text format"));
}

TEST_F(PushApiTest, SurvivesARestart) {
  send("# TYPE rows gauge\nrows 3\n", "/zone/a", "PUT");
  const std::string before = run();
  restart();
  EXPECT_EQ(run(), before);
  EXPECT_GT(sample("job_last_success_timestamp_seconds"), 0);
}

TEST_F(PushApiTest, DamagedGroupsDoNotCostTheHistory) {
  send("rows 3\n");
  saved.replace(saved.find("} 3"), 3, "} x");
  restart();
  EXPECT_EQ(run(), "");
  EXPECT_GT(sample("job_last_success_timestamp_seconds"), 0);
}

TEST_F(PushApiTest, NewLabelsOfTheProbeAreOnAllLines) {
  send("rows{zone=\"z\",environment=\"dev\"} 3\n");
  EXPECT_THAT(run(), HasSubstr("instance=\"p\",zone=\"z\",exported_environment=\"dev\"} 3\n"));
  labels = R"(probe="p",zone="y",instance="p")";
  EXPECT_THAT(run(), HasSubstr("rows{probe=\"p\",zone=\"y\",job=\"p\",instance=\"p\","
                               "exported_zone=\"z\",environment=\"dev\"} 3\n"));
}

TEST_F(PushApiTest, AGroupMayHaveTheNamesOfTheProbesLabels) {
  EXPECT_EQ(status("rows 3\n", "/probe/q/environment/y"), 200);
  const std::string lines = run();
  EXPECT_THAT(lines, HasSubstr("rows{probe=\"p\",environment=\"x\",job=\"p\","
                               "exported_environment=\"y\",exported_probe=\"q\","
                               "instance=\"p\"} 3\n"));
  EXPECT_THAT(lines, HasSubstr("push_time_seconds{probe=\"p\",environment=\"x\",job=\"p\","
                               "exported_environment=\"y\",exported_probe=\"q\","));
}

// The shipped scrape configurations interpret exported_instance as the instance.
TEST_F(PushApiTest, NoLabelIsExportedInstance) {
  EXPECT_EQ(status("rows{exported_instance=\"a\"} 3\n"), 200);
  EXPECT_THAT(run(), HasSubstr("relayed_exported_instance=\"a\"} 3\n"));
  EXPECT_EQ(status("", "", "DELETE"), 202);
  EXPECT_EQ(status("rows 4\n", "/exported_instance/b"), 200);
  const std::string lines = run();
  EXPECT_THAT(lines, HasSubstr(",relayed_exported_instance=\"b\""));
  EXPECT_THAT(lines, Not(HasSubstr(",exported_instance=")));
}

TEST_F(PushApiTest, TellsThatACountWasReplaced) {
  const std::string page = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 1\n";
  EXPECT_EQ(send(page).text,
            "OK\nA _count of a histogram differs from its last bucket, and was replaced by it.\n");
}

TEST_F(PushApiTest, AFamilyOfAnotherPublisherIsMissingUntilItIsFree) {
  auto other = fixture.services.foreign.intern({.name = "rows", .type = Type::counter});
  EXPECT_EQ(send("# TYPE rows gauge\nrows 3\nmore 1\n").status, 200);
  const std::string lines = run();
  EXPECT_THAT(lines, Not(HasSubstr("rows{")));
  EXPECT_THAT(lines, HasSubstr("more{"));
  EXPECT_EQ(reading("unpublished"), 1);
  EXPECT_EQ(set->checks().back().object, "1 type: rows");
  other = MetricRef();
  EXPECT_THAT(run(), HasSubstr("rows{"));
  EXPECT_EQ(reading("unpublished"), 0);
}

TEST_F(PushApiTest, WithoutChangesTheLinesAreShared) {
  send("rows 3\n");
  run();
  const Fragment first = set->fragments().at(0);
  run();
  EXPECT_EQ(set->fragments().at(0), first);
}

TEST_F(PushApiTest, LimitsTheRequestsThatWait) {
  for (int i = 0; i < 100; ++i) begin("rows " + std::to_string(i) + "\n");
  EXPECT_EQ(answers.size(), 36U);
  for (const PushAnswer& answer : answers) EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(run(), HasSubstr("} 63\n"));  // refused requests have no effect
  save();
}

// ---- large bodies -------------------------------------------------------------------------------

TEST_F(PushApiTest, ALargeBodyIsNotParsedOnTheLoop) {
  begin(large_body("1"));
  EXPECT_EQ(changes, 0);  // nothing runs on the loop between these lines
  test::run_until(fixture.loop, [&] { return changes == 1; });
  EXPECT_TRUE(answers.empty());
  save();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers.front().status, 200);
  EXPECT_THAT(run(), HasSubstr("table=\"4999\"} 1\n"));
}

TEST_F(PushApiTest, ASmallPushToAJobWithManySeriesIsNotParsedOnTheLoop) {
  EXPECT_EQ(status(large_body("1")), 200);
  begin("other 1\n");
  EXPECT_EQ(changes, 0);
  test::run_until(fixture.loop, [&] { return changes == 1; });
  save();
  EXPECT_THAT(run(), HasSubstr("other{"));
}

TEST_F(PushApiTest, RequestsTakeEffectInTheOrderOfTheirArrival) {
  begin(large_body("1"));
  begin("rows 2\n");
  begin("", "DELETE");
  begin("other 3\n");
  begin("rows x\n");
  EXPECT_EQ(changes, 0);
  test::run_until(fixture.loop, [&] { return changes == 5; });
  save();
  ASSERT_EQ(answers.size(), 5U);
  EXPECT_EQ(answers[0].status, 400);  // the last one, whose answer does not wait
  const std::string lines = run();
  EXPECT_THAT(lines, Not(HasSubstr("rows{")));
  EXPECT_THAT(lines, HasSubstr("other{"));
  EXPECT_EQ(sample("job_runs_total"), 3);
}

TEST_F(PushApiTest, LimitsTheRequestsThatAreNotProcessed) {
  for (int i = 0; i < 20; ++i) begin(large_body(std::to_string(i)));
  EXPECT_EQ(answers.size(), 4U);
  for (const PushAnswer& answer : answers) EXPECT_EQ(answer.status, 503);
  test::run_until(fixture.loop, [&] { return changes == 16; });
  save();
  EXPECT_EQ(answers.size(), 20U);
  EXPECT_THAT(run(), HasSubstr("table=\"0\"} 15\n"));
}

TEST_F(PushApiTest, AsksForARetryWhenTheProbeIsRemovedBefore) {
  begin(large_body("1"));
  begin("rows 2\n");
  probe = fixture.make("job", kOptions);
  ASSERT_EQ(answers.size(), 2U);
  for (const PushAnswer& answer : answers) EXPECT_EQ(answer.status, 503);
  // The computation ends without an effect.
  test::run_until(fixture.loop, [&] { return fixture.services.computing.busy() == 0; });
  EXPECT_EQ(changes, 0);
  EXPECT_EQ(run(), "");
}

TEST_F(PushApiTest, AsksForARetryWhenTheProbeIsReplacedBefore) {
  EXPECT_EQ(status("other 1\n"), 200);
  begin(large_body("1"));
  auto next = fixture.make("job", kOptions);
  next->inherit(*probe);
  probe = std::move(next);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers.front().status, 503);
  EXPECT_EQ(status(large_body("2")), 200);
  const std::string lines = run();
  EXPECT_THAT(lines, HasSubstr("table=\"0\"} 2\n"));
  EXPECT_THAT(lines, HasSubstr("other{"));
}

TEST_F(PushApiTest, AsksForARetryIfNoThreadIsFree) {
  // A computation that does not return, and one that waits for it.
  std::atomic<bool> may_end = false;
  const auto occupy = [](net::Offload& pool, std::atomic<bool>& end) -> asio::awaitable<bool> {
    co_return co_await pool.run("endless", [&end](const net::StopFlag&) {
      end.wait(false);
      return true;
    });
  };
  test::Task<bool> endless(fixture.loop, occupy(fixture.services.computing, may_end));
  begin(large_body("1"));
  test::run_until(fixture.loop, [&] { return !answers.empty(); });
  EXPECT_EQ(answers.front().status, 503);
  EXPECT_THAT(answers.front().text, HasSubstr("retry"));
  may_end = true;
  may_end.notify_all();
  EXPECT_TRUE(endless.get());
  EXPECT_EQ(status(large_body("2")), 200);
}

TEST_F(PushApiTest, ARunDuringALargePushPublishesTheGroupsBefore) {
  EXPECT_EQ(status("rows 1\n"), 200);
  begin(large_body("2"));
  EXPECT_THAT(run(), HasSubstr("instance=\"p\"} 1\n"));
  test::run_until(fixture.loop, [&] { return changes == 1; });
  save();
  EXPECT_THAT(run(), HasSubstr("table=\"0\"} 2\n"));
}

}  // namespace
}  // namespace vitalsd
