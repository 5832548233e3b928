// The rules for parts, and samples that are published twice.
#include "exporter/model/ledger.hpp"

#include "unit/model/ledger_fixture.hpp"
#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::kFact;
using test::kFailure;
using test::kObject;
using test::kOther;
using test::kReading;
using test::LedgerTest;

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

}  // namespace
}  // namespace vitalsd
