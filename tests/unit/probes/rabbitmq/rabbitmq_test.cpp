#include "probes/net/cpu_time.hpp"
#include "probes/rabbitmq/management.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/turns.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::HttpScript;
using test::Observation;
using testing::HasSubstr;

/// A queue on the page of the plug-in.
struct Row {
  std::string name;
  int ready = 0;
  int consumers = 1;
  std::string vhost = "/";
};

std::string node_page(const std::string& node, const std::vector<Row>& queues) {
  std::string ready;
  std::string consumers;
  for (const Row& row : queues) {
    const std::string labels = "{vhost=\"" + row.vhost + "\",queue=\"" + row.name + "\"} ";
    ready += "rabbitmq_detailed_queue_messages_ready" + labels + std::to_string(row.ready) + '\n';
    ready += "rabbitmq_detailed_queue_messages_unacked" + labels + "1\n";
    ready += "rabbitmq_detailed_queue_messages" + labels + std::to_string(row.ready + 1) + '\n';
    consumers +=
        "rabbitmq_detailed_queue_consumers" + labels + std::to_string(row.consumers) + '\n';
  }
  return ready + consumers + "rabbitmq_identity_info{rabbitmq_node=\"" + node +
         "\",rabbitmq_cluster=\"shop\"} 1\n";
}

std::string item(const std::string& name, const std::string& more) {
  return R"({"vhost":"/","name":")" + name + "\"," + more + '}';
}

std::string queue_list(const std::string& items, int page = 1, int pages = 1, int total = 1) {
  return R"({"items":[)" + items + R"(],"page":)" + std::to_string(page) + R"(,"page_count":)" +
         std::to_string(pages) + R"(,"total_count":)" + std::to_string(total) + '}';
}

const std::string kNodes =
    R"([{"name":"rabbit@a","running":true,"mem_alarm":false,"disk_free_alarm":true,)"
    R"("partitions":[],"mem_used":100,"mem_limit":200}])";
const std::string kCounts =
    R"("messages_ready":7,"messages_unacknowledged":2,"messages":9,"consumers":0,)"
    R"("type":"classic","state":"running","durable":true)";

class RabbitmqTest : public testing::Test {
 protected:
  using Bodies = std::map<std::string, std::string>;  // by path without the query

  /// A server that returns these bodies, and 404 for other paths.
  std::unique_ptr<HttpScript> serve(Bodies& bodies) {
    return std::make_unique<HttpScript>(fixture.loop, [&bodies](const std::string& target) {
      const auto found = bodies.find(target.substr(0, target.find('?')));
      return HttpScript::Reply{found == bodies.end() ? test::http_answer(404, "Not Found")
                                                     : test::http_answer(200, found->second)};
    });
  }
  static Bodies management(const std::string& tags = R"(["monitoring"])") {
    return {{"/api/whoami", R"({"name":"watch","tags":)" + tags + '}'},
            {"/api/nodes", kNodes},
            {"/api/queues", queue_list(item("a", kCounts))}};
  }
  static test::Labels queue(const std::string& name, const std::string& vhost = "/") {
    return {{"queue", name}, {"vhost", vhost}};
  }
  std::unique_ptr<Probe> make(const std::string& options) {
    return fixture.make("rabbitmq", options);
  }
  std::string error_of(const std::string& options) {
    try {
      make(options);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  test::ProbeFixture fixture;
};

TEST_F(RabbitmqTest, ReadsEverythingFromTheManagementApi) {
  Bodies bodies = management();
  const auto server = serve(bodies);
  const Observation seen = fixture.observe(*make("url: '" + server->url() + "', user: watch"));
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("a")), 7);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_unacked", queue("a")), 2);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages", queue("a")), 9);
  EXPECT_EQ(seen.value("rabbitmq_queue_consumers", queue("a")), 0);
  EXPECT_EQ(
      seen.value("rabbitmq_queue_state", {{"queue", "a"}, {"vhost", "/"}, {"state", "running"}}),
      1);
  EXPECT_EQ(seen.count("rabbitmq_queue_info"), 1U);
  EXPECT_EQ(seen.value("rabbitmq_queues"), 1);
  EXPECT_EQ(seen.value("rabbitmq_node_up", {{"node", "rabbit@a"}}), 1);
  EXPECT_EQ(seen.value("rabbitmq_alarms_memory_used_watermark", {{"node", "rabbit@a"}}), 0);
  EXPECT_EQ(seen.value("rabbitmq_alarms_free_disk_space_watermark", {{"node", "rabbit@a"}}), 1);
  EXPECT_EQ(seen.value("rabbitmq_resident_memory_limit_bytes", {{"node", "rabbit@a"}}), 200);
  EXPECT_EQ(seen.count("rabbitmq_disk_space_available_bytes"), 0U);
  EXPECT_EQ(seen.reading("queue_depth", "a"), 7);
  EXPECT_EQ(seen.reading("unconsumed", "a"), 7);
  EXPECT_EQ(seen.reading("alarms"), 1);
  EXPECT_EQ(seen.reading("partitions"), 0);
  EXPECT_EQ(seen.duplicates(), 0U);
}

