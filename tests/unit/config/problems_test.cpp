#include "config/problems.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

TEST(Problems, StandInTheOrderOfTheFile) {
  Problems problems("f.yaml");
  problems.error({7, 3}, "probes[0].interval", "is too short");
  problems.warning({2, 5}, "web", "is open");
  problems.error({2, 1}, "", "no path");
  problems.error({}, "", "about the file");
  EXPECT_EQ(problems.text(),
            "f.yaml: about the file\n"
            "f.yaml:2:1: no path\n"
            "f.yaml:2:5: warning: web: is open\n"
            "f.yaml:7:3: probes[0].interval: is too short\n");
}

TEST(Problems, OfOnePlaceKeepTheirOrder) {
  Problems problems("f");
  problems.error({1, 1}, "", "first");
  problems.error({1, 1}, "", "second");
  EXPECT_EQ(problems.text(), "f:1:1: first\nf:1:1: second\n");
}

TEST(Problems, WarningsAreNoErrors) {
  Problems problems("f");
  problems.warning({}, "", "mind this");
  EXPECT_FALSE(problems.has_errors());
  problems.error({}, "", "wrong");
  EXPECT_TRUE(problems.has_errors());
}

TEST(Nearest, ForgivesASlipOfTheFingers) {
  const std::vector<std::string_view> keys = {"interval", "timeout", "labels", "url"};
  EXPECT_EQ(nearest("intervall", keys), "interval");  // one letter too many
  EXPECT_EQ(nearest("tiemout", keys), "timeout");     // neighbours swapped
  EXPECT_EQ(nearest("lables", keys), "labels");
  EXPECT_EQ(nearest("uri", keys), "url");
}

TEST(Nearest, SuggestsNothingFarFetched) {
  const std::vector<std::string_view> keys = {"interval", "url"};
  EXPECT_EQ(nearest("password", keys), "");
  EXPECT_EQ(nearest("x", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("url", {}), "");
  EXPECT_EQ(nearest(std::string(65, 'u'), keys), "");
}

TEST(DidYouMean, IsEmptyWithoutASuggestion) {
  EXPECT_EQ(did_you_mean("kidn", {"name", "kind"}), " (did you mean 'kind'?)");
  EXPECT_EQ(did_you_mean("zzzzzz", {"name", "kind"}), "");
}

TEST(Problems, HideCredentialsInAPath) {
  Problems problems("f");
  problems.error({1, 2}, "probes[0].redis://u:secret@h", "unknown key");
  EXPECT_EQ(problems.text(), "f:1:2: probes[0].redis://***@h: unknown key\n");
}

}  // namespace
}  // namespace vitalsd::config
