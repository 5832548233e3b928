#include "probes/prometheus/answers.hpp"

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::prometheus {
namespace {

using testing::HasSubstr;

void read(ApiContent& content, std::string_view data) {
  ApiReader reader(content);
  reader.feed(R"({"status":"success","data":)" + std::string(data) + '}');
  reader.finish(200);
}

TEST(Names, ListsTheFirstOnes) {
  Names names;
  EXPECT_EQ(names.text(), "");
  for (const char* name : {"a", "b", "c", "d", "e"}) names.add(name);
  EXPECT_EQ(names.text(), "a, b, c, d, e");
  names.add("f");
  names.add("g");
  EXPECT_EQ(names.text(), "a, b, c, d, e and 2 more");
  EXPECT_EQ(names.count(), 7U);
}

TEST(Targets, AreCountedByJobAndHealth) {
  Targets targets;
  read(targets, R"({"activeTargets":[
    {"discoveredLabels":{"job":"other"},"labels":{"instance":"a:1","job":"api"},"health":"up"},
    {"labels":{"instance":"b:1","job":"api"},"health":"down","lastError":"refused"},
    {"health":"unknown","labels":{"job":"db"}},
    {"labels":{}}],"droppedTargets":[{"labels":{"job":"no"},"health":"down"}]})");
  EXPECT_EQ(targets.jobs().size(), 3U);
  EXPECT_EQ(targets.jobs().at("api").up, 1);
  EXPECT_EQ(targets.jobs().at("api").down, 1);
  EXPECT_EQ(targets.jobs().at("db").unknown, 1);
  EXPECT_EQ(targets.jobs().at("").unknown, 1);
  EXPECT_EQ(targets.down().text(), "api b:1");
}

TEST(Targets, HaveALimitedNumberOfJobs) {
  std::string list;
  for (int i = 0; i <= 10'000; ++i) {
    list += (i == 0 ? "" : ",") + (R"({"labels":{"job":"j)" + std::to_string(i) + R"("}})");
  }
  Targets targets;
  EXPECT_THROW(read(targets, "{\"activeTargets\":[" + list + "]}"), ProbeError);
}

TEST(Rules, AreCountedByHealth) {
  Rules rules;
  read(rules, R"({"groups":[{"name":"g","rules":[
    {"name":"A","type":"recording","health":"ok"},
    {"name":"B","type":"recording","health":"err","lastError":"many-to-many"},
    {"name":"C","type":"recording","health":"unknown","alerts":[{"labels":{"health":"err"}}]},
    {"name":"D","type":"recording","health":"new"}]}]})");
  EXPECT_EQ(rules.by_health().at("ok"), 1);
  EXPECT_EQ(rules.by_health().at("err"), 1);
  EXPECT_EQ(rules.by_health().at("unknown"), 2);
  EXPECT_EQ(rules.failing().text(), "B: many-to-many");
  EXPECT_FALSE(rules.has_alerts());
  read(rules, R"({"groups":[{"rules":[{"type":"alerting","health":"ok"}]}]})");
  EXPECT_TRUE(rules.has_alerts());
}

TEST(Alertmanagers, AreCounted) {
  Alertmanagers found;
  read(found, R"({"activeAlertmanagers":[{"url":"http://a"},{"url":"http://b"}],
                  "droppedAlertmanagers":[{"url":"http://c"}]})");
  EXPECT_EQ(found.active(), 2);
  EXPECT_EQ(found.dropped(), 1);
}

std::string value(std::string_view data) {
  QueryResult result;
  read(result, data);
  try {
    const auto value = result.value();
    return value ? std::to_string(*value) : "nothing";
  } catch (const ProbeError& error) {
    return std::string(reason_name(error.reason())) + ": " + error.what();
  }
}
std::string vector(std::string_view value_text) {
  return R"({"resultType":"vector","result":[{"metric":{},"value":[1,")" + std::string(value_text) +
         R"("]}]})";
}

TEST(QueryResult, IsOneNumber) {
  EXPECT_EQ(value(vector("1.5")), "1.500000");
  EXPECT_EQ(value(vector("-2e3")), "-2000.000000");
  EXPECT_EQ(value(R"({"resultType":"scalar","result":[1.7,"3"]})"), "3.000000");
  EXPECT_EQ(value(R"({"result":[1.7,"3"],"resultType":"scalar"})"), "3.000000");
}

TEST(QueryResult, IsUnknownIfEmptyOrNotFinite) {
  EXPECT_EQ(value(R"({"resultType":"vector","result":[]})"), "nothing");
  for (const char* text : {"NaN", "+Inf", "-Inf"})
    EXPECT_EQ(value(vector(text)), "nothing") << text;
}

TEST(QueryResult, IsRefusedIfItIsNotOneNumber) {
  EXPECT_EQ(value(R"({"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]})"),
            "config: the result has 2 samples, not one: aggregate them, for example with sum(...) "
            "or max(...)");
  EXPECT_THAT(value(R"({"resultType":"matrix","result":[{"values":[[1,"1"]]}]})"),
              HasSubstr("config: the result is a matrix, not a number"));
  EXPECT_THAT(value(R"({"resultType":"string","result":[1,"a"]})"),
              HasSubstr("config: the result is a string, not a number"));
  EXPECT_THAT(value(R"({"resultType":"vector","result":[{"histogram":[1,{"count":"1"}]}]})"),
              HasSubstr("config: the result has no number"));
  EXPECT_THAT(value("{}"), HasSubstr("protocol: the response has no resultType"));
  EXPECT_THAT(value(vector("1x")), HasSubstr("protocol: "));
}

}  // namespace
}  // namespace vitalsd::prometheus
