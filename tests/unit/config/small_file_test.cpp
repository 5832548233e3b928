#include "config/files/small_file.hpp"

#include <filesystem>
#include <string>

#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace vitalsd::config {
namespace {

using test::TempDirectory;

std::string error_of(const std::string& path) {
  const auto content = read_small_file(path, 4096);
  return content ? "readable" : content.error();
}

TEST(SmallFile, ReadsTheWholeContent) {
  const TempDirectory directory;
  for (const std::size_t size : {0, 1, 4095, 4096}) {
    const std::string content(size, 'x');
    EXPECT_EQ(*read_small_file(directory.file("f", content), 4096), content);
  }
  EXPECT_EQ(*read_small_file(directory.file("f", std::string("a\0b", 3)), 4096),
            std::string("a\0b", 3));
}

TEST(SmallFile, ReadsFilesThatReportNoSize) {
  EXPECT_TRUE(read_small_file("/proc/self/limits", 64 * 1024)->starts_with("Limit"));
}

TEST(SmallFile, RefusesLargeFiles) {
  const TempDirectory directory;
  EXPECT_EQ(error_of(directory.file("f", std::string(4097, 'x'))), "larger than 4 KiB");
}

TEST(SmallFile, RefusesFilesThatAreNotRegular) {
  const TempDirectory directory;
  const std::string fifo = directory.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string socket_path = directory.path("socket");
  ASSERT_LT(socket_path.size(), sizeof(address.sun_path));
  socket_path.copy(address.sun_path, socket_path.size());
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  for (const std::string& path : {fifo, socket_path, std::string("/dev/zero")}) {
    EXPECT_EQ(error_of(path), "not a regular file") << path;
  }
  close(listener);
  EXPECT_EQ(error_of(directory.path("")), "Is a directory");
  EXPECT_EQ(error_of(directory.path("none")), "No such file or directory");
}

TEST(SmallFile, FollowsSymbolicLinks) {
  const TempDirectory directory;
  EXPECT_EQ(directory.file("f", "x"), directory.path("f"));
  std::filesystem::create_symlink("f", directory.path("link"));
  EXPECT_EQ(*read_small_file(directory.path("link"), 4096), "x");
}

TEST(FileVersionTest, ChangesWhenAFileIsWrittenOrReplaced) {
  const TempDirectory directory;
  const std::string path = directory.path("f");
  EXPECT_EQ(version_of(path), FileVersion{});
  EXPECT_EQ(directory.file("f", "x"), path);
  const FileVersion first = version_of(path);
  EXPECT_NE(first, FileVersion{});
  EXPECT_EQ(version_of(path), first);
  EXPECT_EQ(directory.file("f", "xx"), path);
  const FileVersion second = version_of(path);
  EXPECT_NE(second, first);
  std::filesystem::rename(directory.file("new", "xx"), path);
  EXPECT_NE(version_of(path), second);
}

TEST(ChangedFile, IsReadOnce) {
  FileVersion version;
  EXPECT_TRUE(read_changed_file("/etc/passwd", 1 << 20, version)->has_value());
  EXPECT_FALSE(read_changed_file("/etc/passwd", 1 << 20, version)->has_value());
}

// A change within the resolution of the file system's clock would have the same version.
TEST(ChangedFile, IsReadAgainIfItIsYoung) {
  const TempDirectory directory;
  const std::string path = directory.file("f", "one");
  FileVersion version;
  EXPECT_EQ(**read_changed_file(path, 4096, version), "one");
  EXPECT_EQ(directory.file("f", "two"), path);
  EXPECT_EQ(**read_changed_file(path, 4096, version), "two");
  std::filesystem::remove(path);
  EXPECT_FALSE(read_changed_file(path, 4096, version));
}

}  // namespace
}  // namespace vitalsd::config
