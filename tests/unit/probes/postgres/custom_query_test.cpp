#include "probes/postgres/custom_query.hpp"

#include "config/problems.hpp"
#include "config/yaml.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::postgres {
namespace {

class CustomQueryTest : public testing::Test {
 protected:
  CustomQueryTest() { foreign.declare("pg_stat_activity_count", Type::gauge); }

  // The queries of `queries: [...]`; the problems are in `problems`.
  std::vector<CustomQuery> read(const std::string& queries) {
    config::Problems found("t.yaml");
    const config::Value value = config::parse_yaml("queries: [" + queries + "]\n", found);
    config::Node node(value, "", found);
    std::vector<CustomQuery> out = read_queries(node, foreign);
    node.finish();
    problems = found.text();
    return out;
  }
  // The problems of a query with a valid name and statement.
  std::string problems_of(const std::string& keys) {
    read("{name: shop, sql: SELECT 1, " + keys + "}");
    return problems;
  }

  ForeignFamilies foreign;
  std::string problems;
};

TEST_F(CustomQueryTest, ReadsEveryKey) {
  const auto queries = read(
      "{name: shop, sql: SELECT 1, labels: [a, b], values: [orders, {column: n, type: counter, "
      "help: Orders.}, {column: m_total, type: counter}], interval: 5m, timeout: 2s, min_version: "
      "12, max_version: 15, max_rows: 7}");
  ASSERT_EQ(problems, "");
  const CustomQuery expected{
      .name = "shop",
      .sql = "SELECT 1",
      .labels = {"a", "b"},
      .values = {{"orders", "shop_orders", Type::gauge, "Column orders of the query shop."},
                 {"n", "shop_n_total", Type::counter, "Orders."},
                 {"m_total", "shop_m_total", Type::counter, "Column m_total of the query shop."}},
      .interval = config::Duration(300'000),
      .timeout = config::Duration(2'000),
      .min_version = 12,
      .max_version = 15,
      .max_rows = 7};
  EXPECT_EQ(queries.at(0), expected);
  EXPECT_FALSE(queries.at(0).supports(11));
  EXPECT_TRUE(queries.at(0).supports(12));
  EXPECT_TRUE(queries.at(0).supports(15));
  EXPECT_FALSE(queries.at(0).supports(16));
}

TEST_F(CustomQueryTest, HasDefaults) {
  const auto queries = read("{name: shop, sql: SELECT 1, values: [n]}");
  ASSERT_EQ(problems, "");
  EXPECT_EQ(queries.at(0).max_rows, 100U);
  EXPECT_FALSE(queries.at(0).interval);
  EXPECT_FALSE(queries.at(0).timeout);
  EXPECT_TRUE(queries.at(0).supports(10));
  EXPECT_TRUE(queries.at(0).supports(99));
}

TEST_F(CustomQueryTest, RefusesNamesThatAreNotValid) {
  EXPECT_EQ(problems_of("values: ['?column?']"),
            "t.yaml:1:48: queries[0].values[0].column: 'shop_?column?' is not a valid metric name: "
            "name the column with AS, in letters, digits and _\n");
  EXPECT_EQ(problems_of("labels: [a-b], values: [n]"),
            "t.yaml:1:47: queries[0].labels: 'a-b' is not a valid label name: name the column with "
            "AS, in letters, digits and _\n");
  EXPECT_TRUE(problems_of("labels: [instance], values: [n]").contains("is a label of vitalsd"));
  EXPECT_TRUE(problems_of("labels: [__a], values: [n]").contains("not a valid label name"));
  EXPECT_TRUE(problems_of("labels: [a, a], values: [n]").contains("'a' occurs twice"));
  EXPECT_TRUE(problems_of("values: [n, n]").contains("the metric shop_n occurs twice"));
  read("{name: 1st, sql: SELECT 1, values: [n]}");
  EXPECT_TRUE(problems.contains("queries[0].name: '1st' is not a valid name")) << problems;
  for (const std::string name : {"vitalsd_x", "scrape", "vitalsd"}) {
    read("{name: " + name + ", sql: SELECT 1, values: [n]}");
    EXPECT_TRUE(problems.contains("is reserved")) << problems;
  }
}

TEST_F(CustomQueryTest, RefusesAMetricThatVitalsdDeclares) {
  read("{name: pg_stat_activity, sql: SELECT 1, values: [count]}");
  EXPECT_EQ(problems,
            "t.yaml:1:60: queries[0].values[0].column: vitalsd declares the metric "
            "pg_stat_activity_count: give the query or the column another name\n");
}

TEST_F(CustomQueryTest, RefusesOtherMistakes) {
  EXPECT_TRUE(problems_of("labels: [a]").contains("at least one column is required"));
  EXPECT_TRUE(problems_of("values: [{help: x}]").contains("required key 'column' is missing"));
  EXPECT_TRUE(problems_of("values: [{column: n, kind: x}]").contains("unknown key"));
  EXPECT_TRUE(problems_of("values: [{column: n, type: sum}]").contains("must be one of gauge"));
  EXPECT_TRUE(problems_of("values: n").contains("must be a list"));
  EXPECT_TRUE(problems_of("values: [n], intervall: 5m").contains("did you mean 'interval'"));
  EXPECT_TRUE(problems_of("values: [n], interval: 0s").contains("must be more than 0"));
  EXPECT_TRUE(problems_of("values: [n], max_rows: 0").contains("between 1 and 10000"));
  EXPECT_TRUE(problems_of("values: [n], min_version: 150004").contains("a major version"));
  EXPECT_TRUE(problems_of("values: [n], min_version: 16, max_version: 15")
                  .contains("must be at most max_version"));
  read("{name: shop, sql: ' ; ', values: [n]}");
  EXPECT_TRUE(problems.contains("queries[0].sql: must not be empty")) << problems;
  read("{name: shop, sql: \"SELECT\\0 1\", values: [n]}");
  EXPECT_TRUE(problems.contains("must not contain NUL")) << problems;
  read("shop");
  EXPECT_TRUE(problems.contains("must be a mapping")) << problems;
}

TEST_F(CustomQueryTest, ServersHaveEachMetricOnce) {
  const std::string first = "{name: a, sql: SELECT 1, values: [b_c], max_version: 13}, ";
  read(first + "{name: a, sql: SELECT 2, values: [b_c], min_version: 14}");
  EXPECT_EQ(problems, "");
  read(first + "{name: a, sql: SELECT 2, values: [d], min_version: 13}");
  EXPECT_TRUE(problems.contains("duplicate query name 'a'")) << problems;
  read(first + "{name: a_b, sql: SELECT 2, values: [c]}");
  EXPECT_TRUE(problems.contains("the query 'a' also has the metric a_b_c")) << problems;
}

TEST(PlaceIn, CountsCharactersOfALine) {
  EXPECT_EQ(place_in("SELECT x", 8), "line 1, column 8");
  EXPECT_EQ(place_in("SELECT\n  x", 10), "line 2, column 3");
  EXPECT_EQ(place_in("SELECT 'é', x", 13), "line 1, column 13");
  EXPECT_EQ(place_in("SELECT", 7), "line 1, column 7");
}

}  // namespace
}  // namespace vitalsd::postgres
