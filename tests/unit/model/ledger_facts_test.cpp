// Facts that survive a restart.
#include "exporter/model/ledger.hpp"

#include <cstdint>
#include <vector>

#include "unit/model/ledger_fixture.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::kFact;
using test::kFailure;
using test::kObject;
using test::kReading;
using test::LedgerTest;

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

}  // namespace
}  // namespace vitalsd
