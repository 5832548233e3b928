#include "probes/backup/gzip_check.hpp"

#include <chrono>
#include <random>
#include <string>

#include "unit/support/gzip.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using State = GzipCheck::State;

class GzipCheckTest : public testing::Test {
 protected:
  static constexpr auto kNever = std::chrono::steady_clock::time_point::max();

  // "valid" or the fault.
  std::string result_of(const std::string& bytes) const { return result_of_path(file(bytes)); }
  static std::string result_of_path(const std::string& path) {
    GzipCheck check(path);
    const State state = check.step(kNever, [] { return false; });
    EXPECT_NE(state, State::working);
    EXPECT_EQ(check.fault().empty(), state == State::valid);
    return state == State::valid ? "valid" : check.fault();
  }
  [[nodiscard]] std::string file(const std::string& bytes) const {
    return directory.file("backup.gz", bytes);
  }
  // Bytes that do not compress, so that the file is longer than one piece of 64 KiB.
  static std::string noise(std::size_t size = 300'000) {
    std::mt19937 random(1);
    std::string text;
    while (text.size() < size) text += static_cast<char>(random());
    return text;
  }

  test::TempDirectory directory;
};

TEST_F(GzipCheckTest, AcceptsTheOutputOfGzip) {
  EXPECT_EQ(result_of(test::gzip("hello")), "valid");
  EXPECT_EQ(result_of(test::gzip("")), "valid");
  EXPECT_EQ(result_of(test::gzip(noise())), "valid");
  EXPECT_EQ(result_of(test::gzip(std::string(5'000'000, 'x'))),
            "valid");  // a high compression ratio
}

TEST_F(GzipCheckTest, AcceptsSeveralMembersAndPadding) {
  const std::string two = test::gzip("hello") + test::gzip(noise());
  EXPECT_EQ(result_of(two), "valid");
  EXPECT_EQ(result_of(two + std::string(100'000, '\0')), "valid");
}

TEST_F(GzipCheckTest, DetectsTruncatedFiles) {
  const std::string whole = test::gzip(noise());
  EXPECT_EQ(result_of(""), "is empty");
  EXPECT_EQ(result_of(whole.substr(0, 5)), "is truncated");
  EXPECT_EQ(result_of(whole.substr(0, whole.size() / 2)), "is truncated");
  EXPECT_EQ(result_of(whole.substr(0, whole.size() - 1)), "is truncated");
  EXPECT_EQ(result_of(whole + whole.substr(0, 1000)), "is truncated");
}

TEST_F(GzipCheckTest, DetectsDamagedFiles) {
  std::string flipped = test::gzip(noise());
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  EXPECT_TRUE(result_of(flipped).starts_with("is damaged: ")) << result_of(flipped);
  std::string wrong_sum = test::gzip("hello");
  wrong_sum[wrong_sum.size() - 8] = static_cast<char>(wrong_sum[wrong_sum.size() - 8] ^ 1);
  EXPECT_EQ(result_of(wrong_sum), "is damaged: incorrect data check");
  EXPECT_EQ(result_of(test::gzip("hello") + "garbage"), "is damaged: incorrect header check");
}

TEST_F(GzipCheckTest, DetectsOtherFormats) {
  EXPECT_EQ(result_of("-- PostgreSQL database dump\n"), "is damaged: incorrect header check");
  EXPECT_TRUE(result_of(std::string(1000, '\0')).starts_with("is damaged: "));
}

TEST_F(GzipCheckTest, ReportsWhyAFileCannotBeRead) {
  EXPECT_EQ(result_of_path(directory.path("missing")), "No such file or directory");
  EXPECT_EQ(result_of_path(directory.path("")), "Is a directory");
}

TEST_F(GzipCheckTest, ContinuesAfterAStop) {
  const std::string bytes = test::gzip(noise());
  GzipCheck check(file(bytes));
  EXPECT_EQ(check.step(std::chrono::steady_clock::time_point::min(), [] { return false; }),
            State::working);
  EXPECT_EQ(check.step(kNever, [] { return true; }), State::working);
  EXPECT_EQ(check.position(), 0U);
  std::uint64_t before = 0;
  int steps = 0;
  while (check.state() == State::working) {
    bool stopped = true;  // after each piece
    check.step(kNever, [&] { return stopped = !stopped; });
    EXPECT_GE(check.position(), before);
    before = check.position();
    ++steps;
  }
  EXPECT_EQ(check.state(), State::valid);
  EXPECT_EQ(check.position(), bytes.size());
  EXPECT_GT(steps, 3);
}

TEST_F(GzipCheckTest, KeepsItsResult) {
  GzipCheck check(file("no gzip"));
  check.step(kNever, [] { return false; });
  const std::string fault = check.fault();
  EXPECT_EQ(check.step(kNever, [] { return false; }), State::broken);
  EXPECT_EQ(check.fault(), fault);
}

}  // namespace
}  // namespace vitalsd
