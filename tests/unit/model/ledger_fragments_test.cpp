// The rules for fragments.
#include "exporter/model/ledger.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "unit/model/ledger_fixture.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::fragment;
using test::kFact;
using test::kFailure;
using test::kOther;
using test::kReading;
using test::LedgerTest;

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

}  // namespace
}  // namespace vitalsd
