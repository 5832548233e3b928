#include "probes/kubernetes/logs/log_counts.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

constexpr std::int64_t kStart = 1795435200 * LogPosition::kSecond;

net::Pattern pattern(std::string_view text) {
  return config::Scalar<net::Pattern>::parse(text).value();
}

std::vector<LogPattern> patterns() {
  return {{.name = "error", .match = pattern("ERROR"), .exclude = pattern("ignored")},
          {.name = "login", .match = pattern("(?i)login failed")}};
}

using Numbers = std::vector<std::uint64_t>;

struct LogCountsTest : testing::Test {
  LogCountsTest() { counts.start(kStart); }
  [[nodiscard]] Numbers published() const { return counts.rows().at({"web", "api"}).saved; }

  LogCounts counts{patterns()};
};

TEST_F(LogCountsTest, CountsEachPatternOncePerLine) {
  LogCounts::Row& row = counts.row("web", "api");
  for (const char* line :
       {"ERROR ERROR", "an ERROR, ignored", "ERROR: Login FAILED", "well", "", "\xFF ERROR \x80"}) {
    counts.count(row, line);
  }
  EXPECT_EQ(row.current, (Numbers{3, 1}));
}

TEST_F(LogCountsTest, PublishesSavedCountsOnly) {
  LogCounts::Row& row = counts.row("web", "api");
  EXPECT_EQ(published(), (Numbers{0, 0}));
  counts.saved();  // of a text that was serialized before the row existed
  EXPECT_EQ(published(), (Numbers{0, 0}));
  counts.count(row, "ERROR");
  const std::uint64_t version = counts.version();
  counts.serialize();
  counts.count(row, "ERROR");
  EXPECT_GT(counts.version(), version);
  EXPECT_EQ(published(), (Numbers{0, 0}));
  counts.saved();
  EXPECT_EQ(published(), (Numbers{1, 0}));
}

TEST_F(LogCountsTest, RestoresCountsAndPositions) {
  counts.count(counts.row("web", "api"), "ERROR login failed");
  counts.row("web", "\"quoted\"");
  LogPosition& position = counts.position("uid-1/api");
  EXPECT_TRUE(position.take(kStart + 5));
  EXPECT_TRUE(position.take(kStart + 5));
  counts.position("uid-2/api");  // no line has been read
  const std::string text = counts.serialize();

  LogCounts restored(patterns());
  restored.restore(text);
  EXPECT_EQ(restored.rows().size(), 2U);
  EXPECT_EQ(restored.rows().at({"web", "api"}).saved, (Numbers{1, 1}));
  EXPECT_EQ(restored.rows().at({"web", "api"}).current, (Numbers{1, 1}));
  restored.start(kStart + 1'000'000);  // counting has started before
  EXPECT_EQ(restored.position("uid-1/api").state(), position.state());
  EXPECT_TRUE(restored.position("uid-2/api").take(kStart));
  EXPECT_FALSE(restored.position("uid-3/api").take(kStart - 1));
  EXPECT_EQ(restored.rows().begin()->second.last_seen, counts.rows().begin()->second.last_seen);
}

TEST_F(LogCountsTest, IgnoresMalformedState) {
  counts.count(counts.row("web", "api"), "ERROR");
  const std::string good = counts.serialize();
  for (std::size_t size = 0; size < good.size(); ++size) {
    LogCounts other(patterns());
    other.restore(good.substr(0, size));
    EXPECT_TRUE(other.rows().empty());
    EXPECT_EQ(other.version(), 0U);
  }
  for (const char* text : {"[]", R"({"begun":0})", R"({"begun":"0","positions":{},"counts":[]})",
                           R"({"begun":0,"positions":{"a/b":[1,2]},"counts":[]})",
                           R"({"begun":0,"positions":{"a/b":[1,-2,0]},"counts":[]})",
                           R"({"begun":0,"positions":{},"counts":[{}]})"}) {
    LogCounts other(patterns());
    other.restore(text);
    EXPECT_EQ(other.version(), 0U) << text;
  }
}

