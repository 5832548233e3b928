#include "probes/page/dropped.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::page {
namespace {

using testing::HasSubstr;

TEST(DroppedLines, NamesAllReasonsWithTheExamplesOfTheFirstPage) {
  DroppedLines first;
  first.add(Dropped::declared, 2, "pg_up");
  first.add(Dropped::declared, 1, "process_open_fds");
  first.add(Dropped::count, 5, "h");  // is published
  DroppedLines second;
  second.add(Dropped::declared, 1, "redis_up");
  second.add(Dropped::invalid, 1, "line 7");
  DroppedLines all;
  all.add(first, "http://a/metrics");
  all.add(second, "http://b/metrics");
  EXPECT_EQ(all.total(), 5U);
  EXPECT_EQ(all.text(),
            "1 invalid: line 7 (http://b/metrics); "
            "4 declared: pg_up, process_open_fds (http://a/metrics)");
}

TEST(DroppedLines, HasNoTextWithoutLines) {
  EXPECT_EQ(DroppedLines().text(), "");
  DroppedLines replaced;
  replaced.add(Dropped::count, 1, "h");
  EXPECT_EQ(replaced.text(), "");
}

// A page chooses the names of its families.
TEST(DroppedLines, LongExamplesHideNoReason) {
  DroppedLines page;
  for (std::size_t i = 0; i < kDroppedNames.size(); ++i) {
    for (const char c : {'a', 'b', 'c', 'd'}) {
      page.add(static_cast<Dropped>(i), std::size_t{1} << 61, std::string(100'000, c));
    }
  }
  const std::string text = page.text();
  EXPECT_LE(text.size(), 480U);
  for (const std::string_view name : kDroppedNames) {
    if (name != "count") EXPECT_THAT(text, HasSubstr(" " + std::string(name) + ": aaa"));
  }
}

}  // namespace
}  // namespace vitalsd::page
