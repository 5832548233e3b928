#include <map>
#include <memory>
#include <string>
#include <vector>

#include "unit/support/kinds.hpp"
#include "unit/support/redis_script.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::bulk;

const std::string kInfo =
    "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\n"
    "uptime_in_seconds:3600\r\n"
    "# Clients\r\nconnected_clients:5\r\nblocked_clients:1\r\nmaxclients:10000\r\n"
    "# Memory\r\nused_memory:400\r\nused_memory_rss:800\r\nused_memory_peak:500\r\n"
    "maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\nmem_fragmentation_ratio:2.00\r\n"
    "# Persistence\r\nloading:0\r\nrdb_changes_since_last_save:3\r\n"
    "rdb_last_save_time:1700000000\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\n"
    "aof_last_bgrewrite_status:ok\r\naof_last_write_status:err\r\n"
    "# Stats\r\ntotal_commands_processed:77\r\ntotal_net_input_bytes:11\r\n"
    "total_net_output_bytes:22\r\nrejected_connections:2\r\nexpired_keys:4\r\nevicted_keys:6\r\n"
    "keyspace_hits:100\r\nkeyspace_misses:50\r\n"
    "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
    "# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=0\r\ndb7:keys=1,expires=0,avg_ttl=0\r\n";

class RedisTest : public testing::Test {
 protected:
  RedisTest() { set_info(kInfo); }

  void set_info(const std::string& text) { replies["INFO"] = bulk(text); }
  // kInfo with another value of one field, or without the field if `value` is empty.
  void set_field(const std::string& field, const std::string& value) {
    std::string text = kInfo;
    const std::size_t at = text.find("\n" + field + ':') + 1;
    ASSERT_NE(at, 0U);
    text.replace(at, text.find("\r\n", at) + 2 - at,
                 value.empty() ? "" : field + ':' + value + "\r\n");
    set_info(text);
  }
  test::Observation observe(const std::string& more = "") {
    return fixture.observe("redis", options("", more));
  }
  [[nodiscard]] std::string options(const std::string& path = "",
                                    const std::string& more = "") const {
    return "url: 'redis://" + peer.endpoint() + path + '\'' + more;
  }

  test::ProbeFixture fixture;
  // Without the commands of the slow lane, which slow_lane_test.cpp tests.
  [[nodiscard]] std::vector<std::string> quick_commands() const {
    std::vector<std::string> quick = commands;
    std::erase_if(quick, [](const std::string& command) {
      return command.starts_with("INFO ") || command.starts_with("SLOWLOG ") ||
             command.starts_with("LATENCY ");
    });
    return quick;
  }

  test::RedisScript peer{fixture.loop};
  std::map<std::string, std::string>& replies = peer.replies;
  std::vector<std::string>& commands = peer.commands;
};

TEST_F(RedisTest, PublishesTheFieldsOfInfo) {
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  const std::map<std::string, double> expected = {
      {"redis_loading_dump_file", 0},
      {"redis_memory_used_bytes", 400},
      {"redis_memory_max_bytes", 1000},
      {"redis_memory_limited", 1},
      {"redis_memory_used_peak_bytes", 500},
      {"redis_memory_used_rss_bytes", 800},
      {"redis_mem_fragmentation_ratio", 2},
      {"redis_keyspace_hits_total", 100},
      {"redis_keyspace_misses_total", 50},
      {"redis_evicted_keys_total", 6},
      {"redis_expired_keys_total", 4},
      {"redis_connected_clients", 5},
      {"redis_blocked_clients", 1},
      {"redis_max_clients", 10000},
      {"redis_rejected_connections_total", 2},
      {"redis_commands_processed_total", 77},
      {"redis_net_input_bytes_total", 11},
      {"redis_net_output_bytes_total", 22},
      {"redis_uptime_in_seconds", 3600},
      {"redis_rdb_last_save_timestamp_seconds", 1700000000},
      {"redis_rdb_last_bgsave_status", 1},
      {"redis_rdb_changes_since_last_save", 3},
      {"redis_aof_enabled", 0},
      {"redis_aof_last_write_status", 0},
      {"redis_aof_last_bgrewrite_status", 1},
      {"redis_connected_slaves", 0}};
  for (const auto& [name, value] : expected) EXPECT_EQ(run.value(name), value) << name;
  EXPECT_EQ(run.value("redis_db_keys", {{"db", "db0"}}), 12);
  EXPECT_EQ(run.value("redis_db_keys_expiring", {{"db", "db0"}}), 3);
  EXPECT_EQ(run.value("redis_db_keys", {{"db", "db7"}}), 1);
  EXPECT_EQ(run.value("redis_instance_info", {{"role", "master"},
                                              {"redis_version", "7.0.15"},
                                              {"redis_mode", "standalone"},
                                              {"maxmemory_policy", "allkeys-lru"}}),
            1);
  EXPECT_EQ(run.reading("memory"), 0.4);
  // A master has no link to a master, and a hit rate needs two readings.
  EXPECT_EQ(run.count("redis_master_link_up"), 0U);
  EXPECT_EQ(run.count("redis_cache_hit_rate"), 0U);
  EXPECT_EQ(run.reading("hit_rate"), std::nullopt);
}

