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

  // "sound", or what is wrong.
  std::string verdict(const std::string& bytes) const { return verdict_on(file(bytes)); }
  static std::string verdict_on(const std::string& path) {
    GzipCheck check(path);
    const State state = check.step(kNever, [] { return false; });
    EXPECT_NE(state, State::working);
    EXPECT_EQ(check.fault().empty(), state == State::sound);
    return state == State::sound ? "sound" : check.fault();
  }
  [[nodiscard]] std::string file(const std::string& bytes) const {
    return directory.file("backup.gz", bytes);
  }
  // That does not compress: several pieces of 64 KiB.
  static std::string noise(std::size_t size = 300'000) {
    std::mt19937 random(1);
    std::string text;
    while (text.size() < size) text += static_cast<char>(random());
    return text;
  }

  test::TempDirectory directory;
};

TEST_F(GzipCheckTest, TakesWhatGzipMakes) {
  EXPECT_EQ(verdict(test::gzip("hello")), "sound");
  EXPECT_EQ(verdict(test::gzip("")), "sound");
  EXPECT_EQ(verdict(test::gzip(noise())), "sound");
  EXPECT_EQ(verdict(test::gzip(std::string(5'000'000, 'x'))), "sound");  // much from little
}

TEST_F(GzipCheckTest, TakesSeveralMembersAndTheirPadding) {
  const std::string two = test::gzip("hello") + test::gzip(noise());
  EXPECT_EQ(verdict(two), "sound");
  EXPECT_EQ(verdict(two + std::string(100'000, '\0')), "sound");
}

TEST_F(GzipCheckTest, FindsWhatEndsTooEarly) {
  const std::string whole = test::gzip(noise());
  EXPECT_EQ(verdict(""), "is empty");
  EXPECT_EQ(verdict(whole.substr(0, 5)), "ends in the middle");
  EXPECT_EQ(verdict(whole.substr(0, whole.size() / 2)), "ends in the middle");
  EXPECT_EQ(verdict(whole.substr(0, whole.size() - 1)), "ends in the middle");
  EXPECT_EQ(verdict(whole + whole.substr(0, 1000)), "ends in the middle");
}

TEST_F(GzipCheckTest, FindsWhatIsDamaged) {
  std::string flipped = test::gzip(noise());
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  EXPECT_TRUE(verdict(flipped).starts_with("is damaged: ")) << verdict(flipped);
  std::string wrong_sum = test::gzip("hello");
  wrong_sum[wrong_sum.size() - 8] = static_cast<char>(wrong_sum[wrong_sum.size() - 8] ^ 1);
  EXPECT_EQ(verdict(wrong_sum), "is damaged: incorrect data check");
  EXPECT_EQ(verdict(test::gzip("hello") + "garbage"), "is damaged: incorrect header check");
}

TEST_F(GzipCheckTest, FindsWhatIsNoGzip) {
  EXPECT_EQ(verdict("-- PostgreSQL database dump\n"), "is damaged: incorrect header check");
  EXPECT_TRUE(verdict(std::string(1000, '\0')).starts_with("is damaged: "));
}

TEST_F(GzipCheckTest, SaysWhyAFileCannotBeRead) {
  EXPECT_EQ(verdict_on(directory.path("missing")), "No such file or directory");
  EXPECT_EQ(verdict_on(directory.path("")), "Is a directory");
}

TEST_F(GzipCheckTest, GoesOnWhereItWasStopped) {
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
  EXPECT_EQ(check.state(), State::sound);
  EXPECT_EQ(check.position(), bytes.size());
  EXPECT_GT(steps, 3);
}

TEST_F(GzipCheckTest, KeepsItsVerdict) {
  GzipCheck check(file("no gzip"));
  check.step(kNever, [] { return false; });
  const std::string fault = check.fault();
  EXPECT_EQ(check.step(kNever, [] { return false; }), State::broken);
  EXPECT_EQ(check.fault(), fault);
}

}  // namespace
}  // namespace vitalsd
