#include "config/yaml.hpp"

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

#include "unit/support/memory.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace vitalsd::config {
namespace {

// The problems of a text; empty if it has none.
std::string problems_of(std::string_view text) {
  Problems problems("f");
  parse_yaml(text, problems);
  return problems.text();
}

// The tree of a text. Fails the test if the text has problems.
Value tree_of(std::string_view text) {
  Problems problems("f");
  Value tree = parse_yaml(text, problems);
  EXPECT_EQ(problems.text(), "");
  return tree;
}

std::string canonical_of(std::string_view text) { return canonical(tree_of(text)); }

TEST(Yaml, BecomesATree) {
  EXPECT_EQ(canonical_of("a:\n  - 1\n  - two\n  - b:\nc: 'x \"y\"'\n"),
            R"({"a":["1","two",{"b":~,},],"c":"x \"y\"",})");
}

TEST(Yaml, IsNullForAnEmptyText) {
  for (const char* text : {"", "# a comment\n", "~", "null", "---\n"}) {
    EXPECT_EQ(canonical_of(text), "~") << text;
  }
}

TEST(Yaml, MarksQuotedScalars) {
  const Value tree = tree_of("[5, '5', \"5\"]");
  EXPECT_FALSE(tree.items[0].quoted);
  EXPECT_TRUE(tree.items[1].quoted);
  EXPECT_TRUE(tree.items[2].quoted);
}

TEST(Yaml, ReadsLineEndsOfAllSystemsAndAByteOrderMark) {
  EXPECT_EQ(canonical_of("\xef\xbb\xbf"
                         "a: 1\r\nb: 2\r\n"),
            canonical_of("a: 1\nb: 2\n"));
}

TEST(Yaml, MarksKeysAndValues) {
  const Value tree = tree_of("a:\n  bc:   5\n");
  const Member& inner = tree.members[0].value.members[0];
  EXPECT_EQ(inner.mark, (Mark{2, 3}));
  EXPECT_EQ(inner.value.mark, (Mark{2, 9}));
}

TEST(Yaml, MarksNullsAtTheirKey) {
  const Value tree = tree_of("first:\nsecond: 2\n");
  EXPECT_EQ(tree.members[0].value.mark, (Mark{1, 1}));
}

TEST(Yaml, RefusesDuplicateKeys) {
  EXPECT_EQ(problems_of("a: 1\nb: 2\na: 3\n"), "f:3:1: duplicate key 'a': line 1 has it too\n");
  EXPECT_EQ(problems_of("{a: {x: 1, x: 2}}"), "f:1:12: duplicate key: line 1 has it too\n");
}

TEST(Yaml, HidesCredentialsInKeysAndTags) {
  EXPECT_EQ(problems_of("'redis://u:secret@h': 1\n'redis://u:secret@h': 2\n"),
            "f:2:1: duplicate key 'redis://***@h': line 1 has it too\n");
}

// A part of a secret without quotes can look like a key.
TEST(Yaml, ShowsNoTextThatMayBeAPartOfASecret) {
  for (const char* text : {"a: {SECRET}", "a: {b: x y, SECRET}", "a: {SECRET, SECRET}",
                           "a: {x:SECRET}", "a: {SECRET:x}", "a: {\"SECRET\"}", "a: !SECRET\n",
                           "a: SEC\n   SECRETtwo: x\n", "a: [!SECRET x]"}) {
    const std::string problems = problems_of(text);
    EXPECT_TRUE(problems.starts_with("f:")) << text;
    EXPECT_FALSE(problems.contains("SECRET")) << problems;
  }
  EXPECT_EQ(problems_of("a: {b: x y, SECRET}"),
            "f:1:13: a key in braces has no value: put text with a comma or a brace in quotes\n");
  EXPECT_EQ(problems_of("a: {b: 1, c: 2}"), "");
  for (const char* text : {"a: {b: null, c: ~}", "{\"\u00e4\": NULL, \"b\": Null}",
                           "\xef\xbb\xbf{\"a\": null,\r\n\"b\":null}", "{a: &n null, b: *n}"}) {
    EXPECT_EQ(problems_of(text), "") << text;
  }
}

TEST(Yaml, ReportsEveryDuplicate) {
  EXPECT_EQ(problems_of("a: 1\na: 2\na: 3\n"),
            "f:2:1: duplicate key 'a': line 1 has it too\n"
            "f:3:1: duplicate key 'a': line 1 has it too\n");
}

TEST(Yaml, RefusesMergeKeys) {
  EXPECT_EQ(problems_of("base: &b {x: 1}\nprobe:\n  <<: *b\n"),
            "f:3:3: merge keys (<<) are not supported: repeat the keys\n");
}

