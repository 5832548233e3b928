#include "probes/filesystem/mounts.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

Mount only(std::string_view line) {
  const std::vector<Mount> mounts = parse_mountinfo(line);
  EXPECT_EQ(mounts.size(), 1U) << line;
  return mounts.empty() ? Mount() : mounts.front();
}

TEST(MountsTest, ReadsALine) {
  const Mount mount = only("36 35 98:0 / /data rw,noatime master:1 - ext4 /dev/sda1 rw,errors=x\n");
  EXPECT_EQ(mount.mountpoint, "/data");
  EXPECT_EQ(mount.device, "/dev/sda1");
  EXPECT_EQ(mount.fstype, "ext4");
  EXPECT_FALSE(mount.read_only);
}

// proc(5): zero or more optional fields before the dash.
TEST(MountsTest, AcceptsAnyNumberOfOptionalFields) {
  EXPECT_EQ(only("36 35 98:0 / /a rw - tmpfs t rw").fstype, "tmpfs");
  EXPECT_EQ(only("36 35 98:0 / /a rw shared:7 master:1 propagate_from:2 - nfs4 s:/x rw").device,
            "s:/x");
}

TEST(MountsTest, DecodesBlanksAndBackslashes) {
  const Mount mount = only("36 35 98:0 / /a\\040b\\011\\134c rw - ext4 /dev/my\\040disk rw");
  EXPECT_EQ(mount.mountpoint, "/a b\t\\c");
  EXPECT_EQ(mount.device, "/dev/my disk");
  EXPECT_EQ(only("36 35 98:0 / /a\\09x\\ rw - ext4 d rw").mountpoint,
            "/a\\09x\\");  // not valid escapes
  EXPECT_EQ(only("36 35 98:0 / /a\\303\\244 rw - ext4 d rw").mountpoint, "/aä");
}

TEST(MountsTest, DetectsReadOnlyMounts) {
  EXPECT_TRUE(only("36 35 98:0 / /a ro,noatime - ext4 d rw").read_only);   // this mount
  EXPECT_TRUE(only("36 35 98:0 / /a rw - ext4 d errors=x,ro").read_only);  // the file system
  EXPECT_FALSE(only("36 35 98:0 / /a rw,errors=remount-ro - ext4 d rw,ro=1").read_only);
  EXPECT_TRUE(only("36 35 98:0 / /a ro - ext4 d").read_only);  // without super options
}

TEST(MountsTest, ReturnsTheLastOfSeveralMountsOnOnePoint) {
  const std::vector<Mount> mounts = parse_mountinfo(
      "1 0 8:1 / / rw - ext4 /dev/a rw\n"
      "2 1 8:2 / /data rw - ext4 /dev/b rw\n"
      "3 2 8:3 / /data rw - xfs /dev/c rw\n"
      "4 3 8:4 / /data/x rw - ext4 /dev/d rw\n");
  ASSERT_EQ(mounts.size(), 3U);
  const auto data = std::ranges::find(mounts, "/data", &Mount::mountpoint);
  ASSERT_NE(data, mounts.end());
  EXPECT_EQ(data->device, "/dev/c");
}

// The mount points that are returned. A line is "id parent mountpoint".
std::vector<std::string> visible(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    const std::size_t before_mountpoint = line.rfind(' ');
    text += line.substr(0, before_mountpoint) + " 8:1 /" + line.substr(before_mountpoint) +
            " rw - ext4 d rw\n";
  }
  std::vector<std::string> names;
  for (const Mount& mount : parse_mountinfo(text)) names.push_back(mount.mountpoint);
  return names;
}

TEST(MountsTest, OmitsHiddenMounts) {
  using Names = std::vector<std::string>;
  // A mount over the parent directory, over a higher directory, and over a mount that contains
  // another.
  EXPECT_EQ(visible({"1 0 /", "2 1 /a/b", "3 1 /a"}), (Names{"/", "/a"}));
  EXPECT_EQ(visible({"1 0 /", "2 1 /a/b/c", "3 1 /a"}), (Names{"/", "/a"}));
  EXPECT_EQ(visible({"1 0 /", "2 1 /a", "3 2 /a/b", "4 2 /a"}), (Names{"/", "/a"}));
  EXPECT_EQ(visible({"1 0 /", "2 1 /a/b", "3 2 /a/b/c", "4 1 /a"}), (Names{"/", "/a"}));
  EXPECT_EQ(visible({"1 0 /", "2 1 /a", "3 1 /"}), (Names{"/"}));
  // The order of the lines does not matter.
  EXPECT_EQ(visible({"3 1 /a", "2 1 /a/b", "1 0 /"}), (Names{"/a", "/"}));
  // Mounted again inside the covering mount.
  EXPECT_EQ(visible({"1 0 /", "2 1 /a/b", "3 1 /a", "4 3 /a/b"}), (Names{"/", "/a", "/a/b"}));
  // Neighbours, nested mounts, and parents that are not in the table, as in a container.
  EXPECT_EQ(visible({"1 0 /", "2 1 /a", "3 1 /ab", "4 2 /a/b", "5 4 /a/b/c"}),
            (Names{"/", "/a", "/ab", "/a/b", "/a/b/c"}));
  EXPECT_EQ(visible({"2 1 /a", "3 9 /a/b"}), (Names{"/a", "/a/b"}));
  EXPECT_EQ(visible({"1 2 /a", "2 1 /b"}), (Names{"/a", "/b"})) << "a cycle";
}

TEST(MountsTest, IgnoresInvalidLines) {
  EXPECT_TRUE(parse_mountinfo("").empty());
  EXPECT_TRUE(parse_mountinfo("\n\n").empty());
  EXPECT_TRUE(parse_mountinfo("nonsense\n36 35 98:0 / /a rw\n- - - - - -\n").empty());
  EXPECT_TRUE(parse_mountinfo("36 35 98:0 / /a rw - ext4\n").empty());
  EXPECT_EQ(parse_mountinfo("x\n36 35 98:0 / /a rw - ext4 d rw\ny").size(), 1U);
}

TEST(MountsTest, ReadsTheTableOfThisProcess) {
  const std::vector<Mount> mounts = read_mount_table();
  EXPECT_NE(std::ranges::find(mounts, "/", &Mount::mountpoint), mounts.end());
  const auto proc = std::ranges::find(mounts, "/proc", &Mount::mountpoint);
  ASSERT_NE(proc, mounts.end());
  EXPECT_EQ(proc->fstype, "proc");
}

TEST(MountsTest, ListsFileSystemsWithoutFreeSpace) {
  for (const std::string_view type : {"proc", "cgroup2", "squashfs", "iso9660", "devtmpfs"}) {
    EXPECT_TRUE(has_no_free_space(type)) << type;
  }
  for (const std::string_view type :
       {"ext4", "xfs", "tmpfs", "overlay", "nfs4", "fuse.sshfs", ""}) {
    EXPECT_FALSE(has_no_free_space(type)) << type;
  }
}

TEST(MountsTest, OnlyAutofsMountsOnAccess) {
  EXPECT_TRUE(mounts_on_access("autofs"));
  for (const char* type : {"nfs4", "ext4", "tmpfs", ""}) EXPECT_FALSE(mounts_on_access(type));
}

}  // namespace
}  // namespace vitalsd
