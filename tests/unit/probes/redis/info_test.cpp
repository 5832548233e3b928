#include "probes/redis/info.hpp"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

TEST(RedisInfoTest, FindsFieldsBetweenHeadingsAndBlankLines) {
  const RedisInfo info(
      "# Server\r\nredis_version:7.0.15\r\n\r\n# Memory\r\nused_memory:1024\r\nlast:x");
  EXPECT_EQ(info.text("redis_version"), "7.0.15");
  EXPECT_EQ(info.number("used_memory"), 1024);
  EXPECT_EQ(info.text("last"), "x");  // without a trailing newline
  EXPECT_FALSE(info.empty());
}

TEST(RedisInfoTest, FindsFieldsInAnyOrder) {
  const RedisInfo info("a:1\nb:2\nc:3\n");
  const std::string_view order = "cacbaaxbc";
  std::string values;
  for (std::size_t i = 0; i < order.size(); ++i) values += info.text(order.substr(i, 1));
  EXPECT_EQ(values, "31321123");  // nothing for x
}

TEST(RedisInfoTest, KeepsColonsInValues) {
  const RedisInfo info("executable:/usr/bin/redis:7\nmaster_host:::1\n");
  EXPECT_EQ(info.text("executable"), "/usr/bin/redis:7");
  EXPECT_EQ(info.text("master_host"), "::1");
}

TEST(RedisInfoTest, ReturnsNothingForMissingFields) {
  const RedisInfo info("used_memory_human:1.00K\nempty:\nnan:nan\n");
  EXPECT_EQ(info.text("used_memory"), "");  // used_memory_human is another field
  EXPECT_EQ(info.number("used_memory"), std::nullopt);
  EXPECT_EQ(info.number("used_memory_human"), std::nullopt);
  EXPECT_EQ(info.number("empty"), std::nullopt);
  EXPECT_EQ(info.number("nan"), std::nullopt);
}

TEST(RedisInfoTest, DistinguishesAnotherValueFromAMissingField) {
  const RedisInfo info("rdb_last_bgsave_status:err\naof_last_write_status:ok\n");
  EXPECT_EQ(info.is("rdb_last_bgsave_status", "ok"), 0);
  EXPECT_EQ(info.is("aof_last_write_status", "ok"), 1);
  EXPECT_EQ(info.is("master_link_status", "up"), std::nullopt);
}

TEST(RedisInfoTest, FindsNumberedFieldsOnly) {
  const RedisInfo info("db0:keys=1\ndb12:keys=2\ndb:x\ndbx:y\nmydb3:z\ndb1_state:q\n");
  const auto found = info.numbered("db");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].first, "db0");
  EXPECT_EQ(found[1].first, "db12");
  EXPECT_EQ(found[1].second, "keys=2");
}

TEST(RedisInfoTest, ReturnsNamesOnce) {
  const RedisInfo info(
      "db0:keys=1\r\nerrorstat_A:count=1\r\nerrorstat_\xff:count=2\r\n# Again\r\n"
      "db0:keys=2\r\ndb1:keys=3\r\nerrorstat_A:count=3\r\nerrorstat_\xfe:count=4\r\n");
  using Fields = std::vector<RedisInfo::Field>;
  EXPECT_EQ(info.numbered("db"), (Fields{{"db0", "keys=1"}, {"db1", "keys=3"}}));
  // Names that are not UTF-8 are compared as they are published.
  EXPECT_EQ(info.prefixed("errorstat_"), (Fields{{"A", "count=1"}, {"\xff", "count=2"}}));
}

TEST(RedisInfoTest, IsEmptyWithoutFields) {
  EXPECT_TRUE(RedisInfo("").empty());
  EXPECT_TRUE(RedisInfo("# Server\r\n\r\nnonsense\r\n").empty());
}

TEST(RedisInfoTest, ReadsSubFields) {
  constexpr std::string_view kDb = "keys=12,expires=3,avg_ttl=0";
  EXPECT_EQ(sub_field(kDb, "keys"), "12");
  EXPECT_EQ(sub_field(kDb, "expires"), "3");
  EXPECT_EQ(sub_field(kDb, "avg_ttl"), "0");
  EXPECT_EQ(sub_field(kDb, "key"), "");
  EXPECT_EQ(sub_field(kDb, "ttl"), "");
  EXPECT_EQ(sub_field("", "keys"), "");
}

TEST(RedisInfoTest, RejectsTextAroundANumber) {
  EXPECT_EQ(to_number("12"), 12);
  EXPECT_EQ(to_number("-1.5"), -1.5);
  EXPECT_EQ(to_number("12K"), std::nullopt);
  EXPECT_EQ(to_number(" 12"), std::nullopt);
  EXPECT_EQ(to_number("inf"), std::nullopt);
  EXPECT_EQ(to_number(""), std::nullopt);
}

}  // namespace
}  // namespace vitalsd
