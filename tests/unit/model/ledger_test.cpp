// The rules for readings and facts, one test per rule.
#include "exporter/model/ledger.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

constexpr Metric kReading({.name = "reading", .help = "True only now."});
constexpr Metric kOther({.name = "other_reading", .help = "Also true only now."});
constexpr Metric kFact({.name = "fact", .help = "True until observed again.", .keep = Keep::fact});
constexpr Metric kObject(
    {.name = "object_fact", .help = "A fact about one of many.", .keep = Keep::fact}, "name");
constexpr Metric kFramework({.name = "success", .help = "How the run went."});

const Failure kFailure{Reason::connect, "refused"};
const Failure kOverload{Reason::overload, "too many clients"};

class LedgerTest : public testing::Test {
 protected:
  using Fill = std::function<void(SampleSet&)>;

  // Publishes a run that filled its set and then returned or threw.
  void returned(const Fill& fill) { run(fill, std::nullopt); }
  void threw(const Failure& failure, const Fill& fill = [](SampleSet&) {}) { run(fill, failure); }

  void run(const Fill& fill, const std::optional<Failure>& thrown) {
    SampleSet set;
    fill(set);
    ledger->publish(set, thrown, framework, now);
    now += 10s;
  }

  [[nodiscard]] std::string published() const { return test::samples(exposition); }

  Exposition exposition;
  std::optional<Ledger> ledger{std::in_place, exposition, "p", R"(probe="p")"};
  Part framework;
  Ledger::Time now{1000s};
};

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
  EXPECT_EQ(parts(), 1);  // the same labels: one is published
  const auto start = std::chrono::steady_clock::now();
  run(0, 50'000);
  run(25'000, 75'000);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

// ---- parts --------------------------------------------------------------------------------------

TEST_F(LedgerTest, EachPartFollowsItsOwnOutcome) {
  returned([](SampleSet& out) {
    out.part("bad").add(kObject, 1, "bad");
    out.part("bad").add(kReading, 1);
    out.part("good").add(kObject, 1, "good");
  });
  for (int i = 0; i < 2; ++i) {
    returned([](SampleSet& out) {
      out.part("bad").fail(Reason::connect, "refused");
      out.part("good").add(kObject, 2, "good");
    });
  }
  EXPECT_EQ(published(),
            "object_fact{probe=\"p\",name=\"bad\"} 1\n"
            "object_fact{probe=\"p\",name=\"good\"} 2\n");
}

TEST_F(LedgerTest, RemovesPartsMissingInAReturnedRun) {
  returned([](SampleSet& out) {
    out.part("a").add(kObject, 1, "a");
    out.part("b").add(kObject, 1, "b");
  });
  returned([](SampleSet& out) { out.part("b").fail(Reason::connect, "refused"); });
  EXPECT_EQ(published(), "object_fact{probe=\"p\",name=\"b\"} 1\n");
  returned([](SampleSet&) {});
  EXPECT_EQ(published(), "");
}

TEST_F(LedgerTest, KeepsPartsMissingInAThrownRun) {
  const auto both = [](SampleSet& out) {
    for (const char* name : {"a", "b"}) {
      out.part(name).add(kObject, 1, name);
      if (*name == 'a') out.part(name).add(kReading, 1);
      if (*name == 'b') out.part(name).add(kOther, 1);
    }
  };
  returned(both);
  const auto only_a = [](SampleSet& out) {
    out.part("a").add(kObject, 2, "a");
    out.part("a").add(kReading, 2);
    out.part("a").complete();
  };
  threw(kFailure, only_a);
  EXPECT_EQ(published(),
            "object_fact{probe=\"p\",name=\"a\"} 2\n"
            "object_fact{probe=\"p\",name=\"b\"} 1\n"
            "other_reading{probe=\"p\"} 1\n"
            "reading{probe=\"p\"} 2\n");
  threw(kFailure, only_a);  // removes the reading of b and keeps the fact
  EXPECT_EQ(published(),
            "object_fact{probe=\"p\",name=\"a\"} 2\n"
            "object_fact{probe=\"p\",name=\"b\"} 1\n"
            "reading{probe=\"p\"} 2\n");
}

TEST_F(LedgerTest, CompletePartOfAThrownRunSucceeds) {
  returned([](SampleSet& out) {
    out.part("a").add(kObject, 1, "a");
    out.part("b").add(kFact, 1);
  });
  threw(kFailure, [](SampleSet& out) {
    out.part("a").complete();  // observed, without samples
    out.part("b").add(kReading, 2);
  });
  EXPECT_EQ(published(), "fact{probe=\"p\"} 1\nreading{probe=\"p\"} 2\n");
}

TEST_F(LedgerTest, OverloadOfAPartAppliesToThePart) {
  returned([](SampleSet& out) { out.part("a").add(kReading, 1); });
  for (int i = 0; i < 3; ++i) {
    returned([](SampleSet& out) { out.part("a").fail(Reason::overload, "full"); });
  }
  EXPECT_EQ(published(), "reading{probe=\"p\"} 1\n");
}

TEST_F(LedgerTest, FailureOfTheProbeDoesNotAffectParts) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.part("a").add(kObject, 1, "a");
  });
  returned([](SampleSet& out) {
    out.fail(Reason::mismatch, "odd");
    out.part("a").add(kObject, 2, "a");
  });
  EXPECT_EQ(published(), "object_fact{probe=\"p\",name=\"a\"} 2\nreading{probe=\"p\"} 1\n");
}

