#include "probes/net/kubernetes/api.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

using testing::ElementsAre;

TEST(Resource, ReturnsVersionsInOrderOfPreference) {
  const Resource pods{.group = "", .version = "v1", .plural = "pods"};
  EXPECT_THAT(pods.versions(), ElementsAre("v1"));
  const Resource autoscalers{.group = "autoscaling",
                             .version = "v2",
                             .plural = "horizontalpodautoscalers",
                             .older_versions = {"v2beta2", "v1"}};
  EXPECT_THAT(autoscalers.versions(), ElementsAre("v2", "v2beta2", "v1"));
}

TEST(ListsResource, MatchesTheWholePluralName) {
  constexpr std::string_view kList = R"({"kind": "APIResourceList", "groupVersion": "batch/v1",
      "resources": [{"name": "jobs"}, {"name": "cronjobs/status"}, {"name": 7}, null]})";
  EXPECT_TRUE(lists_resource(kList, "jobs"));
  EXPECT_FALSE(lists_resource(kList, "cronjobs"));
  EXPECT_FALSE(lists_resource(R"({"resources": []})", "jobs"));
}

TEST(ListsResource, RejectsInvalidLists) {
  for (const std::string_view text :
       {"", "{", "[]", "7", "{}", R"({"resources": null})", R"({"resources": "jobs"})", "<html>"}) {
    EXPECT_THROW(lists_resource(text, "jobs"), ProbeError) << text;
  }
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
