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

// A node with its tree and its problems.
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

TEST(Node, ReadsKeys) {
  Reading in("{text: a b, count: 3, wait: 5s}");
  EXPECT_EQ(in.node.get<std::string>("text", "none", ""), "a b");
  EXPECT_EQ(in.node.required<std::int64_t>("count", ""), 3);
  EXPECT_EQ(in.node.find<Duration>("wait", ""), Duration(5'000));
  EXPECT_EQ(in.finish(), "");
}

TEST(Node, ReturnsTheFallbackForMissingKeys) {
  Reading in("{}");
  EXPECT_EQ(in.node.get<std::string>("text", "none", ""), "none");
  EXPECT_EQ(in.node.find<Duration>("wait", ""), std::nullopt);
  EXPECT_EQ(in.node.list<std::string>("names", "").size(), 0U);
  EXPECT_EQ(in.node.section("tls", "").get<bool>("verify", true, ""), true);
  EXPECT_FALSE(in.node.secret("password", ""));
  EXPECT_EQ(in.finish(), "");
}

TEST(Node, ReportsAnInvalidValueAndReturnsTheFallback) {
  Reading in("count: x\nwait: 5\n");
  EXPECT_EQ(in.node.get<std::int64_t>("count", 7, ""), 7);
  EXPECT_EQ(in.node.required<Duration>("wait", ""), Duration(0));
  EXPECT_EQ(
      in.finish(),
      "f:1:8: count: 'x' is not a valid whole number\n"
      "f:2:7: wait: '5' has no unit: must be whole numbers with units (ms, s, m, h, d, w), for "
      "example 30s or 1h30m\n");
}

TEST(Node, ReportsMissingKeysWithTheirType) {
  Reading in("a: 1");
  in.node.get<std::int64_t>("a", 0, "");
  in.node.required<std::string>("name", "");
  in.node.required<std::int64_t>("count", "");
  in.node.required<bool>("verify", "");
  in.node.required<Endpoint>("endpoint", "");
  EXPECT_EQ(in.finish(),
            "f:1:1: required key 'name' is missing: must be text\n"
            "f:1:1: required key 'count' is missing: must be a whole number\n"
            "f:1:1: required key 'verify' is missing: must be true or false\n"
            "f:1:1: required key 'endpoint' is missing: must be a host:port\n");
}

TEST(Node, RefusesAListInPlaceOfAMapping) {
  Reading in("[a, b]");
  in.node.required<std::string>("name", "");  // not reported as missing
  EXPECT_EQ(in.finish(), "f:1:1: must be a mapping of keys, not a list\n");
}

TEST(Node, RefusesOtherValuesInPlaceOfScalars) {
  Reading in("a: [1]\nb: {c: d}\ne:\n");
  in.node.get<std::string>("a", "", "");
  in.node.get<std::int64_t>("b", 0, "");
  in.node.get<Duration>("e", Duration(0), "");
  EXPECT_EQ(in.finish(),
            "f:1:4: a: must be text, not a list\n"
            "f:2:4: b: must be a whole number, not a mapping\n"
            "f:3:1: e: must be a duration, not empty\n");
}

TEST(Node, RefusesQuotedNumbers) {
  Reading in("count: '3'\nshare: \"0.5\"\nverify: 'true'\nwait: '5s'\n");
  in.node.get<std::int64_t>("count", 0, "");
  in.node.get<double>("share", 0, "");
  in.node.get<bool>("verify", false, "");
  EXPECT_EQ(in.node.get<Duration>("wait", Duration(0), ""), Duration(5'000));
  EXPECT_EQ(in.finish(),
            "f:1:8: count: must be a whole number, not text: remove the quotes\n"
            "f:2:8: share: must be a number, not text: remove the quotes\n"
            "f:3:9: verify: must be true or false, not text: remove the quotes\n");
}

TEST(Node, RefusesValuesOutsideTheirRange) {
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
            "f:1:13: ports[1]: 'x' is not a valid whole number\n"
            "f:1:21: ports[3]: must be a whole number, not text: remove the quotes\n"
            "f:2:8: hosts: must be a list, not text\n");
}

TEST(Node, ReadsMapsEntryByEntry) {
  Reading in("labels: {b: x, a: 1, c: [y]}\nlimits: [1]\n");
  EXPECT_EQ(in.node.map<std::string>("labels", ""),
            (std::vector<std::pair<std::string, std::string>>{{"b", "x"}, {"a", "1"}}));
  in.node.map<std::int64_t>("limits", "");
  EXPECT_EQ(in.finish(),
            "f:1:25: labels.c: must be text, not a list\n"
            "f:2:9: limits: must be a mapping of keys, not a list\n");
}

TEST(Node, AcceptsListedChoicesOnly) {
  Reading in("level: warn\nformat: jsno\nstyle: 5\n");
  EXPECT_EQ(in.node.choice("level", {"info", "warn"}, ""), "warn");
  EXPECT_EQ(in.node.choice("format", {"logfmt", "json"}, ""), "logfmt");
  EXPECT_EQ(in.node.choice("style", {"plain", "fancy"}, ""), "plain");
  EXPECT_EQ(in.node.choice("absent", {"first", "second"}, ""), "first");
  EXPECT_EQ(
      in.finish(),
      "f:2:9: format: 'jsno' is not valid: must be one of logfmt, json (did you mean 'json'?)\n"
      "f:3:8: style: '5' is not valid: must be one of plain, fancy\n");
}

TEST(Node, ReportsUnknownKeysWithASuggestion) {
  Reading in("tiemout: 5s\n");
  in.node.get<Duration>("timeout", Duration(0), "");
  EXPECT_EQ(in.finish(), "f:1:1: tiemout: unknown key (did you mean 'timeout'?)\n");
}

TEST(Node, ListsTheKnownKeysIfNoneIsSimilar) {
  Reading in("pasword: x\n");
  in.node.get<std::string>("name", "", "");
  in.node.get<std::string>("url", "", "");
  in.node.get<std::string>("url", "", "");  // read twice, listed once
  EXPECT_EQ(in.finish(), "f:1:1: pasword: unknown key; known keys: name, url\n");
}

TEST(Node, ReportsUnknownKeysInSectionsAndLists) {
  Reading in("tls: {ac: x}\nitems:\n  - {nam: a}\n  - {name: b}\n");
  in.node.section("tls", "").get<std::string>("ca", "", "");
  for (Node& item : in.node.sections("items", "")) item.get<std::string>("name", "", "");
  EXPECT_EQ(in.finish(),
            "f:1:7: tls.ac: unknown key (did you mean 'ca'?)\n"
            "f:3:6: items[0].nam: unknown key (did you mean 'name'?)\n");
}

TEST(Node, ReportsNoUnknownKeysAfterIgnoreUnknown) {
  Reading in("{anything: 1}");
  in.node.ignore_unknown();
  EXPECT_EQ(in.finish(), "");
}

TEST(Node, PlacesErrorsAtTheKeyOrTheMapping) {
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

TEST(Node, WarnsAboutSecretsInPlainText) {
  Reading in("password: hunter2\n");
  EXPECT_EQ(*in.node.secret("password", "").read(), "hunter2");
  EXPECT_FALSE(in.problems.has_errors());
  EXPECT_EQ(in.finish(),
            "f:1:11: warning: password: the secret is in plain text in this file: use {file: "
            "PATH}, {env: NAME} or {credential: NAME}\n");
}

TEST(Node, RequiresExactlyOneSourceOfASecret) {
  constexpr std::string_view kForms = "{file: PATH}, {env: NAME} or {credential: NAME}";
  const auto problems_of = [](std::string_view text) {
    Reading in(text);
    in.node.secret("p", "");
    return in.finish();
  };
  const std::string not_one =
      "f:1:4: p: must have exactly one source: " + std::string(kForms) + "\n";
  EXPECT_EQ(problems_of("p: {file: a, env: B}"), not_one);
  EXPECT_EQ(problems_of("p: {}"), not_one);
  EXPECT_EQ(problems_of("p: {credential: a, env: B}"), not_one);
  EXPECT_EQ(problems_of("p: [a]"), "f:1:4: p: must be " + std::string(kForms) + ", not a list\n");
  EXPECT_EQ(problems_of("p: {fiel: a, env: B}"),
            "f:1:5: p.fiel: unknown key (did you mean 'file'?)\n");
  const std::string plain = not_one.substr(0, not_one.size() - 1) +
                            "; a secret in plain text that begins with a brace must be in quotes\n";
  EXPECT_EQ(problems_of("p: {SECRET: a}"), plain);
  EXPECT_EQ(problems_of("p: {env: A, SECRET: a}"), plain);
  EXPECT_EQ(problems_of("p: {env: 'hunter2 SECRET'}"),
            "f:1:10: p.env: must be the name of an environment variable\n");
  EXPECT_EQ(problems_of("p: {env: pass/SECRET}"),
            "f:1:10: p.env: must be the name of an environment variable\n");
  EXPECT_EQ(problems_of("p: {credential: 'hunter2 SECRET'}"),
            "f:1:17: p.credential: must be the name of a credential\n");
  EXPECT_EQ(problems_of("p: {env: my.app-NAME_1}"), "");
  EXPECT_EQ(problems_of("p: {file: [a]}"), "f:1:11: p.file: must be text, not a list\n");
}

TEST(Node, ListsItsKeysWhenDescribing) {
  std::vector<Option> options;
  Problems ignored("");
  Node node = Node::describing(options, ignored);
  node.required<Endpoint>("endpoint", "where to connect");
  node.section("tls", "").get<bool>("verify", true, "check the certificate");
  for (Node& item : node.sections("items", "")) item.list<std::string>("names", "");
  node.error("endpoint", "a description records no problems");
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
