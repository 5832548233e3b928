#include "config/files/small_file.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

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

std::expected<std::string, std::string> read_small_file(const std::string& path,
                                                        std::size_t max_bytes) {
  // O_NONBLOCK: without it, open() of a FIFO waits for a writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (file.number() < 0 && errno == ENXIO) return Failure("not a regular file");  // a socket
  struct stat status{};
  if (file.number() < 0 || fstat(file.number(), &status) != 0) return failure(errno);
  if (S_ISDIR(status.st_mode)) return failure(EISDIR);
  if (!S_ISREG(status.st_mode)) return Failure("not a regular file");
  return read_all(file.number(), static_cast<std::size_t>(status.st_size), max_bytes);
}

std::expected<std::string, std::string> read_standard_input(std::size_t max_bytes) {
  return read_all(STDIN_FILENO, 0, max_bytes);
}

}  // namespace vitalsd::config