// A query may contain a token.
TEST_F(RabbitmqTest, ShowsNoQueryOfAUrl) {
  Bodies none;
  const auto server = serve(none);
  const std::string url = "'" + server->url() + "/x?key=hunter2'";
  for (const std::string& options : {"url: " + url, "urls: [" + url + "]",
                                     "urls: [" + url + "], user: watch, management: " + url}) {
    const auto probe = make(options);
    EXPECT_EQ(probe->target(), server->url() + "/x?…");
    const std::string failure = fixture.observe(*probe).failure();
    EXPECT_THAT(failure, HasSubstr(server->url() + "/x")) << options;
    EXPECT_THAT(failure, testing::Not(HasSubstr("hunter2"))) << options;
  }
  const std::string error = error_of("urls: ['http://a/?k=hunter2', 'http://a/?k=hunter3']");
  EXPECT_THAT(error, HasSubstr("http://a/?… is listed twice"));
  EXPECT_THAT(error, testing::Not(HasSubstr("hunter")));
}

TEST_F(RabbitmqTest, TheHealthCheckKnowsAlarmsBeforeTheNodesDo) {
  Bodies bodies = management();
  bodies["/api/health/checks/alarms"] =
      R"({"status":"failed","alarms":[{"node":"rabbit@a","resource":"memory"}]})";
  const auto server = serve(bodies);
  const Observation seen = fixture.observe(*make("url: '" + server->url() + "', user: watch"));
  EXPECT_EQ(seen.value("rabbitmq_alarms_memory_used_watermark", {{"node", "rabbit@a"}}), 1);
  EXPECT_EQ(seen.value("rabbitmq_alarms_free_disk_space_watermark", {{"node", "rabbit@a"}}), 0);
  EXPECT_EQ(seen.reading("alarms"), 1);
}

TEST_F(RabbitmqTest, ReadsAllPagesAndNamesTheColumns) {
  constexpr int kMany = 100'000;  // too large to be read at once
  std::vector<std::string> pages = {queue_list(item("a", kCounts), 1, 2, kMany),
                                    queue_list(item("b", kCounts), 2, 2, kMany)};
  const Bodies bodies = management();
  HttpScript server(fixture.loop, [&](const std::string& target) {
    if (target.starts_with("/api/health") || target.starts_with("/api/overview"))
      return HttpScript::Reply{test::http_answer(404, "")};
    if (!target.starts_with("/api/queues?page="))
      return HttpScript::Reply{
          test::http_answer(200, bodies.at(target.substr(0, target.find('?'))))};
    EXPECT_THAT(target, HasSubstr("&page_size=500&columns=vhost,name,"));
    const std::size_t page = target[std::string_view("/api/queues?page=").size()] - '1';
    if (page >= pages.size()) return HttpScript::Reply{test::http_answer(400, "{}")};
    return HttpScript::Reply{test::http_answer(200, pages[page])};
  });
  const auto probe = make("url: '" + server.url() + "', user: watch");
  Observation seen = fixture.observe(*probe);
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 2U);
  // A queue was deleted while the pages were read, so the second page does not exist. Which queue
  // it was is not known yet.
  pages.pop_back();
  seen = fixture.observe(*probe);
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 2U);
  pages = {queue_list(item("a", kCounts))};
  seen = fixture.observe(*probe);
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 1U);  // a deleted queue is gone at once
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("a")), 7);
}

TEST_F(RabbitmqTest, ReadsAListThatFitsAtOnce) {
  Bodies bodies = management();
  bodies["/api/queues"] = queue_list(item("a", kCounts), 1, 2, 2);
  const std::string whole = '[' + item("a", kCounts) + ',' + item("b", kCounts) + ']';
  const HttpScript server(fixture.loop, [&](const std::string& target) {
    const auto found = bodies.find(target.substr(0, target.find('?')));
    const bool is_whole = target.starts_with("/api/queues?columns=");
    return HttpScript::Reply{found == bodies.end() ? test::http_answer(404, "")
                             : is_whole            ? test::http_answer(200, whole)
                                                   : test::http_answer(200, found->second)};
  });
  const Observation seen = fixture.observe(*make("url: '" + server.url() + "', user: watch"));
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("b")), 7);
  EXPECT_EQ(seen.value("rabbitmq_queues"), 2);
}

