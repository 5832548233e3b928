#include "config/node.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

// One mapping being read.
struct Reading {
  explicit Reading(std::string_view text) : tree(parse_yaml(text, problems)) {}

  // All problems, unknown keys included.
  std::string finish() {
    node.finish();
    return problems.text();
  }

  Problems problems{"f"};
  Value tree;
  Node node{tree, "", problems};
};

TEST(Node, ReadsWhatIsAskedFor) {
  Reading in("{text: a b, count: 3, wait: 5s}");
  EXPECT_EQ(in.node.get<std::string>("text", "none", ""), "a b");
  EXPECT_EQ(in.node.required<std::int64_t>("count", ""), 3);
  EXPECT_EQ(in.node.find<Duration>("wait", ""), Duration(5'000));
  EXPECT_EQ(in.finish(), "");
}

TEST(Node, FallsBackWhereNothingIsSaid) {
  Reading in("{}");
  EXPECT_EQ(in.node.get<std::string>("text", "none", ""), "none");
  EXPECT_EQ(in.node.find<Duration>("wait", ""), std::nullopt);
  EXPECT_EQ(in.node.list<std::string>("names", "").size(), 0U);
  EXPECT_EQ(in.node.section("tls", "").get<bool>("verify", true, ""), true);
  EXPECT_FALSE(in.node.secret("password", ""));
  EXPECT_EQ(in.finish(), "");
}

TEST(Node, FallsBackWhereAValueIsWrongAndGoesOn) {
  Reading in("count: x\nwait: 5\n");
  EXPECT_EQ(in.node.get<std::int64_t>("count", 7, ""), 7);
  EXPECT_EQ(in.node.required<Duration>("wait", ""), Duration(0));
  EXPECT_EQ(in.finish(),
            "f:1:8: count: 'x' is not a decimal number\n"
            "f:2:7: wait: '5' has no unit: write for example 500ms, 30s, 5m, 24h or 30d\n");
}

TEST(Node, NamesMissingKeysWithTheirType) {
  Reading in("a: 1");
  in.node.get<std::int64_t>("a", 0, "");
  in.node.required<std::string>("name", "");
  in.node.required<std::int64_t>("count", "");
  in.node.required<bool>("verify", "");
  in.node.required<Endpoint>("endpoint", "");
  EXPECT_EQ(in.finish(),
            "f:1:1: the key 'name' is missing (text)\n"
            "f:1:1: the key 'count' is missing (a whole number)\n"
            "f:1:1: the key 'verify' is missing (true or false)\n"
            "f:1:1: the key 'endpoint' is missing (a host:port)\n");
}

TEST(Node, ExpectsAMapping) {
  Reading in("[a, b]");
  in.node.required<std::string>("name", "");  // cannot be said to be missing
  EXPECT_EQ(in.finish(), "f:1:1: expected a mapping of keys, found a list\n");
}

TEST(Node, ExpectsScalars) {
  Reading in("a: [1]\nb: {c: d}\ne:\n");
  in.node.get<std::string>("a", "", "");
  in.node.get<std::int64_t>("b", 0, "");
  in.node.get<Duration>("e", Duration(0), "");
  EXPECT_EQ(in.finish(),
            "f:1:4: a: expected text, found a list\n"
            "f:2:4: b: expected a whole number, found a mapping\n"
            "f:3:1: e: expected a duration, found nothing\n");
}

TEST(Node, WantsNumbersWithoutQuotes) {
  Reading in("count: '3'\nshare: \"0.5\"\nverify: 'true'\nwait: '5s'\n");
  in.node.get<std::int64_t>("count", 0, "");
  in.node.get<double>("share", 0, "");
  in.node.get<bool>("verify", false, "");
  EXPECT_EQ(in.node.get<Duration>("wait", Duration(0), ""), Duration(5'000));
  EXPECT_EQ(in.finish(),
            "f:1:8: count: expected a whole number, found text: write it without quotes\n"
            "f:2:8: share: expected a number, found text: write it without quotes\n"
            "f:3:9: verify: expected true or false, found text: write it without quotes\n");
}

TEST(Node, KeepsValuesInTheirRange) {
  Reading in("low: 1\nhigh: 11\nleast: 2\nmost: 10\nwait: 1h\n");
  const Range<std::int64_t> range{2, 10};
  EXPECT_EQ(in.node.get<std::int64_t>("low", 5, "", range), 5);
  EXPECT_EQ(in.node.get<std::int64_t>("high", 5, "", range), 5);
  EXPECT_EQ(in.node.get<std::int64_t>("least", 5, "", range), 2);
  EXPECT_EQ(in.node.get<std::int64_t>("most", 5, "", range), 10);
  in.node.get<Duration>("wait", Duration(1'000), "", {Duration(10), Duration(90'000)});
  EXPECT_EQ(in.finish(),
            "f:1:6: low: must be between 2 and 10\n"
            "f:2:7: high: must be between 2 and 10\n"
            "f:5:7: wait: must be between 10ms and 1m30s\n");
}

TEST(Node, ReadsListsItemByItem) {
  Reading in("ports: [80, x, 443, '8']\nhosts: a\n");
  EXPECT_EQ(in.node.list<std::int64_t>("ports", ""), (std::vector<std::int64_t>{80, 443}));
  EXPECT_EQ(in.node.list<std::string>("hosts", ""), std::vector<std::string>{});
  EXPECT_EQ(in.finish(),
            "f:1:13: ports[1]: 'x' is not a decimal number\n"
            "f:1:21: ports[3]: expected a whole number, found text: write it without quotes\n"
            "f:2:8: hosts: expected a list, found text\n");
}

TEST(Node, ReadsMapsEntryByEntry) {
  Reading in("labels: {b: x, a: 1, c: [y]}\nlimits: [1]\n");
  EXPECT_EQ(in.node.map<std::string>("labels", ""),
            (std::vector<std::pair<std::string, std::string>>{{"b", "x"}, {"a", "1"}}));
  in.node.map<std::int64_t>("limits", "");
  EXPECT_EQ(in.finish(),
            "f:1:25: labels.c: expected text, found a list\n"
            "f:2:9: limits: expected a mapping of keys, found a list\n");
}

TEST(Node, TakesOneOfSeveralChoices) {
  Reading in("level: warn\nformat: jsno\nstyle: 5\n");
  EXPECT_EQ(in.node.choice("level", {"info", "warn"}, ""), "warn");
  EXPECT_EQ(in.node.choice("format", {"logfmt", "json"}, ""), "logfmt");
  EXPECT_EQ(in.node.choice("style", {"plain", "fancy"}, ""), "plain");
  EXPECT_EQ(in.node.choice("absent", {"first", "second"}, ""), "first");
  EXPECT_EQ(in.finish(),
            "f:2:9: format: 'jsno' is not one of logfmt, json (did you mean 'json'?)\n"
            "f:3:8: style: '5' is not one of plain, fancy\n");
}

TEST(Node, ReportsUnknownKeysWithASuggestion) {
  Reading in("tiemout: 5s\n");
  in.node.get<Duration>("timeout", Duration(0), "");
  EXPECT_EQ(in.finish(), "f:1:1: tiemout: unknown key (did you mean 'timeout'?)\n");
}

TEST(Node, ListsTheKnownKeysWhereNoneIsNear) {
  Reading in("pasword: x\n");
  in.node.get<std::string>("name", "", "");
  in.node.get<std::string>("url", "", "");
  in.node.get<std::string>("url", "", "");  // asked twice, listed once
  EXPECT_EQ(in.finish(), "f:1:1: pasword: unknown key; known here: name, url\n");
}

TEST(Node, ReportsUnknownKeysInSectionsAndLists) {
  Reading in("tls: {ac: x}\nitems:\n  - {nam: a}\n  - {name: b}\n");
  in.node.section("tls", "").get<std::string>("ca", "", "");
  for (Node& item : in.node.sections("items", "")) item.get<std::string>("name", "", "");
  EXPECT_EQ(in.finish(),
            "f:1:7: tls.ac: unknown key (did you mean 'ca'?)\n"
            "f:3:6: items[0].nam: unknown key (did you mean 'name'?)\n");
}

TEST(Node, KeepsQuietAboutKeysOfAReaderThatIsUnknown) {
  Reading in("{anything: 1}");
  in.node.ignore_unknown();
  EXPECT_EQ(in.finish(), "");
}

TEST(Node, CanBeBlamedAtAKeyOrAsAWhole) {
  Reading in("a: 5\n");
  in.node.get<std::int64_t>("a", 0, "");
  in.node.error("a", "clashes with b");
  in.node.error("b", "is needed by a");
  in.node.warning("a", "is old");
  EXPECT_EQ(in.finish(),
            "f:1:1: is needed by a\n"
            "f:1:4: a: clashes with b\n"
            "f:1:4: warning: a: is old\n");
}

TEST(Node, ReadsSecretsFromFilesAndTheEnvironment) {
  Reading in("one: {file: /run/secrets/p}\ntwo: {env: P}\n");
  EXPECT_TRUE(in.node.secret("one", ""));
  EXPECT_TRUE(in.node.secret("two", ""));
  EXPECT_EQ(in.finish(), "");
}

TEST(Node, WarnsOfSecretsInTheFileItself) {
  Reading in("password: hunter2\n");
  EXPECT_EQ(*in.node.secret("password", "").read(), "hunter2");
  EXPECT_FALSE(in.problems.has_errors());
  EXPECT_EQ(in.finish(),
            "f:1:11: warning: password: a secret in this file is readable by whoever reads it: use "
            "{file: PATH} or {env: NAME}\n");
}

TEST(Node, WantsOneSourceOfASecret) {
  constexpr std::string_view kForms = "expected {file: PATH}, {env: NAME} or {credential: NAME}";
  const auto problems_of = [](std::string_view text) {
    Reading in(text);
    in.node.secret("p", "");
    return in.finish();
  };
  const std::string front = "f:1:4: p: " + std::string(kForms);
  EXPECT_EQ(problems_of("p: {file: a, env: B}"), front + ", one of them\n");
  EXPECT_EQ(problems_of("p: {}"), front + ", one of them\n");
  EXPECT_EQ(problems_of("p: {credential: a, env: B}"), front + ", one of them\n");
  EXPECT_EQ(problems_of("p: [a]"), front + ", found a list\n");
  EXPECT_EQ(problems_of("p: {fiel: a, env: B}"),
            "f:1:5: p.fiel: unknown key (did you mean 'file'?)\n");
  EXPECT_EQ(problems_of("p: {file: [a]}"), "f:1:11: p.file: expected text, found a list\n");
}

TEST(Node, DescribesItsKeysInsteadOfReadingThem) {
  std::vector<Option> options;
  Problems ignored("");
  Node node = Node::describing(options, ignored);
  node.required<Endpoint>("endpoint", "where to connect");
  node.section("tls", "").get<bool>("verify", true, "check the certificate");
  for (Node& item : node.sections("items", "")) item.list<std::string>("names", "");
  node.error("endpoint", "nothing is wrong with what is only described");
  node.finish();

  ASSERT_EQ(options.size(), 5U);
  EXPECT_EQ(options[0].path, "endpoint");
  EXPECT_EQ(options[0].type, "host:port");
  EXPECT_TRUE(options[0].required);
  EXPECT_EQ(options[2].path, "tls.verify");
  EXPECT_EQ(options[2].fallback, "true");
  EXPECT_EQ(options[2].help, "check the certificate");
  EXPECT_EQ(options[4].path, "items[].names");
  EXPECT_EQ(options[4].type, "list of text");
  EXPECT_EQ(ignored.text(), "");
}

}  // namespace
}  // namespace vitalsd::config
