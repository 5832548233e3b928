// File descriptors held in reserve, so that a process whose probes have taken all others still
// answers scrapes. One thread.
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

  /// Closes one, so that another one can be opened in its place; false if there is none left.
  bool release_one() {
    if (held_.empty()) return false;
    close(held_.back());
    held_.pop_back();
    return true;
  }

  /// Takes as many as there can be.
  void refill() {
    while (held_.size() < kCount) {
      const int one = open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (one < 0) return;
      held_.push_back(one);
    }
  }

 private:
  std::vector<int> held_;
};

}  // namespace vitalsd