TEST_F(RabbitmqTest, AUserWithoutTheTagMonitoringLacksAPermission) {
  Bodies bodies = management(R"(["policymaker","management"])");
  const auto server = serve(bodies);
  const auto probe = make("url: '" + server->url() + "', user: watch");
  Observation seen = fixture.observe(*probe);
  EXPECT_THAT(seen.failure(),
              HasSubstr("permission: the user watch has the tags policymaker, management"));
  EXPECT_THAT(seen.failure(), HasSubstr("rabbitmqctl set_user_tags watch policymaker monitoring"));
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 0U);
  bodies = management();
  seen = fixture.observe(*probe);  // the next run notices the tag
  EXPECT_EQ(seen.failure(), "");
}

TEST_F(RabbitmqTest, AUserWithoutAPermissionOnAVirtualHostLacksItsQueues) {
  Bodies bodies = management();
  bodies["/api/overview"] = R"({"object_totals":{"queues":3}})";
  bodies["/api/vhosts"] = R"([{"name":"/"},{"name":"shop"}])";
  const auto server = serve(bodies);
  const auto probe = make("url: '" + server->url() + "', user: watch");
  for (int run = 0; run < 2; ++run) {
    const Observation seen = fixture.observe(*probe);
    EXPECT_THAT(seen.failure(), HasSubstr("permission: the user watch sees 1 of 3 queues"));
    EXPECT_THAT(seen.failure(), HasSubstr("rabbitmqctl set_permissions -p shop watch '' '' ''"));
    EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 0U);
  }
  bodies["/api/vhosts"] = R"([{"name":"/"}])";  // the queues were declared after the list was read
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
}

TEST_F(RabbitmqTest, AnEmptyVirtualHostIsNotHidden) {
  Bodies bodies = management();
  bodies["/api/vhosts"] = R"([{"name":"/"},{"name":"empty"}])";
  bodies["/api/overview"] = R"({"object_totals":{"queues":2}})";
  const auto with = [&](std::string_view path, const std::function<void()>& then) {
    return [&bodies, path, then](const std::string& target) {
      const auto found = bodies.find(target.substr(0, target.find('?')));
      const HttpScript::Reply reply{found == bodies.end() ? test::http_answer(404, "")
                                                          : test::http_answer(200, found->second)};
      if (target.starts_with(path)) then();
      return reply;
    };
  };
  // The second queue is declared after the list was read.
  const HttpScript declares(fixture.loop, with("/api/overview", [&] {
                              bodies["/api/queues"] =
                                  queue_list(item("a", kCounts) + ',' + item("b", kCounts));
                            }));
  EXPECT_EQ(fixture.observe("rabbitmq", "url: '" + declares.url() + "', user: watch").failure(),
            "");
  // A queue is deleted after it was counted.
  bodies["/api/queues"] = queue_list(item("a", kCounts));
  const HttpScript deletes(fixture.loop, with("/api/overview", [&] {
                             bodies["/api/overview"] = R"({"object_totals":{"queues":1}})";
                           }));
  EXPECT_EQ(fixture.observe("rabbitmq", "url: '" + deletes.url() + "', user: watch").failure(), "");
}

TEST_F(RabbitmqTest, A503ThatIsNoHealthCheckIsUnready) {
  Bodies bodies = management();
  std::string answer = test::http_answer(503, "<html>Service Unavailable</html>");
  const HttpScript server(fixture.loop, [&](const std::string& target) {
    if (target.starts_with("/api/health")) return HttpScript::Reply{answer};
    const auto found = bodies.find(target.substr(0, target.find('?')));
    return HttpScript::Reply{found == bodies.end() ? test::http_answer(404, "")
                                                   : test::http_answer(200, found->second)};
  });
  const auto probe = make("url: '" + server.url() + "', user: watch");
  EXPECT_EQ(fixture.observe(*probe).failure(), "unready: " + server.url() + ": status 503");
  answer = test::http_answer(
      503, R"({"status":"failed","alarms":[{"node":"rabbit@a","resource":"memory"}]})");
  const Observation seen = fixture.observe(*probe);
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.value("rabbitmq_alarms_memory_used_watermark", {{"node", "rabbit@a"}}), 1);
}

TEST_F(RabbitmqTest, AUserWithoutAnyTagIsNotRejectedCredentials) {
  std::string reason = "Not management user";
  HttpScript server(fixture.loop, [&](const std::string&) {
    return HttpScript::Reply{
        test::http_answer(401, R"({"error":"not_authorised","reason":")" + reason + "\"}")};
  });
  const auto probe = make("url: '" + server.url() + "', user: watch");
  EXPECT_THAT(fixture.observe(*probe).failure(),
              HasSubstr("permission: the user watch has no tag, "));
  reason = "Login failed";
  EXPECT_EQ(fixture.observe(*probe).failure(),
            "auth: " + server.url() + ": status 401: Login failed");
}

