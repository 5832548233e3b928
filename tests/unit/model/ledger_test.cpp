// The rules for readings and facts, one test per rule.
#include "exporter/model/ledger.hpp"

#include <algorithm>
#include <chrono>
#include <string>

#include "unit/model/ledger_fixture.hpp"
#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::fragment;
using test::kFact;
using test::kFailure;
using test::kFramework;
using test::kObject;
using test::kOther;
using test::kOverload;
using test::kReading;
using test::LedgerTest;

// ---- a run that succeeded -----------------------------------------------------------------------

TEST_F(LedgerTest, SuccessReplacesEverything) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kFact, 2);
  });
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\nreading{probe=\"p\"} 1\n");
  returned([](SampleSet& out) { out.add(kOther, 3); });
  EXPECT_EQ(published(), "other_reading{probe=\"p\"} 3\n");
}

TEST_F(LedgerTest, SuccessReplacesWholeFamilies) {
  returned([](SampleSet& out) {
    out.add(kObject, 1, "a");
    out.add(kObject, 2, "b");
  });
  returned([](SampleSet& out) { out.add(kObject, 3, "b"); });
  EXPECT_EQ(published(), "object_fact{probe=\"p\",name=\"b\"} 3\n");
}

TEST_F(LedgerTest, FamiliesMayHaveAnotherOrder) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kOther, 2);
    out.add(kObject, 3, "a");
  });
  returned([](SampleSet& out) {
    out.add(kObject, 4, "b");
    out.add(kFact, 5);
    out.add(kReading, 6);
  });
  EXPECT_EQ(published(),
            "fact{probe=\"p\"} 5\n"
            "object_fact{probe=\"p\",name=\"b\"} 4\n"
            "reading{probe=\"p\"} 6\n");
}

// ---- a run that failed --------------------------------------------------------------------------

TEST_F(LedgerTest, ReadingsSurviveOneFailedRun) {
  returned([](SampleSet& out) { out.add(kReading, 1); });
  threw(kFailure);
  EXPECT_EQ(published(), "reading{probe=\"p\"} 1\n");
  threw(kFailure);
  EXPECT_EQ(published(), "");
}

TEST_F(LedgerTest, ReadingsSurviveOneFailedRunAgainAfterASuccess) {
  for (int i = 1; i <= 3; ++i) {
    returned([&](SampleSet& out) { out.add(kReading, i); });
    threw(kFailure);
    EXPECT_EQ(published(), "reading{probe=\"p\"} " + std::to_string(i) + '\n');
  }
}

TEST_F(LedgerTest, FactsStayThroughFailures) {
  returned([](SampleSet& out) { out.add(kFact, 1); });
  for (int i = 0; i < 5; ++i) threw(kFailure);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 1\n");
}

TEST_F(LedgerTest, FailedRunReplacesTheFamiliesThatItAdded) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kObject, 1, "a");
    out.add(kOther, 1);
  });
  threw(kFailure, [](SampleSet& out) {
    out.add(kReading, 2);
    out.add(kObject, 2, "b");
  });
  EXPECT_EQ(published(),
            "object_fact{probe=\"p\",name=\"b\"} 2\n"
            "other_reading{probe=\"p\"} 1\n"
            "reading{probe=\"p\"} 2\n");
}

TEST_F(LedgerTest, ReadingsRenewedByAFailedRunAreCurrent) {
  threw(kFailure, [](SampleSet& out) { out.add(kReading, 1); });
  threw(kFailure);
  EXPECT_EQ(published(), "reading{probe=\"p\"} 1\n");
  threw(kFailure);
  EXPECT_EQ(published(), "");
}

TEST_F(LedgerTest, ReportedFailureCountsAsThrown) {
  returned([](SampleSet& out) { out.add(kReading, 1); });
  const auto fail = [](SampleSet& out) { out.fail(Reason::mismatch, "503"); };
  returned(fail);
  EXPECT_EQ(published(), "reading{probe=\"p\"} 1\n");
  returned(fail);
  EXPECT_EQ(published(), "");
}

TEST_F(LedgerTest, OverloadKeepsAndRenewsEverything) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kFact, 2);
  });
  for (int i = 0; i < 5; ++i) threw(kOverload);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\nreading{probe=\"p\"} 1\n");
  ledger->expire(now - 10s);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\nreading{probe=\"p\"} 1\n");
  threw(kFailure);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\nreading{probe=\"p\"} 1\n");
  threw(kFailure);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\n");
}

