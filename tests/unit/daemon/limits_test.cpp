#include "daemon/limits.hpp"

#include <string>

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace vitalsd {
namespace {

// Restores the limit on open files afterwards.
class LimitsTest : public testing::Test {
 protected:
  LimitsTest() { getrlimit(RLIMIT_NOFILE, &before); }
  ~LimitsTest() override { setrlimit(RLIMIT_NOFILE, &before); }

  void set_soft(rlim_t soft) const {
    rlimit limit = before;
    limit.rlim_cur = soft;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }

  rlimit before{};
};

TEST_F(LimitsTest, RaisesTheSoftLimitToTheHardOne) {
  set_soft(before.rlim_max - 1);
  EXPECT_EQ(raise_descriptor_limit(), before.rlim_max);
  rlimit now{};
  getrlimit(RLIMIT_NOFILE, &now);
  EXPECT_EQ(now.rlim_cur, before.rlim_max);
  EXPECT_EQ(raise_descriptor_limit(), before.rlim_max);  // nothing is left to raise
}

TEST_F(LimitsTest, DividesTheDescriptorsAmongTheProbes) {
  if (before.rlim_max < 1024) GTEST_SKIP() << "the hard limit is too low";
  set_soft(1024);  // 256 are reserved, and a run may use two
  EXPECT_EQ(probe_descriptors({}).running, 256U);
  EXPECT_EQ(probe_descriptors({}).kept, 256U);
}

TEST_F(LimitsTest, ReservesHalfOfFewDescriptors) {
  set_soft(300);
  EXPECT_EQ(probe_descriptors({}).running, 50U);
  EXPECT_EQ(probe_descriptors({}).kept, 50U);
}

TEST_F(LimitsTest, ConfiguredRunsLeaveTheRestToKeptConnections) {
  set_soft(612);
  config::LimitSettings limits;
  limits.running = 7;
  EXPECT_EQ(probe_descriptors(limits).running, 7U);
  EXPECT_EQ(probe_descriptors(limits).kept, 612U - 256U - 14U);
  limits.running = 1'000;
  EXPECT_EQ(probe_descriptors(limits).kept, 0U);
}

TEST_F(LimitsTest, ReleasingPagesKeepsWrittenData) {
  static std::string written;
  written = "written after the program was loaded";
  const char* const address = written.data();
  release_startup_pages();
  EXPECT_EQ(written.data(), address);
  EXPECT_EQ(written, "written after the program was loaded");
}

}  // namespace
}  // namespace vitalsd
