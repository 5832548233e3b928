#include "exporter/web/html.hpp"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

TEST(EscapeHtml, EscapesAllSpecialCharacters) {
  EXPECT_EQ(escape_html(R"(<a href="x" onclick='y'>&amp;</a>)"),
            "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
  EXPECT_EQ(escape_html("plain é"), "plain é");
}

TEST(Age, IsRounded) {
  EXPECT_EQ(age(-5s), "0 s");
  EXPECT_EQ(age(59s), "59 s");
  EXPECT_EQ(age(119s), "1 min");
  EXPECT_EQ(age(47h), "47 h");
  EXPECT_EQ(age(49h), "2 d");
}

TEST(Exact, IsNotRounded) {
  EXPECT_EQ(exact(500ms), "500 ms");
  EXPECT_EQ(exact(90s), "90 s");
  EXPECT_EQ(exact(120s), "2 min");
  EXPECT_EQ(exact(25h), "25 h");
}

TEST(PageStart, FindsTheIconFromEachPage) {
  EXPECT_TRUE(
      page_start({.title = "t", .verdict = Verdict::ok}).contains("href=\"favicon.ico?ok\""));
  EXPECT_TRUE(page_start({.title = "t", .verdict = Verdict::critical, .root = "../"})
                  .contains("href=\"../favicon.ico?critical\""));
}

}  // namespace
}  // namespace vitalsd
