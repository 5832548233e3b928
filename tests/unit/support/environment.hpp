// A variable of the environment for as long as a test needs it. Before any thread is started that
// reads the environment.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace vitalsd::test {

class Variable {
 public:
  /// Sets it, or takes it away.
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
