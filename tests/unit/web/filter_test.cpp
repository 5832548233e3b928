#include "exporter/web/filter.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

std::vector<ProbeView> probes() {
  ProbeView db;
  db.name = "db-main";
  db.kind = "postgres";
  db.target = "db.example:5432/shop";
  db.labels = {{"team", "data"}, {"site", "north"}};
  db.state = ProbeView::State::ok;
  ProbeView cache = db;
  cache.name = "cache";
  cache.kind = "redis";
  cache.target = "cache.example:6379";
  cache.labels = {{"team", "web & co"}};
  cache.state = ProbeView::State::failed;
  cache.reason = "connect";
  cache.detail = "Connection refused";
  ProbeView full = db;
  full.name = "db-old";
  full.checks = {{"connections", "", "85%", "warn above 80%", Status::warning}};
  ProbeView waiting = db;
  waiting.name = "waiting";
  waiting.labels.clear();
  waiting.state = ProbeView::State::pending;
  return {db, cache, full, waiting};
}

// The names that a query string selects, or its error.
std::string selected(std::string_view query) {
  const auto filter = parse_filter(query);
  if (!filter) return filter.error();
  std::string out;
  for (const ProbeView& probe : probes()) {
    if (matches(*filter, probe)) out += (out.empty() ? "" : " ") + probe.name;
  }
  return out;
}

TEST(ProbeFilter, SelectsAllWithoutParameters) {
  for (const char* query : {"", "&", "&&"}) {
    EXPECT_EQ(selected(query), "db-main cache db-old waiting") << query;
  }
}

// A form sends the fields that are left empty, too.
TEST(ProbeFilter, IgnoresEmptyParameters) {
  EXPECT_EQ(selected("kind=&name=&state=&q=&label.team="), "db-main cache db-old waiting");
  EXPECT_EQ(selected("kind=&kind=redis"), "cache");
}

TEST(DecodePath, LeavesAPlus) {
  EXPECT_EQ(decode_path("a%2Fb+c%"), "a/b+c%");
  EXPECT_EQ(decode_path(encode_query("a b/?\xc3\xa9")), "a b/?\xc3\xa9");
  EXPECT_EQ(decode_path("a%FF%00"), "a\ufffd\ufffd");  // pages and JSON repeat it
  EXPECT_EQ(parse_filter("kind=http,tcp&kind=redis")->kinds,
            (std::vector<std::string>{"http", "tcp", "redis"}));
  EXPECT_EQ(parse_filter("q=%FE&label.%ff=x")->text, "\ufffd");
  EXPECT_EQ(parse_filter("q=%FE&label.%ff=x")->labels.front().first, "\ufffd");
}

TEST(ProbeFilter, SelectsByState) {
  EXPECT_EQ(selected("state=ok"), "db-main");
  EXPECT_EQ(selected("state=critical"), "cache");
  EXPECT_EQ(selected("state=warning,unknown"), "db-old waiting");
  EXPECT_EQ(selected("state=ok&state=critical"), "db-main cache");
  EXPECT_EQ(selected("state=failed"), "cache db-old waiting");
}

TEST(ProbeFilter, SelectsByNameAndKind) {
  EXPECT_EQ(selected("name=db-main"), "db-main");
  EXPECT_EQ(selected("name=db-*"), "db-main db-old");
  EXPECT_EQ(selected("name=db"), "");
  EXPECT_EQ(selected("kind=redis"), "cache");
  EXPECT_EQ(selected("kind=redis&kind=postgres&name=c*"), "cache");
}

TEST(ProbeFilter, SelectsByLabel) {
  EXPECT_EQ(selected("label.team=data"), "db-main db-old");
  EXPECT_EQ(selected("label.team=data&label.site=south"), "");
  EXPECT_EQ(selected("label.team=*"), "db-main cache db-old");
  EXPECT_EQ(selected("label.team=web+%26%20co"), "cache");
  EXPECT_EQ(selected("label.other=*"), "");
}

TEST(ProbeFilter, SelectsByText) {
  EXPECT_EQ(selected("q=EXAMPLE:6379"), "cache");
  EXPECT_EQ(selected("q=refused"), "cache");
  EXPECT_EQ(selected("q=team%3Ddata"), "db-main db-old");
  EXPECT_EQ(selected("q=postgres&state=ok"), "db-main");
  EXPECT_EQ(selected("q="), "db-main cache db-old waiting");
  EXPECT_EQ(selected("q=%"), "");  // an incomplete escape stays as it is
  EXPECT_EQ(selected("q=%zz"), "");
}

TEST(ProbeFilter, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(selected("stat=ok"),
            "unknown parameter 'stat': use state, kind, name, label.NAME or q");
  EXPECT_EQ(selected("label.=x"),
            "unknown parameter 'label.': use state, kind, name, label.NAME or q");
  EXPECT_EQ(selected("state=bad"),
            "unknown state 'bad': use ok, warning, critical, unknown, or failed for all but ok");
}

TEST(ProbeFilter, EncodesWhatItDecodes) {
  const std::string value = "a&b=c+d %/é";
  EXPECT_EQ(encode_query(value), "a%26b%3Dc%2Bd%20%25%2F%C3%A9");
  const auto filter = parse_filter("q=" + encode_query(value));
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->text, value);
}

}  // namespace
}  // namespace vitalsd
