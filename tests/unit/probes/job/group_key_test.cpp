#include "probes/job/group_key.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::job {
namespace {

GroupLabels labels_of(std::string_view path) {
  const auto labels = parse_group(path);
  if (!labels) return {{"refused", labels.error().text}};
  return *labels;
}

std::string refusal_of(std::string_view path) {
  const auto labels = parse_group(path);
  if (labels) return "";
  EXPECT_EQ(labels.error().status, 400);
  return labels.error().text;
}

TEST(PushPaths, OfAJob) {
  EXPECT_EQ(push_paths("abc"),
            (std::vector<std::string>{"/metrics/job/abc", "/metrics/job@base64/YWJj"}));
  EXPECT_EQ(push_paths("db-1"),
            (std::vector<std::string>{"/metrics/job/db-1", "/metrics/job@base64/ZGItMQ",
                                      "/metrics/job@base64/ZGItMQ=="}));
  EXPECT_EQ(push_paths("a.b_c").back(), "/metrics/job@base64/YS5iX2M=");
}

// The results of Pushgateway 1.5.1 for the same paths.
TEST(ParseGroup, ReadsLabels) {
  EXPECT_EQ(labels_of(""), GroupLabels());
  EXPECT_EQ(labels_of("/"), GroupLabels());
  EXPECT_EQ(labels_of("/z/1/a/2"), (GroupLabels{{"a", "2"}, {"z", "1"}}));
  EXPECT_EQ(labels_of("/a/"), GroupLabels());  // an empty label is the same as no label
  EXPECT_EQ(labels_of("/a@base64/="), GroupLabels());
  EXPECT_EQ(labels_of("/a/x%20y"), (GroupLabels{{"a", "x y"}}));
  EXPECT_EQ(labels_of("/a/x+y"), (GroupLabels{{"a", "x+y"}}));
  EXPECT_EQ(labels_of("/a/%C3%A4"), (GroupLabels{{"a", "ä"}}));
  EXPECT_EQ(labels_of("/path@base64/L3Zhci90bXA"), (GroupLabels{{"path", "/var/tmp"}}));
  EXPECT_EQ(labels_of("/path@base64/L3Zhci90bXA="), (GroupLabels{{"path", "/var/tmp"}}));
  EXPECT_EQ(labels_of("/path/%2Fvar%2Ftmp"), (GroupLabels{{"path", "/var/tmp"}}));
  // Both alphabets.
  EXPECT_EQ(labels_of("/a@base64/w7_Dvj8"), (GroupLabels{{"a", "ÿþ?"}}));
  EXPECT_EQ(labels_of("/a@base64/w7%2FDvj8="), (GroupLabels{{"a", "ÿþ?"}}));
}

TEST(ParseGroup, RefusesWhatIsNoLabel) {
  EXPECT_EQ(refusal_of("/a"), "The path has a label without a value.\n");
  EXPECT_EQ(refusal_of("/a/1/"), "The path has a label without a value.\n");
  EXPECT_EQ(refusal_of("/a/1/b"), "The path has a label without a value.\n");
  EXPECT_EQ(refusal_of("/__name__/x"), "The path has an invalid label name: '__name__'.\n");
  for (const std::string_view invalid : {"/1a/x", "/a-b/x", "//x", "/a%62/x", "/@base64/eA"}) {
    EXPECT_TRUE(refusal_of(invalid).contains("invalid label name")) << invalid;
  }
  EXPECT_TRUE(refusal_of("/job/other").contains("the name of the job"));
  EXPECT_TRUE(refusal_of("/a/1/a/2").contains("the label 'a' twice"));
  for (const std::string_view invalid : {"/a@base64/!!", "/a@base64/A", "/a@base64/AAA===="}) {
    EXPECT_TRUE(refusal_of(invalid).contains("is not valid base64")) << invalid;
  }
  for (const std::string_view invalid : {"/a/%", "/a/%4", "/a/%zz"}) {
    EXPECT_TRUE(refusal_of(invalid).contains("is not valid percent-encoding")) << invalid;
  }
}

TEST(ParseGroup, RefusesValuesThatNoPageMayHave) {
  for (const std::string_view invalid : {"/a/%00", "/a/x%0d%0ay", "/a/%FF", "/a@base64/AA"}) {
    EXPECT_TRUE(refusal_of(invalid).contains("without control characters")) << invalid;
  }
  EXPECT_EQ(refusal_of("/a/" + std::string(1024, 'x')), "");
  EXPECT_NE(refusal_of("/a/" + std::string(1025, 'x')), "");
  EXPECT_EQ(refusal_of('/' + std::string(128, 'x') + "/1"), "");
  EXPECT_LT(refusal_of('/' + std::string(10'000, 'x') + "/1").size(), 250U);
  std::string many;
  for (int i = 0; i < 20; ++i) many += "/l" + std::to_string(i) + "/1";
  EXPECT_EQ(refusal_of(many), "");
  EXPECT_NE(refusal_of(many + "/x/1"), "");
}

}  // namespace
}  // namespace vitalsd::job