TEST(Yaml, RefusesTags) {
  const std::string message =
      ": a value that begins with '!' must be in quotes: tags are not supported\n";
  EXPECT_EQ(problems_of("a: !!int 5"), "f:1:4" + message);
  EXPECT_EQ(problems_of("a: !<redis://u:secret@h> 1\n"), "f:1:4" + message);
  EXPECT_EQ(problems_of("a: !Passw0rdSECRET\n"), "f:1:4" + message);
  EXPECT_EQ(problems_of("a: !mine [1]"), "f:1:4" + message);
  EXPECT_EQ(problems_of("!x {a: 1}"), "f:1:1" + message);
}

TEST(Yaml, RefusesKeysThatAreNotText) {
  EXPECT_EQ(problems_of("? [a]\n: b\n"), "f:1:3: a key must be text\n");
  EXPECT_EQ(problems_of("\"\": b\n"), "f:1:1: a key must be text\n");
  EXPECT_EQ(problems_of("~: b\n"), "f:1:1: a key must be text\n");
}

TEST(Yaml, RefusesASecondDocument) {
  EXPECT_EQ(problems_of("a: 1\n---\nb: 2\n"),
            "f:3:1: the file has more than one document: remove the text after '---'\n");
  EXPECT_EQ(problems_of("---\na: 1\n...\n"), "");
}

TEST(Yaml, CopiesTheValueOfAnAlias) {
  EXPECT_EQ(canonical_of("a: &x {k: [1]}\nb: *x\n"), canonical_of("a: {k: [1]}\nb: {k: [1]}\n"));
}

TEST(Yaml, RefusesAliasesWithoutAnAnchor) {
  EXPECT_EQ(
      problems_of("a: *x\n"),
      "f:1:4: not valid YAML: the '*' begins an alias, and no anchor has its name: put the text in "
      "quotes; the line begins with 'a:'\n");
  EXPECT_EQ(problems_of("a: &x [*x]\n"),
            "f:1:8: the alias is inside the value of its own anchor\n");
}

TEST(Yaml, RefusesAnAliasBomb) {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 20; ++i) {  // ten copies of ten copies of ...
    const std::string copy = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + copy;
    for (int j = 1; j < 10; ++j) text += ", " + copy;
    text += "]\n";
  }
  EXPECT_EQ(problems_of(text),
            "f:5:40: anchors and aliases make the file too large: use fewer aliases\n");
}

