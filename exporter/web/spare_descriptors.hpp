// Reserved file descriptors, so that the process responds to scrapes even if its probes use all
// others. Not thread-safe.
#pragma once

#include <cstddef>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace vitalsd {

class SpareDescriptors {
 public:
  static constexpr std::size_t kCount = 16;

  SpareDescriptors() { refill(); }
  ~SpareDescriptors() {
    while (release_one()) {
    }
  }
  SpareDescriptors(const SpareDescriptors&) = delete;
  SpareDescriptors& operator=(const SpareDescriptors&) = delete;

  /// Closes one, so that accept() can use its number. False if none is left.
  bool release_one() {
    if (held_.empty()) return false;
    close(held_.back());
    held_.pop_back();
    return true;
  }

  /// Opens descriptors up to kCount, or as many as are free.
  void refill() {
    while (held_.size() < kCount) {
      const int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (descriptor < 0) return;
      held_.push_back(descriptor);
    }
  }

 private:
  std::vector<int> held_;
};

}  // namespace vitalsd