TEST_F(RedisTest, OmitsMetricsOfMissingFields) {
  set_info("used_memory:7\r\n");  // managed services omit most fields
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.names(), (std::set<std::string>{"redis_memory_used_bytes", "redis_instance_info",
                                                "redis_loading_dump_file"}));
  EXPECT_EQ(run.reading("memory"), std::nullopt);
}

TEST_F(RedisTest, SurvivesRepeatedFields) {
  set_info("used_memory:1\r\nmaxmemory:100\r\nused_memory:x\r\n");
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.reading("memory"), std::nullopt);
}

TEST_F(RedisTest, ReportsNoRatioWithoutAMemoryLimit) {
  set_field("maxmemory", "0");
  const test::Observation run = observe();
  EXPECT_EQ(run.value("redis_memory_limited"), 0);
  EXPECT_EQ(run.count("redis_memory_max_bytes"), 0U);
  EXPECT_EQ(run.reading("memory"), std::nullopt);
}

TEST_F(RedisTest, ReportsUnreadyWhileTheServerLoadsItsData) {
  set_info("used_memory:7\r\nloading:1\r\nloading_loaded_perc:42.5\r\n");
  const test::Observation run = observe(", lists: [queue]");
  EXPECT_EQ(run.failure(), "unready: loading its data, 42.5% done");
  EXPECT_FALSE(run.threw());
  EXPECT_EQ(run.value("redis_loading_dump_file"), 1);
  EXPECT_EQ(quick_commands(), std::vector<std::string>{"INFO"});  // LLEN would fail now
}

TEST_F(RedisTest, PublishesALostLinkToTheMaster) {
  set_info(kInfo + "master_host:m\r\nmaster_port:6379\r\nmaster_link_status:down\r\n");
  const std::map<std::string, std::string> master = {{"master_host", "m"}, {"master_port", "6379"}};
  EXPECT_EQ(observe().value("redis_master_link_up", master), 0);
}

TEST_F(RedisTest, RejectsAnInvalidReplyToInfo) {
  set_info("# nothing\r\n");
  EXPECT_EQ(observe().failure(), "protocol: INFO has no used_memory");
  replies["INFO"] = ":7\r\n";
  EXPECT_EQ(observe().failure(), "protocol: the reply to INFO has an unexpected type");
  replies["INFO"] = "HTTP/1.1 400 Bad Request\r\n\r\n";
  EXPECT_EQ(observe().reason(), "protocol");
}

TEST_F(RedisTest, ReportsTheServersError) {
  const std::map<std::string, std::string> reasons = {
      {"NOAUTH Authentication required.", "auth"},
      {"NOPERM this user has no permissions to run the 'info' command", "permission"},
      {"LOADING Redis is loading the dataset in memory", "unready"},
      {"ERR max number of clients reached", "overload"},
      {"ERR unknown command 'INFO'", "mismatch"}};
  for (const auto& [text, reason] : reasons) {
    replies["INFO"] = '-' + text + "\r\n";
    const test::Observation run = observe();
    EXPECT_EQ(run.failure(), reason + ": " + text);
    EXPECT_TRUE(run.threw());
    EXPECT_EQ(run.names().size(), 0U);
  }
}