// ---- duplicates ---------------------------------------------------------------------------------

TEST_F(LedgerTest, DuplicatesAreDroppedAndCounted) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kReading, 2);
  });
  EXPECT_EQ(published(), "reading{probe=\"p\"} 1\n");
  EXPECT_EQ(ledger->duplicates(), 1U);
}

TEST_F(LedgerTest, DuplicatesInTwoPartsAreDroppedAndCounted) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.part("a").add(kReading, 2);
    out.part("a").add(kObject, 2, "x");
    out.part("b").add(kObject, 3, "x");
    out.part("b").add(kObject, 3, "y");
  });
  EXPECT_EQ(published(),
            "object_fact{probe=\"p\",name=\"x\"} 2\n"
            "object_fact{probe=\"p\",name=\"y\"} 3\n"
            "reading{probe=\"p\"} 1\n");
  EXPECT_EQ(ledger->duplicates(), 2U);
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

TEST_F(LedgerTest, PartsOfOneInstanceHaveUniqueLabels) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    for (const char* name : {"n1", "n2"}) {
      out.part(name).set_instance(name);
      out.part(name).add(kReading, 2);
    }
    out.part("n2 again").set_instance("n2");
    out.part("n2 again").add(kReading, 3);
  });
  EXPECT_EQ(published(),
            "reading{probe=\"p\"} 1\n"
            "reading{probe=\"p\",instance=\"n1\"} 2\n"
            "reading{probe=\"p\",instance=\"n2\"} 2\n");
  EXPECT_EQ(ledger->duplicates(), 1U);
}

// ---- facts that survive a restart ---------------------------------------------------------------

const std::vector<const MetricInfo*> kKnown = {&kReading, &kFact, &kObject};

TEST_F(LedgerTest, FactsCanBeStored) {
  returned([](SampleSet& out) {
    out.add(kReading, 1);
    out.add(kFact, 2);
    out.part("a/b").add(kObject, 3, "x\ny");
  });
  EXPECT_EQ(ledger->facts(),
            (std::vector<StoredFact>{{"", "fact", {}, 2}, {"a/b", "object_fact", {"x\ny"}, 3}}));
}

TEST_F(LedgerTest, StoresThePublishedFacts) {
  returned([](SampleSet& out) { out.add(kObject, 1, "a"); });
  threw(kFailure, [](SampleSet& out) { out.add(kFact, 2); });
  EXPECT_EQ(ledger->facts(),
            (std::vector<StoredFact>{{"", "fact", {}, 2}, {"", "object_fact", {"a"}, 1}}));
  returned([](SampleSet& out) { out.add(kFact, 3); });
  EXPECT_EQ(ledger->facts(), (std::vector<StoredFact>{{"", "fact", {}, 3}}));
}

TEST_F(LedgerTest, RestoredFactsEqualObservedFacts) {
  const std::vector<StoredFact> facts = {{"", "fact", {}, 2}, {"a", "object_fact", {"x"}, 3}};
  ledger->restore(facts, kKnown);
  EXPECT_EQ(published(), "fact{probe=\"p\"} 2\nobject_fact{probe=\"p\",name=\"x\"} 3\n");
  EXPECT_EQ(ledger->facts(), facts);
  threw(kFailure);
  EXPECT_EQ(ledger->facts(), facts);
  returned([](SampleSet& out) { out.part("a").add(kObject, 4, "x"); });
  EXPECT_EQ(published(), "object_fact{probe=\"p\",name=\"x\"} 4\n");
}

TEST_F(LedgerTest, FactsKeepTheirInstance) {
  const auto observe = [&](const char* instance) {
    returned([&](SampleSet& out) {
      out.part("a").set_instance(instance);
      out.part("a").add(kFact, 2);
    });
  };
  observe("n1");
  const std::vector<StoredFact> facts = ledger->facts();
  EXPECT_EQ(facts, (std::vector<StoredFact>{{"a", "fact", {}, 2, "n1"}}));
  const std::uint64_t version = ledger->fact_version();
  observe("n2");
  EXPECT_GT(ledger->fact_version(), version);
  ledger->restore(facts, kKnown);
  EXPECT_EQ(published(), "fact{probe=\"p\",instance=\"n1\"} 2\n");
}

