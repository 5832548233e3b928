// An environment variable for the duration of a test. Set it before starting any thread that reads
// the environment.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace vitalsd::test {

/// Restores the previous value when it is destroyed.
class Variable {
 public:
  /// Sets the variable, or unsets it if `value` is std::nullopt.
  Variable(std::string name, const std::optional<std::string>& value) : name_(std::move(name)) {
    const char* const before = std::getenv(name_.c_str());  // NOLINT(concurrency-mt-unsafe)
    if (before != nullptr) before_ = before;
    set(value);
  }
  ~Variable() { set(before_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const std::optional<std::string>& value) const {
    if (value) {
      setenv(name_.c_str(), value->c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    } else {
      unsetenv(name_.c_str());  // NOLINT(concurrency-mt-unsafe)
    }
  }

  std::string name_;
  std::optional<std::string> before_;
};

}  // namespace vitalsd::test