TEST_F(RabbitmqTest, ReadsCountsFromThePluginOfEveryNode) {
  Bodies a = {{"/metrics/detailed", node_page("rabbit@a", {{"x", 3, 0}, {"amq.gen-1", 4}})}};
  Bodies b = {{"/metrics/detailed", node_page("rabbit@b", {{"y", 5}, {"x", 1, 1, "shop"}})}};
  const auto one = serve(a);
  const auto other = serve(b);
  const auto probe = make("urls: ['" + one->url() + "', '" + other->url() + "']");
  Observation seen = fixture.observe(*probe);
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(one->targets.at(0),
            "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count");
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("x")), 3);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("x", "shop")), 1);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("y")), 5);
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 3U);
  EXPECT_EQ(seen.value("rabbitmq_other_queues", {{"group", "temporary"}}), 1);
  EXPECT_EQ(seen.value("rabbitmq_other_queue_messages_ready", {{"group", "temporary"}}), 4);
  EXPECT_EQ(seen.value("rabbitmq_queues"), 4);
  EXPECT_EQ(seen.value("rabbitmq_node_up", {{"node", "rabbit@b"}}), 1);
  EXPECT_EQ(seen.count("rabbitmq_queue_info"), 0U);
  EXPECT_EQ(seen.count("rabbitmq_queue_state"), 0U);
  EXPECT_EQ(seen.reading("queue_depth", "y"), 5);
  EXPECT_EQ(seen.reading("unconsumed", "x"), 3);
  EXPECT_EQ(seen.reading("alarms"), std::nullopt);

  // A queue that moves is reported twice; its series exists once.
  a["/metrics/detailed"] = node_page("rabbit@a", {{"y", 2}});
  seen = fixture.observe(*probe);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("y")), 5);
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 2U);  // the queue x of "/" was deleted
}

TEST_F(RabbitmqTest, TheQueuesOfAMissingNodeAreUnknown) {
  Bodies a = {{"/metrics/detailed", node_page("rabbit@a", {{"x", 3}})}};
  Bodies b = {{"/metrics/detailed", node_page("rabbit@b", {{"y", 5}})}};
  const auto one = serve(a);
  auto other = serve(b);
  const auto probe = make("urls: ['" + one->url() + "', '" + other->url() + "']");
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  other.reset();
  Observation seen = fixture.observe(*probe);
  // Some nodes respond: the cluster is up.
  EXPECT_THAT(seen.failure(), HasSubstr("mismatch: 1 of 2 nodes respond; the queues of rabbit@b"));
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("y")), 5);
  EXPECT_EQ(seen.value("rabbitmq_node_up", {{"node", "rabbit@b"}}), 0);
  EXPECT_EQ(seen.reading("nodes_down", "rabbit@b"), 1);
  EXPECT_EQ(seen.count("rabbitmq_queues"), 0U);
  EXPECT_EQ(seen.count("rabbitmq_other_queues"), 0U);
  seen = fixture.observe(*probe);
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 1U);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("x")), 3);
}

TEST_F(RabbitmqTest, NoResponseAtAllIsAnError) {
  Bodies none;
  const auto server = serve(none);
  const Observation seen = fixture.observe("rabbitmq", "urls: ['" + server->url() + "']");
  EXPECT_TRUE(seen.threw());
  EXPECT_THAT(seen.failure(),
              HasSubstr("mismatch: " + server->url() + " has no /metrics/detailed"));
  EXPECT_EQ(fixture.observe("rabbitmq", "urls: ['http://127.0.0.1:1']").reason(), "connect");
  EXPECT_EQ(fixture.observe("rabbitmq", "urls: ['http://nowhere.test:1']").reason(), "dns");
}

