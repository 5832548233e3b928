#include "daemon/account.hpp"

#include <chrono>
#include <optional>
#include <string_view>

#include "unit/support/jobs.hpp"
#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

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
