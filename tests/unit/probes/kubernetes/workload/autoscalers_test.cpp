// Autoscalers of kind workload against a scripted API server.
#include <string>
#include <string_view>

#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpScript;
using test::Labels;
using test::Message;

constexpr std::string_view kTarget = "kube_horizontalpodautoscaler_spec_target_metric";

Message container_metric(std::string_view container, std::int64_t percent) {
  const Message target = Message().number(4, percent);
  return Message().message(7, Message().text(1, "cpu").message(2, target).text(3, container));
}

Message external_metric(std::string_view queue, std::string_view value) {
  const Message identifier =
      Message().text(1, "queue_length").message(2, Message().entry(1, "queue", queue));
  const Message target = Message().message(2, Message().text(1, value));
  return Message().message(5, Message().message(1, identifier).message(2, target));
}

test::Observation observe(const Message& spec) {
  test::ProbeFixture fixture;
  const test::TempDirectory scratch;
  const Message autoscaler = Message().message(1, test::metadata("web")).message(2, spec);
  const HttpScript server(fixture.loop, [&](const std::string& target) -> HttpScript::Reply {
    if (target.contains("sendInitialEvents")) return {http_answer(400, "not known")};
    if (target.contains("watch=1")) return {test::http_stream(), true};
    if (!target.contains("horizontalpodautoscalers")) {  // which versions the server has
      return {http_answer(200, R"({"resources": [{"name": "horizontalpodautoscalers"}]})")};
    }
    return {http_answer(200, test::kubernetes_list({autoscaler}, 7))};
  });
  fixture.services.kubernetes.set_access(
      {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())), .context = ""});
  return fixture.observe("workload", "resources: [horizontalpodautoscalers]");
}

Labels labels(std::string_view metric, std::string_view type, std::string_view container,
              std::string_view selector) {
  return {{"namespace", "shop"},
          {"horizontalpodautoscaler", "web"},
          {"metric_name", std::string(metric)},
          {"metric_target_type", std::string(type)},
          {"container", std::string(container)},
          {"metric_object", ""},
          {"metric_selector", std::string(selector)}};
}

TEST(Autoscalers, PublishAllMetricsOfOneName) {
  const test::Observation run = observe(Message()
                                            .message(4, container_metric("web", 80))
                                            .message(4, container_metric("log", 60))
                                            .message(4, external_metric("orders", "30"))
                                            .message(4, external_metric("returns", "10")));
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value(kTarget, labels("cpu", "utilization", "web", "")), 80);
  EXPECT_EQ(run.value(kTarget, labels("cpu", "utilization", "log", "")), 60);
  EXPECT_EQ(run.value(kTarget, labels("queue_length", "value", "", "queue=orders")), 30);
  EXPECT_EQ(run.value(kTarget, labels("queue_length", "value", "", "queue=returns")), 10);
  EXPECT_EQ(run.duplicates(), 0U);
}

TEST(Autoscalers, CountMetricsThatHaveTheSameLabels) {
  const test::Observation run = observe(
      Message().message(4, container_metric("web", 80)).message(4, container_metric("web", 60)));
  EXPECT_EQ(run.count(kTarget), 1U);
  EXPECT_EQ(run.duplicates(), 1U);
}

}  // namespace
}  // namespace vitalsd