TEST(Yaml, RefusesABombOfNestedAnchors) {
  std::string text;  // the parser copies each list for its anchor and for all anchors around it
  for (int i = 0; i < 150; ++i) text += "&a" + std::to_string(i) + " [";
  for (int i = 0; i < 20'000; ++i) text += "x, ";
  text += std::string(150, ']');
  EXPECT_THAT(problems_of(text),
              testing::HasSubstr("anchors and aliases make the file too large: use fewer aliases"));
}

// A file of 100 KB once took 2 GB. The limit is for the address space of a child process.
TEST(Yaml, RefusesABombOfNestedAnchorsWithoutMuchMemory) {
  if (test::kIsSanitized) GTEST_SKIP() << "the sanitizers reserve address space";
  std::string text;
  for (int i = 0; i < 150; ++i) text += "&a" + std::to_string(i) + " [";
  for (int i = 0; i < 33'000; ++i) text += "x, ";
  text += std::string(150, ']');
  const auto read_with_little_memory = [&] {
    constexpr std::size_t kAllowed = std::size_t{200} << 20;
    const std::size_t limit = test::address_space_bytes() + kAllowed;
    const rlimit memory{limit, limit};
    if (setrlimit(RLIMIT_AS, &memory) != 0) std::_Exit(2);
    std::_Exit(problems_of(text).contains("use fewer aliases") ? 0 : 1);
  };
  EXPECT_EXIT(read_with_little_memory(), testing::ExitedWithCode(0), "");
}

TEST(Yaml, RefusesABombOfLongTexts) {
  std::string text = "- &a " + std::string(100'000, 'x') + '\n';
  for (int i = 0; i < 50'000; ++i) text += "- *a\n";  // 5 GB
  EXPECT_EQ(problems_of(text),
            "f:168:3: anchors and aliases make the file too large: use fewer aliases\n");
}

TEST(Yaml, RefusesABombOfDepth) {
  std::string text = "- &a0 " + std::string(90, '[') + std::string(90, ']') + '\n';
  for (int i = 1; i < 20; ++i) {
    text += "- &a" + std::to_string(i) + ' ' + std::string(90, '[') + "*a" + std::to_string(i - 1) +
            std::string(90, ']') + '\n';
  }
  EXPECT_EQ(problems_of(text), "f:3:97: the values are nested too deeply\n");
}

TEST(Yaml, AcceptsManyAliasesAndAlmostAMillionValues) {
  std::string text = "a: &a {x: y}\nb:\n";
  for (int i = 0; i < 40'000; ++i) text += "- *a\n";
  EXPECT_EQ(problems_of(text), "");
  EXPECT_EQ(problems_of("a:\n" +
                        [] {
                          std::string many;
                          for (int i = 0; i < 1'000'000; ++i) many += "- x\n";
                          return many;
                        }()),
            "f:999999:3: the file has more than 1000000 values\n");
}

TEST(Yaml, ReadsManyKeysWithinSeconds) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tree_of(text).members.size(), 200'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Yaml, AcceptsTwoHundredLevels) {
  EXPECT_EQ(problems_of(std::string(200, '[') + std::string(200, ']')), "");
  EXPECT_EQ(problems_of(std::string(201, '[') + std::string(201, ']')),
            "f:1:201: the values are nested too deeply\n");
  EXPECT_THAT(problems_of(std::string(100'000, '[')),
              testing::HasSubstr("the values are nested too deeply"));
}

TEST(Yaml, ReportsThePlaceOfSyntaxErrors) {
  EXPECT_EQ(problems_of("a: {b: 1\n"),
            "f:2:1: not valid YAML: the '{' in line 1 is not closed, or a comma is missing\n");
  EXPECT_EQ(problems_of("a: [b\n"),
            "f:2:1: not valid YAML: the '[' in line 1 is not closed, or a comma is missing\n");
  EXPECT_EQ(problems_of("a: b: c\n"),
            "f:1:5: not valid YAML: a second ':' in the line: put the text in quotes; the line "
            "begins with 'a:'\n");
  EXPECT_EQ(problems_of("a: \"b\n"),
            "f:1:4: not valid YAML: a quote is not closed; the line begins with 'a:'\n");
  EXPECT_EQ(problems_of("a: `b\n"),
            "f:1:4: not valid YAML: a value cannot begin with this character: use quotes; the line "
            "begins with 'a:'\n");
}

TEST(Yaml, RefusesOtherEncodings) {
  using namespace std::string_view_literals;
  constexpr std::string_view kUtf16 = "f: the file is UTF-16 or UTF-32: save it as UTF-8\n";
  EXPECT_EQ(problems_of("\xff\xfe"
                        "a\0:\0"sv),
            kUtf16);
  EXPECT_EQ(problems_of("a\0:\0 \0b\0"sv), kUtf16);
  EXPECT_EQ(problems_of("\0a\0:\0 \0b"sv), kUtf16);
  EXPECT_EQ(problems_of("a: b\nc: \0\n"sv), "f:2:4: the file contains a zero byte: remove it\n");
  EXPECT_EQ(problems_of("a: b\nc: é\xe9\n"),
            "f:2:5: warning: the file is not UTF-8 here: save it as UTF-8\n");
  EXPECT_EQ(problems_of("\xef\xbb\xbf"
                        "a: é€😀\r\n"),
            "");
}

// Only the beginning of the line is shown, because the rest may be a secret.
TEST(Yaml, ShowsNoValues) {
  for (const char* text :
       {"password: hunter2: x\n", "password:\thunter2: x\n", "a:\n\t- password: hunter2\n",
        "password: \"hunter2\n", "password: 'a' hunter2\n", "password: \"\\hunter2\"\n",
        "{a: b, password: hunter2\n", "{password:hunter2}\n", "password:hunter2\nb: c\n",
        "a: \"b\nc: d\npassword: \"hunter2\n", "password: *hunter2\n", "- hunter2\n x: y\n"}) {
    EXPECT_NE(problems_of(text), "") << text;
    EXPECT_FALSE(problems_of(text).contains("hunter2")) << problems_of(text);
  }
}

TEST(Canonical, DoesNotDependOnOrderLayoutAndComments) {
  EXPECT_EQ(canonical_of("b: 2 # two\na: {y: '1', x: [q]}\n"),
            canonical_of("a:\n  x: [q]\n  y: 1\nb: 2"));
}

TEST(Canonical, DiffersForDifferentTrees) {
  EXPECT_NE(canonical_of("a: [b, c]"), canonical_of("a: [c, b]"));
  EXPECT_NE(canonical_of("a: ~"), canonical_of("a: '~'"));
  EXPECT_NE(canonical_of("a: '\"b'"), canonical_of("a: b"));
  EXPECT_NE(canonical_of("a: {b: c}"), canonical_of("a: [b, c]"));
}

}  // namespace
}  // namespace vitalsd::config
