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

TEST(Problems, AreToldUpToANumber) {
  Problems problems("f");
  for (int i = 1; i <= 100; ++i) {
    EXPECT_FALSE(problems.full());
    problems.error({i, 1}, "", "wrong");
  }
  EXPECT_TRUE(problems.full());
  EXPECT_EQ(problems.list().size(), 100U);
  problems.error({101, 1}, "", "wrong");
  EXPECT_TRUE(problems.text().ends_with("f:100:1: wrong\nf: and 1 more error, not shown\n"));
  for (int i = 0; i < 5000; ++i) problems.warning({200, 1}, "", "odd");
  problems.error({1, 1}, "", "wrong");
  EXPECT_EQ(problems.list().size(), 202U);
  EXPECT_TRUE(
      problems.text().ends_with("f:200:1: warning: odd\nf: and 2 more errors, not shown\n"
                                "f: warning: and 4900 more warnings, not shown\n"));
}

TEST(Problems, OfWhichManyAreWarningsHideNoError) {
  Problems problems("f");
  for (int i = 0; i < 5000; ++i) problems.warning({1, 1}, "", "odd");
  EXPECT_FALSE(problems.has_errors());
  problems.error({2, 1}, "", "wrong");
  EXPECT_TRUE(problems.has_errors());
  EXPECT_TRUE(problems.text().contains("f:2:1: wrong\n"));
}

}  // namespace
}  // namespace vitalsd::config
