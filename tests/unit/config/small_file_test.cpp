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

}  // namespace
}  // namespace vitalsd::config
