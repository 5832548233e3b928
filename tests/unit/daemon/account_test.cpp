#include "daemon/account.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/jobs.hpp"
#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

constexpr Metric kFact({.name = "expiry_of_an_object",
                        .help = "A fact of an object.",
                        .keep = Keep::fact});

class AccountTest : public testing::Test {
 protected:
  void add(const std::optional<Failure>& failure = {}) {
    account.add_run(SampleSet{}, failure, failure, 250ms, Account::SystemTime(1767225600s));
  }
  void fail(Reason reason) { add(Failure{reason, "because"}); }

  // The value of a sample; `label` is the value of its label, if it has one.
  [[nodiscard]] std::optional<double> value(std::string_view name,
                                            std::string_view label = {}) const {
    Exposition exposition;
    Ledger ledger(exposition, "p", "");
    ledger.publish(account.samples(test::kFakeKind));
    for (const test::ParsedSample& sample : test::parse_samples(test::page(exposition))) {
      if (sample.name != name) continue;
      if (label.empty() || sample.labels.begin()->second == label) return sample.value;
    }
    return std::nullopt;
  }

  Account account;
};

TEST_F(AccountTest, HasCountersAndNoResultsBeforeTheFirstRun) {
  EXPECT_EQ(value("vitalsd_probe_runs_total", "ok"), 0);
  EXPECT_EQ(value("vitalsd_probe_runs_total", "failed"), 0);
  EXPECT_EQ(value("vitalsd_probe_runs_total", "stuck"), std::nullopt);
  EXPECT_EQ(value("probe_success"), std::nullopt);
  EXPECT_EQ(value("probe_duration_seconds"), std::nullopt);
  EXPECT_EQ(value("fake_up"), std::nullopt);
}

TEST_F(AccountTest, RecordsSuccess) {
  add();
  EXPECT_EQ(value("vitalsd_probe_runs_total", "ok"), 1);
  EXPECT_EQ(value("probe_success"), 1);
  EXPECT_EQ(value("probe_duration_seconds"), 0.25);
  EXPECT_EQ(value("vitalsd_probe_last_success_timestamp_seconds"), 1767225600);
  EXPECT_EQ(value("vitalsd_target_up", "fake"), 1);
  EXPECT_EQ(value("fake_up"), 1);
}

TEST_F(AccountTest, RecordsFailureByReason) {
  fail(Reason::dns);
  fail(Reason::auth);
  EXPECT_EQ(value("vitalsd_probe_runs_total", "failed"), 2);
  EXPECT_EQ(value("vitalsd_probe_failures_total", "dns"), 1);
  EXPECT_EQ(value("vitalsd_probe_failures_total", "auth"), 1);
  EXPECT_EQ(value("probe_success"), 0);
  EXPECT_EQ(value("fake_up"), 1);
  EXPECT_EQ(value("vitalsd_probe_last_success_timestamp_seconds"), std::nullopt);
}

TEST_F(AccountTest, KeepsUpForOneInternalFailure) {
  add();
  fail(Reason::internal);
  EXPECT_EQ(value("fake_up"), 1);
  fail(Reason::internal);
  EXPECT_EQ(value("fake_up"), std::nullopt);
  fail(Reason::connect);
  EXPECT_EQ(value("fake_up"), 0);
}

TEST_F(AccountTest, SkippedDueTimeKeepsResults) {
  add();
  account.add_skipped(3);
  account.add_skipped();
  EXPECT_EQ(value("vitalsd_probe_runs_total", "skipped"), 4);
  EXPECT_EQ(value("probe_success"), 1);
  EXPECT_EQ(value("fake_up"), 1);
}

TEST_F(AccountTest, StuckRunMeansDown) {
  add();
  account.add_stuck();
  EXPECT_EQ(account.count(Outcome::stuck), 1U);
  EXPECT_EQ(value("vitalsd_probe_runs_total", "stuck"), 1);
  EXPECT_EQ(value("probe_success"), 0);
  EXPECT_EQ(value("fake_up"), 0);
}

TEST_F(AccountTest, CountsPartsOfTheLastRun) {
  SampleSet set;
  set.part("a");
  set.part("b").fail(Reason::tls, "expired");
  const Failure failure{Reason::tls, "b: expired"};
  account.add_run(set, failure, std::nullopt, 1s, {});
  EXPECT_EQ(value("vitalsd_probe_parts", "ok"), 1);
  EXPECT_EQ(value("vitalsd_probe_parts", "failed"), 1);
  add();
  EXPECT_EQ(value("vitalsd_probe_parts", "ok"), std::nullopt);
}

TEST_F(AccountTest, FactsAreStaleWhileTheirPartFails) {
  constexpr std::string_view kName = "vitalsd_probe_stale_facts_timestamp_seconds";
  const Failure failure{Reason::mismatch, "contains no certificate"};
  const auto run = [&](int at, const std::vector<std::string>& parts, const std::string& failing) {
    SampleSet set;
    for (const std::string& part : parts) set.part(part).add(kFact, 1);
    if (!failing.empty()) set.part(failing).fail(failure.reason, failure.detail);
    account.add_run(set, set.overall(std::nullopt), std::nullopt, 1s,
                    Account::SystemTime(std::chrono::seconds(at)));
  };
  run(100, {"a", "b"}, "never a certificate");
  EXPECT_EQ(value(kName), std::nullopt);
  run(200, {"a"}, "b");
  EXPECT_EQ(value(kName), 100);
  account.add_run(SampleSet{}, failure, failure, 1s, Account::SystemTime(300s));
  EXPECT_EQ(value(kName), 100);
  run(400, {"a", "b"}, "b");  // it fails, but has been observed
  EXPECT_EQ(value(kName), std::nullopt);
  account.add_stuck();
  EXPECT_EQ(value(kName), 400);
  run(500, {"b"}, "");  // a no longer exists
  EXPECT_EQ(value(kName), std::nullopt);
  EXPECT_EQ(account.fact_times().size(), 1U);
}

TEST_F(AccountTest, FactsOfTheProbeItself) {
  constexpr std::string_view kName = "vitalsd_probe_stale_facts_timestamp_seconds";
  account.set_fact_times({{"", Account::SystemTime(100s)}});
  EXPECT_EQ(value(kName), 100);  // until the first run
  SampleSet set;
  set.add(kFact, 1);
  set.fail(Reason::mismatch, "no good backup");
  account.add_run(set, set.failure(), std::nullopt, 1s, Account::SystemTime(200s));
  EXPECT_EQ(value(kName), std::nullopt);
  const Failure failure{Reason::connect, "refused"};
  account.add_run(SampleSet{}, failure, failure, 1s, Account::SystemTime(300s));
  EXPECT_EQ(value(kName), 200);
  add();  // the facts are gone
  EXPECT_EQ(value(kName), std::nullopt);
}

TEST_F(AccountTest, ForgetsResultsButNotCounts) {
  add();
  fail(Reason::dns);
  account.forget_results();
  EXPECT_EQ(value("vitalsd_probe_runs_total", "ok"), 1);
  EXPECT_EQ(value("vitalsd_probe_failures_total", "dns"), 1);
  EXPECT_EQ(value("probe_success"), std::nullopt);
  EXPECT_EQ(value("fake_up"), std::nullopt);
  EXPECT_EQ(account.last_success(), std::nullopt);
}

}  // namespace
}  // namespace vitalsd
