// Exhausts the file descriptors of the process.
#pragma once

#include <vector>

#include "unit/support/memory.hpp"
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace vitalsd::test {

/// Why sanitizer builds skip these tests: UBSan opens a pipe to read the type of an object.
inline constexpr auto kUbsanNeedsAPipe = "UBSan needs a descriptor to check an object";

/// While an object of this class exists, the process cannot open any more files.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    const rlimit low{static_cast<rlim_t>(next + 64), before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    for (int one = 0; (one = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) taken_.push_back(one);
  }
  ~NoDescriptors() {
    for (const int one : taken_) close(one);
    setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

}  // namespace vitalsd::test