TEST_F(LedgerTest, OverloadRenewsReadingsForAnHour) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kFact, 2);
  });
  threw(kOverload);
  now += 59min;
  threw(kOverload);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\nreading{probe=\"p\"} 1\n");
  now += 2min;
  threw(kOverload);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\n");
}

TEST(RetentionTest, AppliesTheRules) {
  constexpr auto kShort = 1min;
  constexpr auto kLong = 61min;
  for (const bool missed : {false, true}) {
    for (const auto age : {kShort, kLong}) {
      EXPECT_EQ(decide(Ending::succeeded, Keep::reading, missed, age), Retention::drop);
      EXPECT_EQ(decide(Ending::succeeded, Keep::fact, missed, age), Retention::drop);
      EXPECT_EQ(decide(Ending::failed, Keep::fact, missed, age), Retention::keep);
      EXPECT_EQ(decide(Ending::overloaded, Keep::fact, missed, age), Retention::renew);
      EXPECT_EQ(decide(Ending::failed, Keep::reading, missed, age),
                missed ? Retention::drop : Retention::keep);
    }
    EXPECT_EQ(decide(Ending::overloaded, Keep::reading, missed, kShort), Retention::renew);
    EXPECT_EQ(decide(Ending::overloaded, Keep::reading, missed, kLong), Retention::drop);
  }
}

// A linear search took 0.7 s of the probe loop for 10,000 parts.
TEST_F(LedgerTest, FindsManyPartsQuickly) {
  const auto run = [&](int from, int to) {
    returned([&](SampleSet& out) {
      for (int i = from; i < to; ++i) {
        Part& part = out.part("part " + std::to_string(i));
        part.add(kReading, i);
      }
    });
  };
  const auto parts = [&] { return std::ranges::count(published(), '\n'); };
  run(0, 3);
  EXPECT_EQ(parts(), 1);  // both parts have the same labels, so only one is published
  const auto start = std::chrono::steady_clock::now();
  run(0, 50'000);
  run(25'000, 75'000);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

// ---- the framework's own series -----------------------------------------------------------------

TEST_F(LedgerTest, FrameworkSeriesHaveNoRetention) {
  framework.add(kFramework, 1);
  returned([](SampleSet& out) { out.add(kReading, 1); });
  EXPECT_EQ(published(), "reading{probe=\"p\"} 1\nsuccess{probe=\"p\"} 1\n");
  framework = {};
  threw(kFailure);
  EXPECT_EQ(published(), "reading{probe=\"p\"} 1\n");
}

TEST_F(LedgerTest, PublishesFrameworkSeriesOnly) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.part("a").add(kObject, 1, "a");
  });
  framework.add(kFramework, 0);
  for (int i = 0; i < 3; ++i) ledger->publish(framework);
  EXPECT_EQ(published(),
            "object_fact{probe=\"p\",name=\"a\"} 1\n"
            "reading{probe=\"p\"} 1\n"
            "success{probe=\"p\"} 0\n");
}

// ---- expiry -------------------------------------------------------------------------------------

TEST_F(LedgerTest, OldReadingsExpireAndFactsDoNot) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kFact, 1);
    out.part("a").add(kReading, 2);
    out.part("a").add(kOther, 2);
  });
  threw(kFailure, [](SampleSet& out) { out.add(kReading, 3); });
  ledger->expire(Ledger::Time(1000s));  // "before", so nothing yet
  ledger->expire(Ledger::Time(1001s));
  EXPECT_EQ(published(), "fact{probe=\"p\"} 1\nreading{probe=\"p\"} 3\n");
  ledger->expire(Ledger::Time(1010s));
  EXPECT_EQ(published(), "fact{probe=\"p\"} 1\nreading{probe=\"p\"} 3\n");
  ledger->expire(now);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 1\n");
}

TEST_F(LedgerTest, FrameworkSeriesDoNotExpire) {
  framework.add(kFramework, 0);
  ledger->publish(framework);
  ledger->expire(now);
  EXPECT_EQ(published(), "success{probe=\"p\"} 0\n");
}

// ---- the end ------------------------------------------------------------------------------------

TEST_F(LedgerTest, DestructionRemovesAllLines) {
  framework.add(kFramework, 1);
  returned([](SampleSet& out) {
    out.add(kFact, 1);
    out.part("a").add(kObject, 1, "a");
    out.attach(fragment(kReading, "reading{} 1\n"));
  });
  ledger.reset();
  EXPECT_EQ(test::page(exposition), "");
  EXPECT_FALSE(exposition.has_owner("p"));
}

}  // namespace
}  // namespace vitalsd
