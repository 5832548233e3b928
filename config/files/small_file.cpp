#include "config/files/small_file.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd::config {
namespace {

using Failure = std::unexpected<std::string>;

Failure failure(int error) { return Failure(std::generic_category().message(error)); }

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * kSecond + time.tv_nsec;
}

FileVersion version_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, status.st_size, nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

// File systems store the modification time in steps of some milliseconds, so a file that has just
// changed can change again without a new version.
bool is_settled(const FileVersion& version) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now) - version.changed_ns > kSecond;
}

std::string shown_size(std::size_t bytes) {
  constexpr std::size_t kKibi = 1024;
  constexpr std::size_t kMebi = kKibi * kKibi;
  return bytes % kMebi == 0 ? std::to_string(bytes / kMebi) + " MiB"
                            : std::to_string(bytes / kKibi) + " KiB";
}

// `expected` is a hint: a file may grow, and files in /proc report the size 0.
std::expected<std::string, std::string> read_all(int file, std::size_t expected,
                                                 std::size_t max_bytes) {
  std::string content;
  std::size_t next = std::min(expected, max_bytes) + 1;
  for (;;) {
    const std::size_t size = content.size();
    content.resize(size + next);
    const ssize_t got = read(file, content.data() + size, next);
    if (got < 0 && errno != EINTR) return failure(errno);
    content.resize(size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return content;
    if (content.size() > max_bytes) return Failure("larger than " + shown_size(max_bytes));
    next = std::min<std::size_t>(std::max<std::size_t>(content.size(), 4096),
                                 max_bytes + 1 - content.size());
  }
}

}  // namespace

FileVersion version_of(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 ? version_of(status) : FileVersion{};
}

std::expected<std::string, std::string> read_small_file(const std::string& path,
                                                        std::size_t max_bytes) {
  FileVersion none;
  std::expected<std::optional<std::string>, std::string> read =
      read_changed_file(path, max_bytes, none);
  if (!read) return Failure(std::move(read.error()));
  return std::move(**read);
}

std::expected<std::optional<std::string>, std::string> read_changed_file(const std::string& path,
                                                                         std::size_t max_bytes,
                                                                         FileVersion& known) {
  const FileVersion before = std::exchange(known, {});
  // O_NONBLOCK: without it, open() of a FIFO waits for a writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (file.number() < 0 && errno == ENXIO) return Failure("not a regular file");  // a socket
  struct stat status{};
  if (file.number() < 0 || fstat(file.number(), &status) != 0) return failure(errno);
  if (S_ISDIR(status.st_mode)) return failure(EISDIR);
  if (!S_ISREG(status.st_mode)) return Failure("not a regular file");
  const FileVersion now = version_of(status);
  if (is_settled(now)) known = now;
  if (now == before) return std::nullopt;
  std::expected<std::string, std::string> text =
      read_all(file.number(), static_cast<std::size_t>(status.st_size), max_bytes);
  if (!text) return Failure(std::move(text.error()));
  return std::move(*text);
}

std::expected<std::string, std::string> read_standard_input(std::size_t max_bytes) {
  return read_all(STDIN_FILENO, 0, max_bytes);
}

}  // namespace vitalsd::config