TEST_F(RedisTest, ReportsTheErrorOfAServerThatClosesTheConnection) {
  replies["INFO"] = "-ERR max number of clients reached\r\n";
  peer.last_command = "INFO";
  EXPECT_EQ(observe().failure(), "overload: ERR max number of clients reached");
}

TEST_F(RedisTest, AuthenticatesAndSelectsTheDatabase) {
  const test::TempDirectory directory;
  const std::string secret = directory.file("password", "hush hush\n");
  replies["AUTH monitor hush hush"] = replies["SELECT 3"] = "+OK\r\n";
  replies["LLEN q"] = ":5\r\n";
  const test::Observation run =
      fixture.observe("redis", "url: 'redis://monitor@" + peer.endpoint() +
                                   "/3', password: {file: '" + secret + "'}, lists: [q]");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(quick_commands(), (std::vector<std::string>{"AUTH monitor hush hush", "SELECT 3",
                                                        "INFO", "CONFIG GET save", "LLEN q"}));
  EXPECT_EQ(run.value("redis_key_size", {{"db", "db3"}, {"key", "q"}}), 5);
}

TEST_F(RedisTest, ConcealsARejectedPassword) {
  const test::TempDirectory directory;
  const std::string secret = directory.file("password", "hush");
  replies["AUTH hush"] = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
  const test::Observation run = observe(", password: {file: '" + secret + "'}");
  EXPECT_EQ(run.reason(), "auth");
  EXPECT_FALSE(run.text().contains("hush")) << run.text();
  EXPECT_EQ(commands.size(), 1U);
}

TEST_F(RedisTest, DoesNotConnectIfThePasswordCannotBeRead) {
  const test::Observation run = observe(", password: {file: /nonexistent/password}");
  EXPECT_EQ(run.reason(), "config");
  EXPECT_EQ(peer.accepted(), 0);
}

TEST_F(RedisTest, ReportsEachListSeparately) {
  replies["LLEN celery"] = ":1200\r\n";
  replies["LLEN nothing"] = ":0\r\n";
  replies["LLEN set"] = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
  const test::Observation run = observe(", lists: [celery, set, nothing]");
  EXPECT_EQ(run.value("redis_key_size", {{"db", "db0"}, {"key", "celery"}}), 1200);
  EXPECT_EQ(run.value("redis_key_size", {{"db", "db0"}, {"key", "nothing"}}), 0);
  EXPECT_EQ(run.count("redis_key_size"), 2U);
  EXPECT_EQ(run.reading("list_length", "celery"), 1200);
  EXPECT_EQ(run.failure("celery"), "");
  EXPECT_TRUE(run.failure("set").starts_with("mismatch: WRONGTYPE")) << run.failure("set");
  EXPECT_EQ(run.value("redis_memory_used_bytes"), 400);
}

// kInfo, with a snapshot of this age in seconds and these changes since then.
std::string with_snapshot(const std::string& age, const std::string& changes) {
  std::string text = kInfo;
  text.replace(text.find("rdb_last_save_time:"), 29, "rdb_last_save_time:1700000000");
  text.replace(text.find("rdb_changes_since_last_save:3"), 29,
               "rdb_changes_since_last_save:" + changes);
  return text + "server_time_usec:" + std::to_string(1700000000 + std::stol(age)) + "000000\r\n";
}

std::string config_save(const std::string& value) { return "*2\r\n" + bulk("save") + bulk(value); }

TEST_F(RedisTest, ChecksTheAgeOfASnapshotWithNewerWrites) {
  replies["CONFIG GET save"] = config_save("3600 1 300 100");
  set_info(with_snapshot("30000", "1"));
  test::Observation run = observe();
  EXPECT_EQ(run.value("redis_snapshots_configured"), 1);
  EXPECT_EQ(run.reading("snapshot_age"), 30000);
  set_info(with_snapshot("30000", "0"));  // nothing to save
  EXPECT_EQ(observe().reading("snapshot_age"), 0);
}

