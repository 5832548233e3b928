#include "probes/redis/sentinel.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unit/support/kinds.hpp"
#include "unit/support/redis_script.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::bulk;

std::string list(const std::vector<std::string>& items) {
  std::string text = '*' + std::to_string(items.size()) + "\r\n";
  for (const std::string& item : items) text += item;
  return text;
}

// An entry of SENTINEL REPLICAS or SENTINEL SENTINELS.
std::string entry(const std::string& flags) {
  return list({bulk("name"), bulk("x"), bulk("flags"), bulk(flags)});
}

class SentinelTest : public testing::Test {
 protected:
  SentinelTest() {
    peer.replies["INFO"] = bulk(
        "redis_mode:sentinel\r\nsentinel_masters:1\r\nsentinel_tilt:0\r\n"
        "master0:name=main,status=ok,address=10.0.0.1:6379,slaves=2,sentinels=3\r\n");
    peer.replies["SENTINEL CKQUORUM main"] = "+OK 3 usable Sentinels\r\n";
    peer.replies["SENTINEL MASTER main"] = list(
        {bulk("name"), bulk("main"), bulk("config-epoch"), bulk("7"), bulk("quorum"), bulk("2")});
    peer.replies["SENTINEL REPLICAS main"] =
        list({entry("slave"), entry("s_down,slave,disconnected")});
    peer.replies["SENTINEL SENTINELS main"] = list({entry("sentinel"), entry("sentinel")});
  }
  std::unique_ptr<Probe> make(const std::string& more = "") {
    return fixture.make("redis", "url: 'redis://" + peer.endpoint() + "', sentinel: true" + more);
  }

  test::ProbeFixture fixture;
  test::RedisScript peer{fixture.loop};
  const std::map<std::string, std::string> labels = {{"master_name", "main"},
                                                     {"master_address", "10.0.0.1:6379"}};
};

TEST_F(SentinelTest, PublishesWhatItKnowsOfAMaster) {
  const test::Observation run = fixture.observe(*make());
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.duplicates(), 0U);
  EXPECT_EQ(run.value("redis_sentinel_master_setting_ckquorum", labels), 2);
  EXPECT_EQ(run.value("redis_sentinel_master_config_epoch", labels), 7);
  EXPECT_EQ(run.value("redis_sentinel_master_slaves", labels), 2);
  EXPECT_EQ(run.value("redis_sentinel_master_ok_slaves", labels), 1);
  EXPECT_EQ(run.value("redis_sentinel_master_sentinels", labels), 3);
  EXPECT_EQ(run.value("redis_sentinel_master_ok_sentinels", labels), 3);
  EXPECT_EQ(run.value("redis_sentinel_master_down_opinions", labels), 0);
  EXPECT_EQ(run.reading("sentinels", "main"), std::nullopt);  // no number is expected
}

TEST_F(SentinelTest, ComparesTheSentinelsWithTheExpectedNumber) {
  const auto probe = make(", sentinels: 3");
  test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(run.status("sentinels", "main"), Status::ok);
  EXPECT_EQ(run.status("surplus_sentinels", "main"), Status::ok);
  peer.replies["SENTINEL SENTINELS main"] =
      list({entry("s_down,sentinel"), entry("sentinel,master_down")});
  run = fixture.observe(*probe);
  EXPECT_EQ(run.reading("sentinels", "main"), 2);
  EXPECT_EQ(run.status("sentinels", "main"), Status::warning);
  EXPECT_EQ(run.value("redis_sentinel_master_down_opinions", labels), 1);
  run = fixture.observe(*make(", sentinels: 2"));
  EXPECT_EQ(run.reading("surplus_sentinels", "main"), 1);
  EXPECT_EQ(run.status("surplus_sentinels", "main"), Status::warning);
}

// Each refusal would be an entry in the ACL LOG.
TEST_F(SentinelTest, DoesNotRepeatARefusedCommandInEachRun) {
  for (const char* command : {"MASTER", "REPLICAS", "SENTINELS"}) {
    peer.replies["SENTINEL " + std::string(command) + " main"] = "-NOPERM no permissions\r\n";
  }
  const auto probe = make(", sentinels: 3");
  for (int i = 0; i < 2; ++i) {
    const test::Observation run = fixture.observe(*probe);
    EXPECT_EQ(run.failure(), "");
    EXPECT_EQ(run.value("vitalsd_redis_command_permitted", {{"command", "sentinel|master"}}), 0);
    EXPECT_EQ(run.reading("quorum", "main"), 0);
    EXPECT_EQ(run.reading("sentinels", "main"), std::nullopt);
  }
  EXPECT_EQ(std::ranges::count(peer.commands, "SENTINEL SENTINELS main"), 1);
}

TEST_F(SentinelTest, IgnoresRepliesOfAnotherForm) {
  for (const std::string& reply :
       {bulk("x"), list({}), list({list({})}), list({bulk("flags")}), list({":1\r\n", ":2\r\n"}),
        list({list({bulk("flags"), ":7\r\n"})}), std::string("$-1\r\n")}) {
    for (const char* command : {"MASTER", "REPLICAS", "SENTINELS"}) {
      peer.replies["SENTINEL " + std::string(command) + " main"] = reply;
    }
    const test::Observation run = fixture.observe(*make());
    EXPECT_EQ(run.failure(), "") << reply;
    EXPECT_EQ(run.count("redis_sentinel_master_setting_ckquorum"), 0U) << reply;
    EXPECT_EQ(run.value("redis_sentinel_master_status", {{"master_name", "main"},
                                                         {"master_address", "10.0.0.1:6379"},
                                                         {"master_status", "ok"}}),
              1);
  }
}

TEST_F(SentinelTest, RejectsAReplyThatIsTooLarge) {
  peer.replies["SENTINEL SENTINELS main"] = "*10001\r\n";
  EXPECT_EQ(fixture.observe(*make()).failure(), "protocol: the reply has too many items");
}

}  // namespace
}  // namespace vitalsd
