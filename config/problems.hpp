// Located diagnostics of one configuration file. All of them are collected before any is shown, so
// that one run of `vitalsd config check` tells everything that is wrong. No I/O.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::config {

/// A place in a file, both counted from 1; line 0 means the file as a whole.
struct Mark {
  int line = 0;
  int column = 0;
  auto operator<=>(const Mark&) const = default;
};

enum class Severity { error, warning };

struct Problem {
  Severity severity;
  Mark mark;
  std::string path;  ///< "probes[0].interval"; empty for the document itself
  std::string message;
};

class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}

  void error(Mark mark, std::string path, std::string message) {
    add(errors_, {Severity::error, mark, std::move(path), std::move(message)});
  }
  void warning(Mark mark, std::string path, std::string message) {
    add(warnings_, {Severity::warning, mark, std::move(path), std::move(message)});
  }

  [[nodiscard]] bool has_errors() const { return errors_.count > 0; }
  /// Whether a further error would be counted only, so that its message need not be made.
  [[nodiscard]] bool full() const { return errors_.count >= kMaxKept; }
  /// The first of each severity, and after them one that says how many more there are.
  [[nodiscard]] const std::vector<Problem>& list() const { return list_; }
  [[nodiscard]] const std::string& file() const { return file_; }

  /// One problem as `file:line:column: path: message`, warnings as `...: warning: message`.
  [[nodiscard]] std::string line(const Problem& problem) const;
  /// The same as text in the order of the file, a line each, a newline after each.
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::size_t kMaxKept = 100;  // of each severity

  struct Count {
    std::size_t count = 0;
    std::size_t rest = 0;  // where in the list that one stands
  };

  void add(Count& count, Problem problem);

  std::string file_;
  std::vector<Problem> list_;
  Count errors_;
  Count warnings_;
};

/// `text` with control characters as \x0a, so that it can neither break a line nor steer a
/// terminal.
std::string escape_controls(std::string_view text);

/// `text` with *** for what stands in front of the last '@', if that may be a URL's user and
/// password: where a URL is written in the wrong place, no message shows its password.
std::string without_credentials(std::string_view text);

/// The candidate nearest to `word`, if it is near enough to be a slip of the fingers; else empty.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

/// " (did you mean 'x'?)", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace vitalsd::config