// On an idle server, the snapshot may be old although the first unsaved write is recent.
TEST_F(RedisTest, MeasuresUnsavedWritesFromTheLastRunWithoutAny) {
  replies["CONFIG GET save"] = config_save("3600 1");
  const auto probe = fixture.make("redis", options());
  set_info(with_snapshot("500000", "0"));
  EXPECT_EQ(fixture.observe(*probe).reading("snapshot_age"), 0);
  set_info(with_snapshot("500010", "1"));
  const auto waiting = fixture.observe(*probe).reading("snapshot_age");
  ASSERT_TRUE(waiting);
  EXPECT_LT(*waiting, 60);
}

TEST_F(RedisTest, ChecksNoSnapshotOfAServerThatSavesNone) {
  set_info(with_snapshot("500000", "9"));
  for (const std::string& reply :
       {config_save(""), std::string("*0\r\n"), std::string("-NOPERM no permissions\r\n")}) {
    replies["CONFIG GET save"] = reply;
    const test::Observation run = observe();
    EXPECT_EQ(run.failure(), "") << reply;
    EXPECT_EQ(run.reading("snapshot_age"), std::nullopt) << reply;
    EXPECT_EQ(run.count("redis_snapshots_configured"), reply == config_save("") ? 1U : 0U) << reply;
  }
}

// Each refusal would be an entry in the server's ACL LOG.
TEST_F(RedisTest, DoesNotRepeatARefusedCommandInEachRun) {
  const auto probe = fixture.make("redis", options());
  fixture.observe(*probe);
  fixture.observe(*probe);
  EXPECT_EQ(quick_commands(), (std::vector<std::string>{"INFO", "CONFIG GET save", "INFO"}));
}

TEST_F(RedisTest, KeepsItsConnection) {
  const auto probe = fixture.make("redis", options());
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 1);
}

TEST_F(RedisTest, ReconnectsAfterTheServerClosedTheConnection) {
  const auto probe = fixture.make("redis", options());
  peer.last_command = "LATENCY LATEST";
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  test::run_for(fixture.loop, std::chrono::milliseconds(
                                  5));  // until the probe receives the end of the connection
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(RedisTest, ReconnectsAfterACancelledRun) {
  const auto probe = fixture.make("redis", options());
  replies["INFO"] = "";  // no reply
  auto task = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return commands.size() == 1; }));
  task.cancel();
  EXPECT_THROW(task.get(), boost::system::system_error);
  set_info(
      kInfo);  // a late reply on the old connection would be taken for the reply to another command
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(RedisTest, PublishesTheHitRateWithoutItsOwnLookUps) {
  replies["LLEN q"] = ":3\r\n";
  replies["LLEN set"] = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
  replies["INFO commandstats"] = bulk("cmdstat_llen:calls=7,usec=1,usec_per_call=0.1\r\n");
  const auto probe = fixture.make("redis", options("", ", lists: [q, set]"));
  EXPECT_EQ(fixture.observe(*probe).count("redis_cache_hit_rate"), 0U);
  replies["INFO commandstats"] = bulk("cmdstat_llen:calls=9,usec=1,usec_per_call=0.1\r\n");
  std::string text = kInfo;  // 6 more hits, two of them by the probe, and 12 more misses
  text.replace(text.find("keyspace_hits:100"), 17, "keyspace_hits:106");
  text.replace(text.find("keyspace_misses:50"), 18, "keyspace_misses:62");
  set_info(text);
  test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(run.value("redis_cache_hit_rate"), 0.25);
  EXPECT_EQ(run.reading("hit_rate"), 0.25);
  // Another client asks for the lengths of lists: its lookups may be most of the misses.
  replies["INFO commandstats"] = bulk("cmdstat_llen:calls=15,usec=1,usec_per_call=0.1\r\n");
  run = fixture.observe(*probe);
  EXPECT_EQ(run.count("redis_cache_hit_rate"), 0U);
  EXPECT_EQ(run.reading("hit_rate"), std::nullopt);
}

TEST_F(RedisTest, JudgesEvictionsByThePolicy) {
  const auto probe = fixture.make("redis", options());
  EXPECT_EQ(fixture.observe(*probe).reading("evictions"), 0);
  set_field("evicted_keys", "45");  // 39 more, with 13 keys left
  EXPECT_EQ(fixture.observe(*probe).reading("evictions"), 0.75);
  set_field("maxmemory_policy", "noeviction");
  EXPECT_EQ(observe().reading("evictions"), std::nullopt);
  set_field("maxmemory", "0");
  EXPECT_EQ(observe().reading("evictions"), std::nullopt);
}