TEST_F(LedgerTest, IgnoresStoredFactsOfChangedMetrics) {
  ledger->restore({{"", "removed", {}, 1},
                   {"", "reading", {}, 1},  // now a reading
                   {"", "fact", {"one too many"}, 1},
                   {"", "object_fact", {}, 1}},
                  kKnown);
  EXPECT_EQ(published(), "");
}

TEST_F(LedgerTest, FactVersionIncreasesWithChanges) {
  const auto version_after = [&](const Fill& fill) {
    returned(fill);
    return ledger->fact_version();
  };
  const std::uint64_t first = version_after([](SampleSet& out) {
    out.add(kFact, 1);
    out.part("a").add(kObject, 1, "a");
  });
  const std::uint64_t same = version_after([](SampleSet& out) {
    out.add(kFact, 1);
    out.add(kReading, 7);
    out.part("a").add(kObject, 1, "a");
  });
  EXPECT_EQ(same, first);
  const std::uint64_t changed = version_after([](SampleSet& out) {
    out.add(kFact, 2);
    out.part("a").add(kObject, 1, "a");
  });
  EXPECT_GT(changed, same);
  EXPECT_GT(version_after([](SampleSet& out) { out.add(kFact, 2); }), changed);
}

// ---- fragments ----------------------------------------------------------------------------------

Fragment fragment(const MetricInfo& metric, std::string lines) {
  const std::size_t size = lines.size();
  return to_fragment({std::move(lines), {{&metric, 0, size}}});
}

TEST_F(LedgerTest, LargeFragmentsAreNotCopied) {
  const auto large = fragment(kReading, std::string(Exposition::kKeptSize, 'x') + '\n');
  returned([&](SampleSet& out) { out.attach(large); });
  const auto page = exposition.page(Format::text, {}, {});
  EXPECT_TRUE(std::ranges::any_of(page->pieces(), [&](std::string_view piece) {
    return piece.data() == large->front().lines.data();
  }));
}

TEST_F(LedgerTest, FragmentsStayUntilTheyAreReplaced) {
  const auto a = fragment(kReading, "reading{a} 1\n");
  const auto b = fragment(kReading, "reading{b} 1\n");
  returned([&](SampleSet& out) {
    out.attach(a);
    out.attach(b);
  });
  EXPECT_EQ(published(), "reading{a} 1\nreading{b} 1\n");
  returned([&](SampleSet& out) {
    out.attach(nullptr);  // b keeps its position
    out.attach(b);
    out.attach(fragment(kOther, "other_reading{c} 1\n"));
  });
  EXPECT_EQ(published(), "other_reading{c} 1\nreading{b} 1\n");
  returned([&](SampleSet& out) {
    out.attach(a);
    out.attach(fragment(kReading, "reading{b} 2\n"));
  });
  EXPECT_EQ(published(), "reading{b} 2\nreading{a} 1\n");
  returned([](SampleSet&) {});
  EXPECT_EQ(published(), "");
}

TEST_F(LedgerTest, FragmentsOfReadingsSurviveOneFailedRun) {
  const auto reading = fragment(kReading, "reading{} 1\n");
  const auto fact = fragment(kFact, "fact{} 1\n");
  returned([&](SampleSet& out) {
    out.attach(reading);
    out.attach(fact);
  });
  threw(kFailure);
  EXPECT_EQ(published(), "fact{} 1\nreading{} 1\n");
  threw(kFailure);
  EXPECT_EQ(published(), "fact{} 1\n");
}

TEST_F(LedgerTest, FragmentsOfAFailedRunReplaceTheSameFamilies) {
  returned([](SampleSet& out) {
    out.attach(fragment(kReading, "reading{} 1\n"));
    out.attach(fragment(kOther, "other_reading{} 1\n"));
    out.add(kFact, 1);
  });
  returned([](SampleSet& out) {
    out.fail(Reason::unready, "incomplete");
    out.attach(fragment(kReading, "reading{} 2\n"));  // the same position, rendered again
    out.attach(nullptr);
    out.attach(fragment(kFact, "fact{} 2\n"));
  });
  EXPECT_EQ(published(), "fact{} 2\nother_reading{} 1\nreading{} 2\n");
}

TEST_F(LedgerTest, FragmentsOfReadingsExpire) {
  returned([](SampleSet& out) {
    out.attach(fragment(kReading, "reading{} 1\n"));
    out.attach(fragment(kFact, "fact{} 1\n"));
  });
  ledger->expire(now);
  EXPECT_EQ(published(), "fact{} 1\n");
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
