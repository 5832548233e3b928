#include "config/problems.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

TEST(Problems, AreSortedByPlace) {
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

TEST(Problems, KeepTheirOrderAtOnePlace) {
  Problems problems("f");
  problems.error({1, 1}, "", "first");
  problems.error({1, 1}, "", "second");
  EXPECT_EQ(problems.text(), "f:1:1: first\nf:1:1: second\n");
}

TEST(Problems, DoNotCountWarningsAsErrors) {
  Problems problems("f");
  problems.warning({}, "", "mind this");
  EXPECT_FALSE(problems.has_errors());
  problems.error({}, "", "wrong");
  EXPECT_TRUE(problems.has_errors());
}

TEST(Nearest, FindsTheKeyBehindATypingError) {
  const std::vector<std::string_view> keys = {"interval", "timeout", "labels", "url"};
  EXPECT_EQ(nearest("intervall", keys), "interval");  // one letter too many
  EXPECT_EQ(nearest("tiemout", keys), "timeout");     // neighbours swapped
  EXPECT_EQ(nearest("lables", keys), "labels");
  EXPECT_EQ(nearest("uri", keys), "url");
}

TEST(Nearest, SuggestsNothingForADifferentWord) {
  const std::vector<std::string_view> keys = {"interval", "url"};
  EXPECT_EQ(nearest("password", keys), "");
  EXPECT_EQ(nearest("x", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("url", {}), "");
  EXPECT_EQ(nearest(std::string(65, 'u'), keys), "");
}

TEST(DidYouMean, IsEmptyWithoutASimilarWord) {
  EXPECT_EQ(did_you_mean("kidn", {"name", "kind"}), " (did you mean 'kind'?)");
  EXPECT_EQ(did_you_mean("zzzzzz", {"name", "kind"}), "");
}

TEST(Problems, HideCredentialsInAPath) {
  Problems problems("f");
  problems.error({1, 2}, "probes[0].redis://u:secret@h", "unknown key");
  EXPECT_EQ(problems.text(), "f:1:2: probes[0].redis://***@h: unknown key\n");
}

TEST(Problems, ShowTheFirstHundredAndCountTheRest) {
  Problems problems("f");
  for (int i = 1; i <= 100; ++i) {
    EXPECT_FALSE(problems.full());
    problems.error({i, 1}, "", "wrong");
  }
  EXPECT_TRUE(problems.full());
  EXPECT_EQ(problems.list().size(), 100U);
  problems.error({101, 1}, "", "wrong");
  EXPECT_TRUE(problems.text().ends_with("f:100:1: wrong\nf: 1 more error is not shown\n"));
  for (int i = 0; i < 5000; ++i) problems.warning({200, 1}, "", "odd");
  problems.error({1, 1}, "", "wrong");
  EXPECT_EQ(problems.list().size(), 202U);
  EXPECT_TRUE(
      problems.text().ends_with("f:200:1: warning: odd\nf: 2 more errors are not shown\n"
                                "f: warning: 4900 more warnings are not shown\n"));
}

TEST(Problems, ShowErrorsDespiteManyWarnings) {
  Problems problems("f");
  for (int i = 0; i < 5000; ++i) problems.warning({1, 1}, "", "odd");
  EXPECT_FALSE(problems.has_errors());
  problems.error({2, 1}, "", "wrong");
  EXPECT_TRUE(problems.has_errors());
  EXPECT_TRUE(problems.text().contains("f:2:1: wrong\n"));
}

TEST(Quoted, EscapesControlCharacters) {
  EXPECT_EQ(config::quoted("a\nb\x1b[31m\x7f"), "'a\\x0ab\\x1b[31m\\x7f'");
  EXPECT_EQ(config::quoted("é"), "'é'");
}

TEST(Quoted, HidesCredentials) {
  EXPECT_EQ(config::quoted("http://u:p@h/x"), "'http://***@h/x'");
  EXPECT_EQ(config::quoted("http://u:p/w@x@h/"), "'http://***@h/'");
  EXPECT_EQ(config::quoted("see http://token@h"), "'see http://***@h'");
  EXPECT_EQ(config::quoted("u:p@h:80"), "'***@h:80'");
  EXPECT_EQ(config::quoted("http://u:" + std::string(100, 'p') + "@h"), "'http://***@h'");
  for (const char* text : {"user@h:80", "a@b http://h", "error: no @ here", "http://h/", "a:b"}) {
    EXPECT_EQ(config::quoted(text), "'" + std::string(text) + "'");
  }
}

TEST(Quoted, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(config::quoted(std::string(80, 'x')), "'" + std::string(80, 'x') + "'");
  EXPECT_EQ(config::quoted(std::string(81, 'x')), "'" + std::string(80, 'x') + "…'");
  EXPECT_EQ(config::quoted(std::string(79, 'x') + "éé"), "'" + std::string(79, 'x') + "…'");
}

}  // namespace
}  // namespace vitalsd::config