TEST_F(RedisTest, InheritsTheConnectionAndTheHitRate) {
  const auto old = fixture.make("redis", options());
  fixture.observe(*old);
  const auto successor = fixture.make("redis", options("", ", lists: [q]"));
  replies["LLEN q"] = ":0\r\n";
  successor->inherit(*old);
  set_field("keyspace_hits", "130");
  EXPECT_EQ(fixture.observe(*successor).value("redis_cache_hit_rate"), 1);
  EXPECT_EQ(peer.accepted(), 1);
}

TEST_F(RedisTest, ReportsASentinelAsMismatch) {
  set_info("# Server\r\nredis_version:7.2.4\r\nredis_mode:sentinel\r\n# Sentinel\r\n");
  EXPECT_EQ(observe().reason(), "mismatch");
}

TEST_F(RedisTest, ReadsASentinelOfValkey) {
  set_info("# Server\r\nredis_version:7.2.4\r\nserver_mode:sentinel\r\n# Sentinel\r\n");
  EXPECT_EQ(observe(", sentinel: true").failure(),
            "mismatch: the sentinel monitors no master: run SENTINEL MONITOR");
}

TEST_F(RedisTest, AuthenticatesAUserWithoutAPassword) {
  replies["AUTH guest "] = "+OK\r\n";
  const test::Observation run =
      fixture.observe("redis", "url: 'redis://guest@" + peer.endpoint() + '\'');
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(commands.front(), "AUTH guest ");
}

// Redis before version 6 has no users. A user in the URL has no effect there.
TEST_F(RedisTest, SkipsAuthenticationIfTheServerHasNoUsers) {
  replies["AUTH guest "] = "-ERR wrong number of arguments for 'auth' command\r\n";
  for (const char* user : {"guest", "default"}) {
    const test::Observation run = fixture.observe(
        "redis", "url: 'redis://" + std::string(user) + '@' + peer.endpoint() + '\'');
    EXPECT_EQ(run.failure(), "") << user;
  }
  EXPECT_EQ(quick_commands(), (std::vector<std::string>{"AUTH guest ", "INFO", "CONFIG GET save",
                                                        "INFO", "CONFIG GET save"}));
}

TEST_F(RedisTest, ConcealsThePasswordOnAKeptConnection) {
  replies["AUTH hunter2"] = "+OK\r\n";
  const auto probe = fixture.make("redis", "url: 'redis://:hunter2@" + peer.endpoint() + '\'');
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  replies["INFO"] = "-ERR unexpected hunter2\r\n";
  const std::string failure = fixture.observe(*probe).failure();
  EXPECT_TRUE(failure.contains("unexpected ")) << failure;
  EXPECT_FALSE(failure.contains("hunter2")) << failure;
  EXPECT_EQ(peer.accepted(), 1);
}

TEST_F(RedisTest, InheritsNoConnectionIfThePasswordDiffers) {
  const auto old = fixture.make("redis", options());
  fixture.observe(*old);
  replies["AUTH hunter2"] = "+OK\r\n";
  const auto successor = fixture.make("redis", "url: 'redis://:hunter2@" + peer.endpoint() + '\'');
  successor->inherit(*old);
  fixture.observe(*successor);
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(RedisTest, InheritsNoConnectionIfTheUserDiffers) {
  const auto old = fixture.make("redis", options());
  fixture.observe(*old);
  const auto successor = fixture.make("redis", "url: 'redis://other@" + peer.endpoint() + '\'');
  successor->inherit(*old);
  fixture.observe(*successor);
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(RedisTest, ConnectsToAnIpv6Literal) {
  if (!test::has_ipv6()) GTEST_SKIP() << "there is no ::1";
  test::RedisScript other(fixture.loop, asio::ip::address_v6::loopback());
  other.replies = replies;
  const auto probe = fixture.make("redis", "url: 'redis://" + other.endpoint() + "/2'");
  other.replies["SELECT 2"] = "+OK\r\n";
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(probe->target(), other.endpoint() + "/2");
}

}  // namespace
}  // namespace vitalsd
