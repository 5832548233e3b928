#include "probes/error.hpp"
#include "probes/net/redis_connection.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/loop.hpp"
#include "unit/support/readers.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using testing::HasSubstr;
using Kind = RedisReply::Kind;

// All complete replies in the bytes, which are fed at once or in pieces of the given size.
std::vector<RedisReply> read_all(std::string_view bytes, std::size_t piece = SIZE_MAX) {
  RespReader reader;
  std::vector<RedisReply> replies;
  for (std::size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size())) {
    reader.feed(bytes.substr(at, piece));
    while (auto reply = reader.next()) replies.push_back(std::move(*reply));
  }
  return replies;
}

// The reader's error for invalid bytes.
std::string refusal(std::string_view bytes) {
  return test::protocol_error_of([&] { read_all(bytes); });
}

TEST(RespReaderTest, ReadsEachKindOfReply) {
  const auto replies =
      read_all("+OK\r\n-ERR no\r\n:-12\r\n$5\r\na\r\nbc\r\n$-1\r\n*-1\r\n$0\r\n\r\n");
  ASSERT_EQ(replies.size(), 7U);
  EXPECT_EQ(replies[0].kind, Kind::text);
  EXPECT_EQ(replies[0].text, "OK");
  EXPECT_EQ(replies[1].kind, Kind::error);
  EXPECT_EQ(replies[1].text, "ERR no");
  EXPECT_EQ(replies[2].kind, Kind::integer);
  EXPECT_EQ(replies[2].integer, -12);
  EXPECT_EQ(replies[3].kind, Kind::text);
  EXPECT_EQ(replies[3].text, "a\r\nbc");
  EXPECT_EQ(replies[4].kind, Kind::nil);
  EXPECT_EQ(replies[5].kind, Kind::nil);
  EXPECT_EQ(replies[6].kind, Kind::text);
  EXPECT_EQ(replies[6].text, "");
}

TEST(RespReaderTest, ReadsNestedLists) {
  const auto replies = read_all("*3\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n*0\r\n");
  ASSERT_EQ(replies.size(), 1U);
  const std::vector<RedisReply>& items = replies[0].items;
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[0].integer, 1);
  ASSERT_EQ(items[1].items.size(), 2U);
  EXPECT_EQ(items[1].items[0].text, "x");
  EXPECT_EQ(items[1].items[1].kind, Kind::nil);
  EXPECT_EQ(items[2].kind, Kind::list);
  EXPECT_TRUE(items[2].items.empty());
}

TEST(RespReaderTest, ReadsPiecesOfAnySize) {
  const std::string bytes = "*3\r\n$8\r\nnew\r\nrow\r\n:4096\r\n-ERR x\r\n";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const auto replies = read_all(bytes, piece);
    ASSERT_EQ(replies.size(), 1U) << piece;
    ASSERT_EQ(replies[0].items.size(), 3U) << piece;
    EXPECT_EQ(replies[0].items[0].text, "new\r\nrow") << piece;
    EXPECT_EQ(replies[0].items[1].integer, 4096) << piece;
    EXPECT_EQ(replies[0].items[2].text, "ERR x") << piece;
  }
}

TEST(RespReaderTest, ReturnsNothingBeforeAReplyIsComplete) {
  RespReader reader;
  EXPECT_FALSE(reader.next());
  reader.feed("$4\r\nhal");
  EXPECT_FALSE(reader.next());
  reader.feed("f\r\n");
  EXPECT_EQ(reader.next().value().text, "half");
  EXPECT_FALSE(reader.next());
}

TEST(RespReaderTest, RejectsInvalidResp2) {
  for (const std::string_view bytes :
       {"HTTP/1.1 400 Bad Request\r\n", "%1\r\n+a\r\n+b\r\n", "_\r\n", ":12x\r\n", "$x\r\n"}) {
    EXPECT_THAT(refusal(bytes), HasSubstr("not RESP2: ")) << bytes;
  }
}

TEST(RespReaderTest, LimitsAReplyToOneMebibyte) {
  constexpr std::size_t kMax = std::size_t{1} << 20;
  const std::string head = "$1000000\r\n";
  RespReader reader;
  reader.feed(head);
  reader.feed(std::string(kMax - head.size(), 'x'));
  EXPECT_THROW(reader.feed("x"), ProbeError);
  EXPECT_EQ(refusal("+" + std::string(kMax, 'x')), "the reply is larger than 1048576 bytes");
}

TEST(RespReaderTest, AppliesItsLimitsToEachReply) {
  RespReader reader;
  const std::string text = "$600000\r\n" + std::string(600'000, 'x') + "\r\n";
  std::string list = "*6000\r\n";
  for (int i = 0; i < 6000; ++i) list += ":1\r\n";
  for (int i = 0; i < 3; ++i) {
    reader.feed(text);
    EXPECT_EQ(reader.next().value().text.size(), 600'000U);
    reader.feed(list);
    EXPECT_EQ(reader.next().value().items.size(), 6000U);
  }
}

TEST(RespReaderTest, RejectsMoreThan10000Values) {
  const std::string header = "*9999\r\n";  // the list itself counts too
  std::string items;
  for (int i = 0; i < 9999; ++i) items += ":1\r\n";
  EXPECT_EQ(read_all(header + items).at(0).items.size(), 9999U);
  // The announced length alone is enough, before anything is allocated.
  for (const std::string_view bytes : {"*10000\r\n", "*2147483647\r\n", "*2\r\n:1\r\n*9999\r\n"}) {
    EXPECT_EQ(refusal(bytes), "the reply has too many items") << bytes;
  }
}

TEST(RespReaderTest, CountsTheValuesOfAllNestedLists) {
  std::string bytes = "*101\r\n";
  for (int i = 0; i < 101; ++i) {
    bytes += "*99\r\n";
    for (int j = 0; j < 99; ++j) bytes += ":1\r\n";
  }
  EXPECT_EQ(refusal(bytes), "the reply has too many items");
}

TEST(RespReaderTest, RejectsListsThatAreNestedTooDeeply) {
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += "*1\r\n";
  EXPECT_NE(refusal(bytes), "");
}

// hiredis searches an incomplete line from its start for each piece, which would block the loop for
// a second.
TEST(RespReaderTest, RejectsAnEndlessLine) {
  RespReader reader;
  const auto feed_all = [&] {
    reader.feed("+");
    for (int i = 0; i < 1'000'000; ++i) {
      reader.feed("x");
      if (reader.next()) return;
    }
  };
  const auto start = test::Clock::now();
  EXPECT_THROW(feed_all(), ProbeError);
  EXPECT_LT(test::Clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace vitalsd::net