TEST_F(LogCountsTest, KeepsCountsOfPatternsByName) {
  counts.count(counts.row("web", "api"), "ERROR");
  counts.serialize();
  counts.saved();
  const std::vector<LogPattern> other = {{.name = "warning", .match = pattern("WARN")},
                                         {.name = "error", .match = pattern("FATAL")}};
  LogCounts restored(other);
  restored.restore(counts.serialize());
  EXPECT_EQ(restored.rows().at({"web", "api"}).saved, (Numbers{0, 1}));
  counts.set_patterns(other);
  EXPECT_EQ(published(), (Numbers{0, 1}));
  counts.count(counts.row("web", "api"), "FATAL");
  EXPECT_EQ(counts.rows().at({"web", "api"}).current, (Numbers{0, 2}));
}

// A pod that leaves a selector and returns is the same to the watch as one that is deleted.
TEST_F(LogCountsTest, KeepsThePositionsOfDeletedPodsForAWhile) {
  constexpr std::int64_t kNow = kStart / LogPosition::kSecond;
  EXPECT_TRUE(counts.position("a/back/api").take(kStart));
  EXPECT_TRUE(counts.position("a/gone/api").take(kStart));
  counts.position("a/silent/api");
  counts.forget("a/back/api", kNow);
  counts.forget("a/gone/api", kNow);
  counts.forget("a/silent/api", kNow);
  counts.forget("a/unknown/api", kNow);
  counts.forget_unless([](const std::string&) { return false; }, kNow);
  EXPECT_EQ(counts.position("a/back/api").state().in_second, 1U);

  counts.forget("a/unknown/api", kNow + LogCounts::kPositionRetention + 1);
  EXPECT_EQ(counts.position("a/back/api").state().in_second, 1U);
  EXPECT_EQ(counts.position("a/gone/api").state().in_second, 0U);
}

// Whether a pod was deleted or only left the selector is not saved.
TEST_F(LogCountsTest, KeepsRestoredPositionsForAWhile) {
  constexpr std::int64_t kNow = kStart / LogPosition::kSecond;
  constexpr std::int64_t kLater = kNow + LogCounts::kPositionRetention;
  const auto none = [](const std::string&) { return false; };
  EXPECT_TRUE(counts.position("a/back/api").take(kStart));
  EXPECT_TRUE(counts.position("a/gone/api").take(kStart));
  LogCounts restored(counts.patterns());
  restored.restore(counts.serialize());
  restored.forget_unless(none, kNow);
  restored.forget_unless(none, kLater);
  EXPECT_EQ(restored.position("a/back/api").state().in_second, 1U);
  restored.forget_unless(none, kLater + 1);
  EXPECT_EQ(restored.position("a/gone/api").state().in_second, 0U);
}

TEST_F(LogCountsTest, RemovesDeletedPodsAndOldRows) {
  counts.position("deleted/api");
  counts.position("existing/api");
  EXPECT_TRUE(counts.position("deleted/api").take(kStart));
  EXPECT_TRUE(counts.position("existing/api").take(kStart));
  const auto exists = [](const std::string& name) { return name == "existing/api"; };
  counts.forget_unless(exists, 0);
  counts.forget_unless(exists, LogCounts::kPositionRetention + 1);
  std::string text = counts.serialize();
  EXPECT_FALSE(text.contains("deleted"));
  EXPECT_TRUE(text.contains("existing/api"));

  ++counts.row("web", "existing").containers;
  counts.row("web", "deleted");
  text = counts.serialize();
  const std::string now = std::to_string(counts.rows().begin()->second.last_seen);
  for (std::size_t at = text.find(now); at != std::string::npos; at = text.find(now, at + 1)) {
    const std::int64_t long_ago = std::stoll(now) - LogCounts::kRetention - 60;
    text.replace(at, now.size(), std::to_string(long_ago));
  }
  LogCounts later(patterns());
  later.restore(text);
  EXPECT_EQ(later.rows().size(), 2U);
  ++later.row("web", "existing").containers;
  later.serialize();
  ASSERT_EQ(later.rows().size(), 1U);
  EXPECT_EQ(later.rows().begin()->first.second, "existing");
}

}  // namespace
}  // namespace vitalsd::kubernetes
