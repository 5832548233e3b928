#include "exporter/model/text_format.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::string_literals;

std::string number(double value) {
  std::string out;
  append_number(out, value);
  return out;
}

std::string label_value(std::string_view value) {
  std::string out;
  append_label_value(out, value);
  return out;
}

std::string header(const MetricInfo& metric, Format format, std::string_view type = {}) {
  std::string out;
  append_header(out, metric, type, format);
  return out;
}

MetricInfo info(std::string_view name, Type type, Unit unit = Unit::none,
                std::string_view help = "What it is.") {
  MetricInfo metric;
  metric.name = name;
  metric.type = type;
  metric.unit = unit;
  metric.help = help;
  return metric;
}

TEST(AppendNumber, WritesIntegersWithoutExponent) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(-0.0), "0");
  EXPECT_EQ(number(-3), "-3");
  EXPECT_EQ(number(1767225600), "1767225600");
  EXPECT_EQ(number(100'000'000), "100000000");
  EXPECT_EQ(number(9007199254740992), "9007199254740992");
  EXPECT_EQ(number(-9007199254740992), "-9007199254740992");
}

TEST(AppendNumber, WritesTheShortestExactText) {
  EXPECT_EQ(number(0.1), "0.1");
  EXPECT_EQ(number(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(number(1e300), "1e+300");
  EXPECT_EQ(number(std::numeric_limits<double>::max()), "1.7976931348623157e+308");
  EXPECT_EQ(number(std::numeric_limits<double>::min()), "2.2250738585072014e-308");
  EXPECT_EQ(number(std::numeric_limits<double>::denorm_min()), "5e-324");
}

TEST(AppendNumber, WritesInfinityAndNaN) {
  EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(number(-std::numeric_limits<double>::infinity()), "-Inf");
  EXPECT_EQ(number(std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(number(-std::numeric_limits<double>::quiet_NaN()), "NaN");
}

TEST(AppendNumber, KeepsThePrecedingText) {
  std::string out = "up ";
  append_number(out, 1);
  EXPECT_EQ(out, "up 1");
}

TEST(AppendLabelValue, EscapesQuotesBackslashesAndNewlines) {
  EXPECT_EQ(label_value("plain"), "plain");
  EXPECT_EQ(label_value(""), "");
  EXPECT_EQ(label_value(R"(a"b\c)"), R"(a\"b\\c)");
  EXPECT_EQ(label_value("\n\n"), R"(\n\n)");
  EXPECT_EQ(label_value("tab\tand é"), "tab\tand é");
}

TEST(AppendLabel, SeparatesLabelsByCommas) {
  std::string out = "up{";
  append_label(out, "a", "1");
  append_label(out, "b", "{");
  append_label(out, "c", "");
  EXPECT_EQ(out, R"(up{a="1",b="{",c="")");
}

TEST(PrintableUtf8, KeepsValidText) {
  for (const char* text :
       {"", "ascii", "é", "\u20ac", "\U0001f600", "\x7f\t\n", "\ud7ff\ue000", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(printable_utf8(text), text);
  }
}

TEST(PrintableUtf8, ReplacesInvalidBytes) {
  constexpr const char* kBad = "\ufffd";
  EXPECT_EQ(printable_utf8("a\xff"
                           "b"),
            "a"s + kBad + "b");
  EXPECT_EQ(printable_utf8("a\0b"s), "a"s + kBad + "b");
  EXPECT_EQ(printable_utf8("\x80"), kBad);                          // a continuation byte only
  EXPECT_EQ(printable_utf8("\xc3"), kBad);                          // truncated
  EXPECT_EQ(printable_utf8("\xc3z"), kBad + "z"s);                  // no continuation byte
  EXPECT_EQ(printable_utf8("\xe2\x82"), kBad + std::string(kBad));  // truncated in the third byte
  EXPECT_EQ(printable_utf8("\xc0\x80"), kBad + std::string(kBad));  // overlong NUL
  EXPECT_EQ(printable_utf8("\xe0\x9f\xbf").size(), 9U);             // overlong
  EXPECT_EQ(printable_utf8("\xed\xa0\x80").size(), 9U);             // a surrogate
  EXPECT_EQ(printable_utf8("\xf0\x8f\xbf\xbf").size(), 12U);        // overlong
  EXPECT_EQ(printable_utf8("\xf4\x90\x80\x80").size(), 12U);        // above U+10FFFF
  EXPECT_EQ(printable_utf8("\xf5\x80\x80\x80").size(), 12U);
}

TEST(AppendHeader, DiffersBetweenTheFormatsForCounters) {
  const MetricInfo metric = info("hits_total", Type::counter);
  EXPECT_EQ(header(metric, Format::text),
            "# HELP hits_total What it is.\n# TYPE hits_total counter\n");
  EXPECT_EQ(header(metric, Format::openmetrics), "# HELP hits What it is.\n# TYPE hits counter\n");
}

TEST(AppendHeader, UsesUnknownForCountersWithoutTotalInOpenMetrics) {
  const MetricInfo metric = info("hits", Type::counter);
  EXPECT_EQ(header(metric, Format::text), "# HELP hits What it is.\n# TYPE hits counter\n");
  EXPECT_EQ(header(metric, Format::openmetrics), "# HELP hits What it is.\n# TYPE hits unknown\n");
}

TEST(AppendHeader, UsesUntypedForUnknownInTheTextFormat) {
  const MetricInfo metric = info("thing", Type::unknown);
  EXPECT_EQ(header(metric, Format::text), "# HELP thing What it is.\n# TYPE thing untyped\n");
  EXPECT_EQ(header(metric, Format::openmetrics),
            "# HELP thing What it is.\n# TYPE thing unknown\n");
}

TEST(AppendHeader, HasTheUnitInOpenMetricsOnly) {
  const MetricInfo seconds = info("took_seconds", Type::gauge, Unit::seconds);
  EXPECT_EQ(header(seconds, Format::text),
            "# HELP took_seconds What it is.\n# TYPE took_seconds gauge\n");
  EXPECT_EQ(header(seconds, Format::openmetrics),
            "# HELP took_seconds What it is.\n# TYPE took_seconds gauge\n"
            "# UNIT took_seconds seconds\n");
  EXPECT_EQ(header(info("read_bytes_total", Type::counter, Unit::bytes), Format::openmetrics),
            "# HELP read_bytes What it is.\n# TYPE read_bytes counter\n# UNIT read_bytes bytes\n");
  // OpenMetrics forbids UNIT for a name without the unit as its suffix, which needs a waiver.
  EXPECT_EQ(header(info("size", Type::gauge, Unit::bytes), Format::openmetrics),
            "# HELP size What it is.\n# TYPE size gauge\n");
}

TEST(AppendHeader, EscapesHelpByTheRulesOfTheFormat) {
  const MetricInfo metric = info("x", Type::gauge, Unit::none, "a\\b\nc \"d\"");
  EXPECT_EQ(header(metric, Format::text), "# HELP x a\\\\b\\nc \"d\"\n# TYPE x gauge\n");
  EXPECT_EQ(header(metric, Format::openmetrics), "# HELP x a\\\\b\\nc \\\"d\\\"\n# TYPE x gauge\n");
}

TEST(AppendHeader, AcceptsAnotherTypeName) {
  EXPECT_EQ(header(info("x", Type::gauge), Format::text, "histogram"),
            "# HELP x What it is.\n# TYPE x histogram\n");
}

TEST(Page, HasAnEndLineInOpenMetricsOnly) {
  EXPECT_EQ(end_of_page(Format::text), "");
  EXPECT_EQ(end_of_page(Format::openmetrics), "# EOF\n");
}

TEST(Page, HasItsContentType) {
  EXPECT_EQ(content_type(Format::text), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(content_type(Format::openmetrics),
            "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

}  // namespace
}  // namespace vitalsd