TEST_F(RabbitmqTest, APlugInThatDoesNotRespondIsNotADeadCluster) {
  Bodies bodies = management();
  const auto api = serve(bodies);
  const auto probe =
      make("urls: ['http://127.0.0.1:1'], management: '" + api->url() + "', user: watch");
  for (int run = 0; run < 2; ++run) {
    const Observation seen = fixture.observe(*probe);
    EXPECT_FALSE(seen.threw());
    EXPECT_THAT(seen.failure(), HasSubstr("mismatch: 0 of 1 nodes respond; the queues of rabbit@a "
                                          "are unknown; http://127.0.0.1:1: "));
    EXPECT_EQ(seen.value("rabbitmq_node_up", {{"node", "rabbit@a"}}), 1);
    EXPECT_EQ(seen.reading("nodes_down"), 0);
    EXPECT_EQ(seen.reading("alarms"), 1);
    EXPECT_EQ(seen.count("rabbitmq_queues"), 0U);
  }
  bodies = management(R"(["management"])");  // a refusal is a response, too
  EXPECT_FALSE(fixture.observe(*probe).threw());
  bodies.clear();  // within management_interval
  const Observation seen = fixture.observe(*probe);
  EXPECT_TRUE(seen.threw());
  EXPECT_EQ(seen.reason(), "connect");
}

TEST_F(RabbitmqTest, AManagementApiWithoutStatisticsHasTotalsOnly) {
  Bodies bodies = management();
  bodies["/api/overview"] = R"({"disable_stats":true,"object_totals":{"queues":2}})";
  bodies["/api/queues"] = queue_list(
      item("a", R"("messages_ready":7,"messages_unacknowledged":2,"messages":9,"type":"classic")") +
      ',' + item("log", R"("type":"stream")"));
  const auto server = serve(bodies);
  const auto probe = make("url: '" + server->url() + "', user: watch");
  for (int run = 0; run < 2; ++run) {
    const Observation seen = fixture.observe(*probe);
    EXPECT_FALSE(seen.threw());
    EXPECT_THAT(seen.failure(), HasSubstr("mismatch: " + server->url() + " has no statistics"));
    EXPECT_THAT(seen.failure(), HasSubstr("set urls to the Prometheus plug-in"));
    EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("a")), 7);
    EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 1U);
    EXPECT_EQ(seen.count("rabbitmq_queue_consumers"), 0U);
    EXPECT_EQ(seen.reading("queue_depth", "a"), 7);
  }
  EXPECT_THAT(server->targets,
              testing::Contains(testing::AllOf(HasSubstr("enable_queue_totals=true"),
                                               HasSubstr("messages_ready"))));
}

TEST_F(RabbitmqTest, SumsOfUnknownCountsAreUnknown) {
  Bodies bodies = management();
  bodies["/api/queues"] = queue_list(item("a", R"("type":"classic","exclusive":true)"));
  const auto server = serve(bodies);
  const Observation seen = fixture.observe(*make("url: '" + server->url() + "', user: watch"));
  EXPECT_EQ(seen.value("rabbitmq_other_queues", {{"group", "temporary"}}), 1);
  EXPECT_EQ(seen.value("rabbitmq_other_queue_messages", {{"group", "temporary"}}), std::nullopt);
  EXPECT_EQ(seen.value("rabbitmq_other_queue_messages", {{"group", "over_max_queues"}}), 0);
}

TEST_F(RabbitmqTest, ALoadBalancerIsRefused) {
  Bodies bodies = {{"/metrics/detailed", node_page("rabbit@a", {{"x", 3}})}};
  const auto server = serve(bodies);
  const auto probe = make("urls: ['" + server->url() + "']");
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  bodies["/metrics/detailed"] = node_page("rabbit@b", {{"y", 5}});
  const Observation seen = fixture.observe(*probe);
  EXPECT_TRUE(seen.threw());
  EXPECT_THAT(seen.failure(), HasSubstr("headless Service"));
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 0U);
}

TEST_F(RabbitmqTest, TheManagementApiAddsAttributesToTheCountsOfThePlugin) {
  Bodies nodes = {
      {"/metrics/detailed", node_page("rabbit@a", {{"log", 9, 0}, {"own", 2}, {"work", 1}})}};
  Bodies bodies = management();
  bodies["/api/queues"] = queue_list(item("log", R"("type":"stream","state":"running")") + ',' +
                                     item("own", R"("type":"classic","exclusive":true)") + ',' +
                                     item("work", R"("type":"quorum","state":"running")"));
  const auto node = serve(nodes);
  const auto api = serve(bodies);
  const auto probe =
      make("urls: ['" + node->url() + "'], management: '" + api->url() + "', user: watch");
  Observation seen = fixture.observe(*probe);
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 2U);
  EXPECT_EQ(seen.value("rabbitmq_other_queues", {{"group", "temporary"}}), 1);
  EXPECT_EQ(seen.count("rabbitmq_queue_info"), 2U);
  EXPECT_EQ(seen.reading("unconsumed"), 0);  // the stream needs no consumer
  EXPECT_EQ(seen.reading("alarms"), 1);
  EXPECT_EQ(seen.value("rabbitmq_partitions", {{"node", "rabbit@a"}}), 0);
  const std::size_t requests = api->targets.size();
  EXPECT_THAT(api->targets, testing::Contains(HasSubstr("disable_stats=true")));
  seen = fixture.observe(*probe);  // within the interval of the management API
  EXPECT_EQ(api->targets.size(), requests);
  EXPECT_EQ(seen.count("rabbitmq_queue_info"), 2U);
  EXPECT_EQ(seen.reading("alarms"), 1);
}

