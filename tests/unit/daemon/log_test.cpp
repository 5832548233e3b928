#include "daemon/log.hpp"

#include <string>

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace vitalsd::log {
namespace {

using namespace std::string_literals;

std::string logfmt(std::string_view message, Fields fields) {
  return format_line(config::LogFormat::logfmt, "T", "info", message, fields);
}

std::string json(std::string_view message, Fields fields) {
  return format_line(config::LogFormat::json, "T", "info", message, fields);
}

TEST(Logfmt, QuotesWhatNeedsIt) {
  EXPECT_EQ(logfmt("starts", {}), "ts=T level=info msg=starts");
  EXPECT_EQ(logfmt("a b", {{"plain", "x-1/y"}, {"empty", ""}, {"pair", "a=b"}, {"quote", "a\"b"}}),
            "ts=T level=info msg=\"a b\" plain=x-1/y empty=\"\" pair=\"a=b\" quote=\"a\\\"b\"");
}

TEST(Logfmt, EscapesControlCharacters) {
  EXPECT_EQ(logfmt("m", {{"error", "a\nb\r\tc\\d\x1b[31m\x7f"}}),
            "ts=T level=info msg=m error=\"a\\nb\\r\\tc\\\\d\\x1b[31m\\x7f\"");
}

TEST(Logfmt, ReplacesInvalidUtf8) {
  EXPECT_EQ(logfmt("m", {{"error", "\xff\0é"s}}), "ts=T level=info msg=m error=\"\ufffd\ufffdé\"");
}

TEST(JsonLog, HasOneMemberPerField) {
  EXPECT_EQ(json("a b", {{"probe", "db"}}),
            R"({"ts":"T","level":"info","msg":"a b","probe":"db"})");
}

TEST(JsonLog, EscapesEveryString) {
  const std::string hostile = "a\"b\\c\nd\x01\x7fé</script>";
  const std::string line = json(hostile, {{"error", hostile}, {"bytes", "\xff\0"s}});
  EXPECT_FALSE(line.contains('\n'));
  const auto parsed = boost::json::parse(line);
  EXPECT_EQ(parsed.at("msg").as_string(), hostile.c_str());
  EXPECT_EQ(parsed.at("error").as_string(), hostile.c_str());
  EXPECT_EQ(parsed.at("bytes"), "\ufffd\ufffd");
}

}  // namespace
}  // namespace vitalsd::log
