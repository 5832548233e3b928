// Uses the file systems of this machine: each has / and /proc.
#include "probes/filesystem/mounts.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "unit/support/environment.hpp"
#include "unit/support/kinds.hpp"
#include <gtest/gtest.h>
#include <sys/statvfs.h>

namespace vitalsd {
namespace {

class FilesystemTest : public testing::Test {
 protected:
  static Mount mount_at(const std::string& mountpoint) {
    const std::vector<Mount> table = read_mount_table();
    const auto found = std::ranges::find(table, mountpoint, &Mount::mountpoint);
    return found == table.end() ? Mount() : *found;
  }
  static test::Labels labels(const Mount& mount, const std::string& mountpoint) {
    return {{"mountpoint", mountpoint},
            {"device", mount.device},
            {"fstype", mount.fstype},
            {"node", "n1"}};
  }

  test::ProbeFixture fixture;
};

TEST_F(FilesystemTest, MeasuresTheRootByDefault) {
  const test::Observation run = fixture.observe("filesystem", "node: n1");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.parts(), 1U);
  const test::Labels root = labels(mount_at("/"), "/");
  struct statvfs values{};
  ASSERT_EQ(statvfs("/", &values), 0);
  const auto block = static_cast<double>(values.f_frsize);
  const double size = static_cast<double>(values.f_blocks) * block;
  EXPECT_EQ(run.value("node_filesystem_size_bytes", root), size);
  EXPECT_EQ(run.value("node_filesystem_readonly", root), mount_at("/").read_only ? 1 : 0);
  const double free = run.value("node_filesystem_free_bytes", root).value_or(-1);
  const double avail = run.value("node_filesystem_avail_bytes", root).value_or(-1);
  EXPECT_GE(free, avail);  // space that is reserved for root is free but not available
  EXPECT_LE(free, size);
  // As df computes it, of the space that users other than root can use.
  ASSERT_GT(size - free + avail, 0);
  EXPECT_EQ(run.reading("used", "/"), 1 - avail / (size - free + avail));
  EXPECT_EQ(run.count("node_filesystem_files"), values.f_files == 0 ? 0U : 1U);
}

TEST_F(FilesystemTest, PublishesNoSpaceForProc) {
  const test::Observation run = fixture.observe("filesystem", "mounts: [/proc], node: n1");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("node_filesystem_readonly"), 1U);
  EXPECT_EQ(run.count("node_filesystem_size_bytes"), 0U);
  EXPECT_EQ(run.count("node_filesystem_avail_bytes"), 0U);
  EXPECT_EQ(run.reading("used", "/proc"), std::nullopt);
  EXPECT_EQ(run.reading("files_used", "/proc"), std::nullopt);
}

TEST_F(FilesystemTest, ReportsPatternsWithoutAMount) {
  const test::Observation run =
      fixture.observe("filesystem", "mounts: [/, /nowhere, '/proc/nothing*'], node: n1");
  EXPECT_EQ(run.failure("/"), "");
  EXPECT_EQ(run.failure("/nowhere"), "mismatch: nothing is mounted there");
  EXPECT_EQ(run.failure("/proc/nothing*"), "mismatch: nothing is mounted there");
  EXPECT_EQ(run.count("node_filesystem_readonly"), 1U);
  EXPECT_FALSE(run.threw());
}

TEST_F(FilesystemTest, MeasuresAMountOnceIfSeveralPatternsMatch) {
  const test::Observation run =
      fixture.observe("filesystem", "mounts: [/proc, '/pro*', '/p??c'], node: n1");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("node_filesystem_readonly"), 1U);
  EXPECT_EQ(run.duplicates(), 0U);
}

// As in a shell, "/*" matches the entries of / but not paths below them.
TEST_F(FilesystemTest, MatchesWithinOnePathComponent) {
  const test::Observation run = fixture.observe("filesystem", "mounts: ['/*'], node: n1");
  std::size_t expected = 0;
  for (const Mount& mount : read_mount_table()) {
    const std::string& path = mount.mountpoint;
    if (path.find('/', 1) == std::string::npos) ++expected;
  }
  EXPECT_EQ(run.parts(), expected);
}

TEST_F(FilesystemTest, RemovesThePrefixOfTheHostsRoot) {
  const test::Observation run =
      fixture.observe("filesystem", "mounts: [/], root: /proc/, node: n1");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.parts(), 1U);
  EXPECT_EQ(run.value("node_filesystem_readonly", labels(mount_at("/proc"), "/")),
            mount_at("/proc").read_only ? 1 : 0);
}

TEST_F(FilesystemTest, MatchesTheHostsRootByWholeComponents) {
  const test::Observation run =
      fixture.observe("filesystem", "mounts: ['/*', /], root: /pro, node: n1");
  EXPECT_EQ(run.names().size(), 0U);  // /proc only starts with /pro
  EXPECT_EQ(run.reason(), "mismatch");
}

TEST_F(FilesystemTest, ReadsTheNodeFromTheEnvironment) {
  const test::Variable name("NODE_NAME", "worker-7");
  const test::Observation run = fixture.observe("filesystem", "mounts: [/proc]");
  test::Labels expected = labels(mount_at("/proc"), "/proc");
  expected["node"] = "worker-7";
  EXPECT_TRUE(run.value("node_filesystem_readonly", expected));
}

}  // namespace
}  // namespace vitalsd