TEST_F(RabbitmqTest, CountsStayWhileTheManagementApiFails) {
  Bodies nodes = {{"/metrics/detailed", node_page("rabbit@a", {{"x", 3}})}};
  Bodies bodies = management(R"(["management"])");
  const auto node = serve(nodes);
  const auto api = serve(bodies);
  const auto probe = make("urls: ['" + node->url() + "'], management: '" + api->url() +
                          "', user: watch, management_interval: 0s");
  Observation seen = fixture.observe(*probe);
  EXPECT_FALSE(seen.threw());
  EXPECT_THAT(seen.failure(), HasSubstr("permission: management API: the user watch has the tag"));
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("x")), 3);
  EXPECT_EQ(seen.count("rabbitmq_queue_info"), 0U);
  bodies.clear();
  seen = fixture.observe(*probe);
  EXPECT_THAT(seen.failure(), HasSubstr("mismatch: management API: " + api->url()));
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("x")), 3);
}

TEST_F(RabbitmqTest, AttributesStayWhileTheManagementApiFails) {
  Bodies nodes = {{"/metrics/detailed", node_page("rabbit@a", {{"log", 9, 0}, {"own", 2}})}};
  Bodies bodies = management();
  bodies["/api/queues"] = queue_list(item("log", R"("type":"stream")") + ',' +
                                     item("own", R"("type":"classic","exclusive":true)"));
  const auto node = serve(nodes);
  const auto api = serve(bodies);
  const std::string options = "urls: ['" + node->url() + "'], management: '" + api->url() +
                              "', user: watch, management_interval: 0s";
  const auto probe = make(options);
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  bodies.erase("/api/nodes");
  const auto successor = make(options + ", max_queues: 9");
  for (Probe* const each : {probe.get(), successor.get()}) {
    if (each != probe.get()) each->inherit(*probe);
    const Observation seen = fixture.observe(*each);
    EXPECT_THAT(seen.failure(), HasSubstr("mismatch: management API: "));
    EXPECT_EQ(seen.reading("unconsumed"), 0);
    EXPECT_EQ(seen.value("rabbitmq_other_queues", {{"group", "temporary"}}), 1);
    EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 1U);
    EXPECT_EQ(seen.reading("alarms"), std::nullopt);
  }
}

TEST_F(RabbitmqTest, AQueueOfUnknownTypeMayBeAStream) {
  Bodies nodes = {{"/metrics/detailed", node_page("rabbit@a", {{"log", 9, 0}})}};
  Bodies bodies;
  const auto node = serve(nodes);
  const auto api = serve(bodies);
  const auto probe =
      make("urls: ['" + node->url() + "'], management: '" + api->url() + "', user: watch");
  Observation seen = fixture.observe(*probe);
  EXPECT_EQ(seen.reading("unconsumed", "log"), std::nullopt);
  EXPECT_EQ(seen.reading("unconsumed"), std::nullopt);
  EXPECT_EQ(seen.reading("queue_depth", "log"), 9);
  bodies = management();
  bodies["/api/queues"] = queue_list(item("log", R"("type":"quorum")"));
  seen = fixture.observe(*probe);
  EXPECT_EQ(seen.reading("unconsumed", "log"), 9);
}

TEST_F(RabbitmqTest, ParsesALongListOnAThread) {
  std::string numbers = "1";
  for (int i = 0; i < 500'000; ++i) numbers += ",1";
  Bodies bodies = management();
  bodies["/api/queues"] = queue_list(item("a", kCounts + ",\"more\":[" + numbers + ']'));
  const auto server = serve(bodies);
  const auto probe = make("url: '" + server->url() + "', user: watch");
  test::Task<Observation> run = fixture.begin(*probe);
  const auto on_loop = test::longest_turn(fixture.loop, [&] { return run.done(); });
  const Observation seen = run.get();
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.value("rabbitmq_queues"), 1);
  const auto before = net::thread_cpu_time();
  rabbitmq::read_queues(bodies["/api/queues"]);
  EXPECT_LT(on_loop, net::thread_cpu_time() - before);
}

