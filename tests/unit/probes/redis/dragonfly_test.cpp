#include <optional>

#include "unit/support/kinds.hpp"
#include "unit/support/redis_script.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

// See tests/data/redis/README.md.
TEST(Dragonfly, IsReadByItsDocumentation) {
  test::ProbeFixture fixture;
  test::RedisScript peer{fixture.loop};
  peer.replies["INFO"] =
      test::bulk(test::read_file(VITALSD_TEST_DATA "/redis/dragonfly-1.40.info"));
  const auto probe = fixture.make("redis", "url: 'redis://" + peer.endpoint() + '\'');
  fixture.observe(*probe);
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(
      run.value("redis_server_info", {{"server_name", "dragonfly"}, {"version", "df-v1.40.1"}}), 1);
  EXPECT_EQ(run.value("redis_memory_used_bytes"), 1073741824);
  EXPECT_EQ(run.reading("memory"), 0.5);
  EXPECT_EQ(run.value("redis_db_keys", {{"db", "db0"}}), 1000);
  EXPECT_EQ(
      run.value("redis_connected_slave_lag_seconds",
                {{"slave_ip", "10.0.0.2"}, {"slave_port", "6379"}, {"slave_state", "online"}}),
      0);
  // -1 means unknown.
  EXPECT_EQ(run.count("redis_rejected_connections_total"), 0U);
  EXPECT_EQ(run.count("redis_keyspace_hits_total"), 0U);
  EXPECT_EQ(run.count("redis_cache_hit_rate"), 0U);
  EXPECT_EQ(run.reading("snapshot_age"), std::nullopt);
}

}  // namespace
}  // namespace vitalsd
