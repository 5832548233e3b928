#include "probes/postgres/query_rows.hpp"

#include "probes/error.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/loop.hpp"
#include <gtest/gtest.h>
#include <libpq-fe.h>

namespace vitalsd::postgres {
namespace {

using Value = std::optional<std::string>;

class QueryRowsTest : public testing::Test {
 protected:
  net::PgResult result() {
    PGresult* const made = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
    std::vector<PGresAttDesc> columns;
    for (std::string& name : names) {
      PGresAttDesc& column = columns.emplace_back();
      column.name = name.data();
      column.typid = name == "flag" ? 16 : 25;
    }
    PQsetResultAttrs(made, static_cast<int>(columns.size()), columns.data());
    for (std::size_t row = 0; row < rows.size(); ++row) {
      for (std::size_t column = 0; column < names.size(); ++column) {
        Value& value = rows[row].at(column);
        PQsetvalue(made, static_cast<int>(row), static_cast<int>(column),
                   value ? value->data() : nullptr, value ? static_cast<int>(value->size()) : -1);
      }
    }
    return net::PgResult(made);
  }
  boost::asio::awaitable<std::string> read_async() {
    const net::PgResult made = result();
    std::string constant_labels = "probe=\"db\",env=\"prod\",instance=\"db\"";
    const Fragment fragment = co_await read_rows(query, made, foreign, std::move(constant_labels));
    std::string out;
    for (const FragmentFamily& family : *fragment) {
      out += std::string(type_name(family.metric->type)) + ' ' + std::string(family.lines);
    }
    co_return out;
  }
  // The lines, each family with its type; or the error.
  std::string read() {
    try {
      return test::Task(loop, read_async()).get();
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::mismatch);
      return error.what();
    }
  }

  CustomQuery query{.name = "shop",
                    .sql = "SELECT",
                    .labels = {"tenant"},
                    .values = {{"n", "shop_n", Type::gauge, "N."},
                               {"flag", "shop_flag_total", Type::counter, "F."}},
                    .interval = {},
                    .timeout = {},
                    .max_rows = 3};
  std::vector<std::string> names = {"flag", "n", "tenant"};
  std::vector<std::vector<Value>> rows = {{"t", "1.5", "a"}, {"f", "-2", "b\"\xff"}};
  ForeignFamilies foreign;
  boost::asio::io_context loop{1};
};

constexpr std::string_view kConstant = R"(probe="db",env="prod",instance="db")";

TEST_F(QueryRowsTest, PublishesAFamilyForEachValue) {
  const std::string labels = "{" + std::string(kConstant);
  EXPECT_EQ(read(), "gauge shop_n" + labels + ",tenant=\"a\"} 1.5\nshop_n" + labels +
                        ",tenant=\"b\\\"\xef\xbf\xbd\"} -2\ncounter shop_flag_total" + labels +
                        ",tenant=\"a\"} 1\nshop_flag_total" + labels +
                        ",tenant=\"b\\\"\xef\xbf\xbd\"} 0\n");
}

TEST_F(QueryRowsTest, OmitsWhatIsUnknown) {
  rows = {{std::nullopt, "NaN", "a"}, {std::nullopt, std::nullopt, std::nullopt}};
  EXPECT_EQ(read(), "");
  rows = {{std::nullopt, "Infinity", "a"}};
  EXPECT_TRUE(read().ends_with("} +Inf\n"));
  rows.clear();
  EXPECT_EQ(read(), "");
}

TEST_F(QueryRowsTest, RenamesALabelThatTheProbeHas) {
  names[2] = "env";
  query.labels = {"env"};
  EXPECT_TRUE(read().contains(",exported_env=\"a\"} 1.5")) << read();
}

TEST_F(QueryRowsTest, NoTwoLabelsHaveOneName) {
  names = {"env", "n", "exported_env"};
  query.labels = {"env", "exported_env"};
  query.values.pop_back();
  rows = {{"a", "1.5", "b"}};
  EXPECT_TRUE(read().ends_with(",exported_exported_env=\"a\",exported_env=\"b\"} 1.5\n")) << read();
}

TEST_F(QueryRowsTest, ReportsWhatDoesNotFit) {
  rows[1][1] = "2026-01-01 00:00:00";
  EXPECT_EQ(read(),
            "column 'n': '2026-01-01 00:00:00' is not a number: cast it, or for a time write "
            "extract(epoch FROM ...)");
  rows[1][1] = "";
  EXPECT_TRUE(read().starts_with("column 'n': '' is not a number"));
  rows[1] = {"t", "1", "a"};
  EXPECT_EQ(read(), "two rows have the same labels tenant=\"a\"");
  query.labels.clear();
  EXPECT_EQ(read(),
            "two rows have the same labels: the query has no `labels`, so it must return one row");
  query.labels = {"tenant"};
  rows = {{"t", "1", "a"}, {"t", "1", "b"}, {"t", "1", "c"}, {"t", "1", "d"}};
  EXPECT_EQ(read(), "the result has 4 rows, more than max_rows, which is 3");
  rows.pop_back();
  names[1] = "m";
  EXPECT_EQ(read(), "the result has no column 'n'; its columns are 'flag', 'm', 'tenant'");
  rows = {{"t", "1", "a"}};
  names = {"flag", "n", "Tenant"};
  EXPECT_EQ(read(), "the result has no column 'tenant'; its columns are 'flag', 'n', 'Tenant'");
  names.clear();
  rows.clear();
  EXPECT_EQ(read(), "the result has no column 'tenant'; it has no columns");
}

TEST_F(QueryRowsTest, ACounterIsNotNegative) {
  query.values[0].type = Type::counter;
  EXPECT_EQ(read(), "column 'n': a counter cannot be negative");
}

TEST_F(QueryRowsTest, ReportsAMetricThatAnotherTargetHas) {
  const auto other = foreign.intern({.name = "shop_n", .type = Type::counter});
  EXPECT_TRUE(read().contains("shop_n cannot be published")) << read();
}

}  // namespace
}  // namespace vitalsd::postgres