TEST_F(RabbitmqTest, ANodeOfOtherUrlsIsNotInherited) {
  Bodies a = {{"/metrics/detailed", node_page("rabbit@a", {{"x", 3}})}};
  Bodies b = {{"/metrics/detailed", node_page("rabbit@b", {{"y", 5}})}};
  Bodies c = {{"/metrics/detailed", node_page("rabbit@c", {{"z", 7}})}};
  const auto first = serve(a);
  const auto second = serve(b);
  const auto third = serve(c);
  const auto urls = [](const auto& one, const auto& other) {
    return "urls: ['" + one->url() + "', '" + other->url() + "']";
  };
  const auto probe = make(urls(first, second));
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  const auto successor = make(urls(first, third));
  successor->inherit(*probe);
  const Observation seen = fixture.observe(*successor);
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.value("rabbitmq_queues"), 2);
  EXPECT_EQ(seen.count("rabbitmq_node_up"), 2U);
}

TEST_F(RabbitmqTest, AUrlMayBeThatOfThePlugin) {
  Bodies bodies = {{"/metrics/detailed", node_page("rabbit@a", {{"x", 3}})}};
  const auto server = serve(bodies);
  const auto probe = make("url: '" + server->url() + "'");
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  const Observation seen = fixture.observe(*probe);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("x")), 3);
  EXPECT_EQ(server->targets.size(), 3U);  // /api/whoami once
  bodies = management();
  EXPECT_EQ(fixture.observe(*probe).reason(), "mismatch");
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
}

TEST_F(RabbitmqTest, KeepsTheDeepestQueuesAndSumsTheRest) {
  Bodies bodies = {{"/metrics/detailed",
                    node_page("rabbit@a", {{"a", 0}, {"b", 5}, {"c", 9}, {"d", 5}, {"e", 1}})}};
  const auto server = serve(bodies);
  const Observation seen =
      fixture.observe("rabbitmq", "urls: ['" + server->url() + "'], max_queues: 2");
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 2U);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("b")), 5);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("c")), 9);
  const test::Labels rest = {{"group", "over_max_queues"}};
  EXPECT_EQ(seen.value("rabbitmq_other_queues", rest), 3);
  EXPECT_EQ(seen.value("rabbitmq_other_queue_messages_ready", rest), 6);
  EXPECT_EQ(seen.value("rabbitmq_other_queue_consumers", rest), 3);
  EXPECT_EQ(seen.reading("queue_depth", "c"), 9);
}

TEST_F(RabbitmqTest, TemporaryQueuesHaveSeriesOnRequest) {
  Bodies bodies = {{"/metrics/detailed", node_page("rabbit@a", {{"amq.gen-1", 4}})}};
  const auto server = serve(bodies);
  const Observation seen =
      fixture.observe("rabbitmq", "urls: ['" + server->url() + "'], temporary_queues: true");
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", queue("amq.gen-1")), 4);
  EXPECT_EQ(seen.value("rabbitmq_other_queues", {{"group", "temporary"}}), 0);
}

TEST_F(RabbitmqTest, SomeQueuesNeedNoConsumer) {
  Bodies bodies = {{"/metrics/detailed", node_page("rabbit@a", {{"dlq", 4, 0}, {"work", 1, 0}})}};
  const auto server = serve(bodies);
  const Observation seen =
      fixture.observe("rabbitmq", "urls: ['" + server->url() + "'], no_consumers: dlq");
  EXPECT_EQ(seen.reading("unconsumed", "work"), 1);
  EXPECT_EQ(seen.reading("queue_depth", "dlq"), 4);
}

TEST_F(RabbitmqTest, NoConsumersMatchesWholeNames) {
  Bodies bodies = {
      {"/metrics/detailed", node_page("rabbit@a", {{"audit", 9, 0}, {"audit-mails", 4, 0}})}};
  const auto server = serve(bodies);
  const Observation seen =
      fixture.observe("rabbitmq", "urls: ['" + server->url() + "'], no_consumers: 'audit|mails'");
  EXPECT_EQ(seen.reading("unconsumed", "audit-mails"), 4);
}

TEST_F(RabbitmqTest, NamesOfDeadLettersAndDelaysNeedNoConsumer) {
  Bodies bodies;
  const auto server = serve(bodies);
  const auto unconsumed = [&](const std::string& name) {
    bodies["/metrics/detailed"] = node_page("rabbit@a", {{name, 4, 0}});
    return fixture.observe("rabbitmq", "urls: ['" + server->url() + "']")
        .reading("unconsumed", name);
  };
  for (const std::string name :
       {"dead", "Reports.DLQ", "reports_dlq", "ordersDlx", "DeadLetterQueue", "dead-letters",
        "orders.dead", "parking", "orders-parking", "parkingLot", "orders.retry.5s", "OrderRetry",
        "mails_retries", "delay", "nsb.delay-level-00", "orders.delayed", "Delay_5s"}) {
    EXPECT_EQ(unconsumed(name), std::nullopt) << name;
  }
  for (const std::string name :
       {"deadlines", "contract-deadline", "undelayed", "delays.flights", "carparking", "orders"}) {
    EXPECT_EQ(unconsumed(name), 4) << name;
  }
}

