#include "probes/job/ping.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace vitalsd::job {
namespace {

int status(std::string_view path, std::string_view query = "") {
  const auto ping = parse_ping(path, query);
  return ping ? 200 : ping.error().status;
}

TEST(ParsePing, ReadsTheKindFromThePath) {
  EXPECT_EQ(parse_ping("/start", "")->kind, Ping::Kind::start);
  EXPECT_EQ(parse_ping("/start", "")->exit_code, std::nullopt);
  for (const std::string_view path : {"", "/", "/exit/0", "/exit/00"}) {
    EXPECT_EQ(parse_ping(path, "")->kind, Ping::Kind::success) << path;
    EXPECT_EQ(parse_ping(path, "")->exit_code, 0) << path;
  }
  EXPECT_EQ(parse_ping("/fail", "")->kind, Ping::Kind::failure);
  EXPECT_EQ(parse_ping("/fail", "")->exit_code, std::nullopt);
  EXPECT_EQ(parse_ping("/exit/137", "")->kind, Ping::Kind::failure);
  EXPECT_EQ(parse_ping("/exit/137", "")->exit_code, 137);
}

TEST(ParsePing, RefusesOtherPaths) {
  for (const std::string_view path : {"/Start", "/start/", "//", "/exit", "/success", "/log"}) {
    EXPECT_EQ(status(path), 404) << path;
  }
  for (const std::string_view path : {"/exit/", "/exit/256", "/exit/-1", "/exit/1x", "/exit/$?",
                                      "/exit/99999999999", "/exit/00001"}) {
    EXPECT_EQ(status(path), 400) << path;
    EXPECT_EQ(parse_ping(path, "").error().text, "The exit code must be a number from 0 to 255.\n");
  }
}

TEST(ParsePing, ReadsTheRunId) {
  EXPECT_EQ(parse_ping("", "")->run_id, "");
  EXPECT_EQ(parse_ping("", "rid=9f1c-42_A.b:7")->run_id, "9f1c-42_A.b:7");
  EXPECT_EQ(parse_ping("", "&rid=7&")->run_id, "7");
  for (const std::string& query : {std::string("rid="), std::string("rid=a%20b"),
                                   std::string("rid=a b"), "rid=" + std::string(65, 'x')}) {
    EXPECT_EQ(status("", query), 400) << query;
  }
  const auto misspelled = parse_ping("", "rdi=7");
  EXPECT_EQ(misspelled.error().status, 400);
  EXPECT_EQ(misspelled.error().text, "Unknown parameter 'rdi'. The only valid parameter is rid.\n");
}

TEST(MessageText, KeepsLinesAndRemovesControlCharacters) {
  EXPECT_EQ(message_text(""), "");
  EXPECT_EQ(message_text("dump\t12 MiB\nupload\n\n"), "dump\t12 MiB\nupload");
  EXPECT_EQ(message_text("a\x1b[31m\nb\xff\n"), "a\ufffd[31m\nb\ufffd");
}

TEST(MessageText, IsCutAtTenKilobytes) {
  const std::string line = std::string(10'000, 'x');
  EXPECT_EQ(message_text(line), line);
  EXPECT_EQ(message_text(line + 'y'), line + "…");
  EXPECT_EQ(message_text(line + "\ny"), line + "\n…");
  EXPECT_LT(message_text(std::string(60'000, '\n') + "x").size(), 10'010U);
}

}  // namespace
}  // namespace vitalsd::job
