#include "probes/kubernetes/logs/log_lines.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

constexpr std::int64_t kSecond = LogPosition::kSecond;
constexpr std::int64_t kNoon = 1795435200 * kSecond;  // 2026-11-23T12:00:00Z

using Lines = std::vector<std::pair<std::int64_t, std::string>>;

Lines read(std::string_view text, std::size_t piece) {
  Lines lines;
  LogReader reader([&](std::int64_t at, std::string_view line, bool is_truncated) {
    lines.emplace_back(at, std::string(line) + (is_truncated ? "..." : ""));
  });
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    reader.feed(text.substr(0, piece));
  }
  return lines;
}

TEST(LogReader, SplitsLinesInPiecesOfAnySize) {
  const std::string text =
      "2026-11-23T12:00:00.000000001Z first\n"
      "2026-11-23T13:00:01.5+01:00 \n"
      "2026-11-23T12:00:02Z\n"
      "2026-11-23T12:00:03.123456789Z  two  spaces \t\xE9\n"
      "2026-11-23T12:00:04Z cut o";
  const Lines lines = {{kNoon + 1, "first"},
                       {kNoon + kSecond * 3 / 2, ""},
                       {kNoon + 2 * kSecond, ""},
                       {kNoon + 3 * kSecond + 123456789, " two  spaces \t\xE9"}};
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    EXPECT_EQ(read(text, piece), lines) << piece;
  }
}

TEST(LogReader, TruncatesLongLines) {
  const std::string longest(LogReader::kMaxLine, 'x');
  const std::string text =
      "2026-11-23T12:00:00Z " + longest + longest + " ERROR\n2026-11-23T12:00:01Z next\n";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4096}, longest.size(), text.size()}) {
    const Lines lines = read(text, piece);
    ASSERT_EQ(lines.size(), 2U) << piece;
    EXPECT_EQ(lines[0].second, longest.substr(21) + "...") << piece;
    EXPECT_EQ(lines[1], (Lines::value_type{kNoon + kSecond, "next"})) << piece;
  }
}

TEST(LogReader, ReturnsMessagesOfTheKubelet) {
  int lines = 0;
  LogReader reader([&](std::int64_t, std::string_view, bool) { ++lines; });
  const std::string complaint = "unable to retrieve container logs for containerd://0815";
  reader.feed("2026-11-23T12:00:00Z fine\n" + complaint + "\n");
  EXPECT_EQ(reader.complaint(), complaint);
  EXPECT_EQ(lines, 1);
  reader.feed("2026-11-23T12:00:00Z fine again\n");
  EXPECT_EQ(reader.complaint(), "");
  reader.feed(std::string(1'000, '?') + "\n\n2026");
  EXPECT_EQ(reader.complaint(), "");
  reader.feed("-11-23T12:00:00.Z no time\n");
  EXPECT_EQ(reader.complaint(), "2026-11-23T12:00:00.Z no time");
  reader.reset();
  EXPECT_EQ(reader.complaint(), "");
  EXPECT_EQ(lines, 2);
}

// ---- positions ----------------------------------------------------------------------------------

// A container's log. A response contains the lines from a second on, in their order.
struct Log {
  std::vector<std::int64_t> lines;

  // Reads the first `size` lines from `position` on and returns the number of new ones.
  [[nodiscard]] int read(LogPosition& position, std::size_t size) const {
    int new_lines = 0;
    position.rewind();
    for (std::size_t i = 0; i < std::min(size, lines.size()); ++i) {
      if (lines[i] >= position.since() * kSecond && position.take(lines[i])) ++new_lines;
    }
    return new_lines;
  }
};

TEST(LogPosition, CountsEachLineOnceWhenStreamsBreak) {
  // Equal timestamps, timestamps that decrease a little, gaps of a second and of many seconds.
  const Log log{{kNoon + 5, kNoon + 5, kNoon + 5, kNoon + 900, kNoon + 899, kNoon + 900,
                 kNoon + kSecond, kNoon + kSecond - 1, kNoon + kSecond, kNoon + 2 * kSecond - 1,
                 kNoon + 2 * kSecond, kNoon + 2 * kSecond - 1, kNoon + 2 * kSecond,
                 kNoon + 60 * kSecond, kNoon + 60 * kSecond + 7, kNoon + 60 * kSecond + 3}};
  const std::size_t size = log.lines.size();
  for (std::size_t first = 0; first <= size; ++first) {
    for (std::size_t second = first; second <= size; ++second) {
      LogPosition position(kNoon);
      EXPECT_EQ(log.read(position, first), first);
      EXPECT_EQ(log.read(position, second), second - first) << first << ' ' << second;
      LogPosition restarted(kNoon, position.state());
      EXPECT_EQ(log.read(restarted, size), size - second) << first << ' ' << second;
      EXPECT_EQ(log.read(restarted, size), 0);
    }
  }
}

TEST(LogPosition, SkipsLinesBeforeTheStart) {
  LogPosition position(kNoon + 500);
  EXPECT_EQ(position.since(), kNoon / kSecond);
  const Log log{{kNoon, kNoon + 499, kNoon + 500, kNoon + 501}};
  EXPECT_EQ(log.read(position, 3), 1);
  EXPECT_EQ(position.since(), kNoon / kSecond);
  EXPECT_EQ(log.read(position, 4), 1);
}

TEST(LogPosition, CountsAllLinesAfterALogRotation) {
  LogPosition position(kNoon);
  const Log before{{kNoon + 1, kNoon + 1, kNoon + 2, kNoon + 3}};
  EXPECT_EQ(before.read(position, 4), 4);
  const Log after{{kNoon + 3, kNoon + 4, kNoon + 5}};  // the first three lines are in the old file
  EXPECT_EQ(after.read(position, 3), 2);
  EXPECT_EQ(after.read(position, 3), 0);
}

TEST(LogPosition, ContinuesWithTheNextInstance) {
  LogPosition position(kNoon);
  const Log first{{kNoon + 1, kNoon + 2, kNoon + 3}};
  const Log second{{kNoon + 4, kNoon + 4, kNoon + kSecond}};
  EXPECT_EQ(first.read(position, 2), 2);
  EXPECT_EQ(first.read(position, 3), 1);   // as the previous instance
  EXPECT_EQ(second.read(position, 2), 2);  // the current instance
  EXPECT_EQ(first.read(position, 3), 0);   // again, from the beginning
  EXPECT_EQ(second.read(position, 3), 1);
}

}  // namespace
}  // namespace vitalsd::kubernetes