TEST_F(RabbitmqTest, NamesTheNodesThatDoNotRun) {
  Bodies bodies = management();
  bodies["/api/nodes"] =
      R"([{"name":"rabbit@a","running":true},{"name":"rabbit@b","running":false}])";
  const auto server = serve(bodies);
  const Observation seen = fixture.observe(*make("url: '" + server->url() + "', user: watch"));
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.reading("nodes_down", "rabbit@b"), 1);
  EXPECT_EQ(seen.value("rabbitmq_node_up", {{"node", "rabbit@b"}}), 0);
}

TEST_F(RabbitmqTest, HasTheNamesOfKbuddeOnRequest) {
  Bodies bodies = management();
  bodies["/api/queues"] = queue_list(
      item("a", kCounts) + ',' +
      item("b", R"("messages_ready":1,"state":"down","policy":"ha-all","durable":false)"));
  const auto server = serve(bodies);
  const Observation seen =
      fixture.observe("rabbitmq", "url: '" + server->url() + "', user: watch, names: kbudde");
  const auto labels = [](const std::string& name, const std::string& durable,
                         const std::string& policy) {
    return test::Labels{
        {"queue", name}, {"vhost", "/"}, {"durable", durable}, {"policy", policy}, {"self", "1"}};
  };
  const test::Labels a = labels("a", "true", "");
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", a), 7);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_unacknowledged", a), 2);
  EXPECT_EQ(seen.value("rabbitmq_queue_messages", a), 9);
  EXPECT_EQ(seen.value("rabbitmq_queue_consumers", a), 0);
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_unacked"), 0U);
  const test::Labels b = labels("b", "false", "ha-all");
  EXPECT_EQ(seen.value("rabbitmq_queue_messages_ready", b), 1);
  const auto state = [](test::Labels of, const std::string& name) {
    of["state"] = name;
    return of;
  };
  EXPECT_EQ(seen.value("rabbitmq_queue_state", state(a, "running")), 1);
  EXPECT_EQ(seen.value("rabbitmq_queue_state", state(b, "down")), 0);
  const test::Labels node = {{"node", "rabbit@a"}, {"self", "1"}};
  EXPECT_EQ(seen.value("rabbitmq_running", node), 1);
  EXPECT_EQ(seen.value("rabbitmq_node_mem_used", node), 100);
  EXPECT_EQ(seen.value("rabbitmq_node_disk_free_alarm", node), 1);
  EXPECT_EQ(seen.value("rabbitmq_partitions", node), 0);
  EXPECT_EQ(seen.count("rabbitmq_node_up"), 0U);
}

TEST_F(RabbitmqTest, PublishesTenThousandQueues) {
  std::vector<Row> rows;
  for (int i = 0; i < 10'000; ++i) rows.push_back({"queue-" + std::to_string(i), i});
  Bodies bodies = {{"/metrics/detailed", node_page("rabbit@a", rows)}};
  const auto server = serve(bodies);
  const Observation seen =
      fixture.observe("rabbitmq", "urls: ['" + server->url() + "'], max_queues: 10000");
  EXPECT_EQ(seen.failure(), "");
  EXPECT_EQ(seen.count("rabbitmq_queue_messages_ready"), 10'000U);
  EXPECT_EQ(seen.duplicates(), 0U);
}

TEST_F(RabbitmqTest, OptionsAreChecked) {
  EXPECT_THAT(error_of("interval: 5s"), HasSubstr("url or urls is required"));
  EXPECT_THAT(error_of("url: 'http://a', urls: ['http://b']"),
              HasSubstr("must not be set together with url"));
  EXPECT_THAT(error_of("url: 'amqp://a'"), HasSubstr("the scheme must be http or https"));
  EXPECT_THAT(error_of("urls: ['http://a', 'http://a']"), HasSubstr("http://a is listed twice"));
  EXPECT_THAT(error_of("url: 'http://u:secret@a'"), HasSubstr("use the keys user and password"));
  EXPECT_THAT(error_of("urls: ['http://a'], management: 'http://a'"),
              HasSubstr("is required with 'management'"));
  EXPECT_THAT(error_of("url: 'http://a', password: {env: X}"), HasSubstr("requires user"));
  EXPECT_THAT(error_of("url: 'http://a', names: other"), HasSubstr("kbudde"));
}

}  // namespace
}  // namespace vitalsd
