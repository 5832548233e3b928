// Errors and warnings of one configuration file, each with its place. They are collected before any
// is shown, so that one run of `vitalsd config check` reports all of them. No I/O.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::config {

/// A place in a file. Lines and columns start at 1; line 0 means the file as a whole.
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
  /// Whether further errors are only counted, not stored. The caller can then skip building its
  /// message.
  [[nodiscard]] bool full() const { return errors_.count >= kMaxKept; }
  /// The first 100 problems of each severity, and one problem per severity that counts the rest.
  [[nodiscard]] const std::vector<Problem>& list() const { return list_; }
  [[nodiscard]] const std::string& file() const { return file_; }

  /// One problem as `file:line:column: path: message`, warnings as `...: warning: message`.
  [[nodiscard]] std::string line(const Problem& problem) const;
  /// All problems in the order of the file, one per line, each line with a newline.
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::size_t kMaxKept = 100;  // per severity

  struct Count {
    std::size_t count = 0;
    std::size_t rest = 0;  // index in list_ of the problem that counts the rest
  };

  void add(Count& count, Problem problem);

  std::string file_;
  std::vector<Problem> list_;
  Count errors_;
  Count warnings_;
};

/// `text` with control characters written as \x0a, so that they cannot break a line or control a
/// terminal.
std::string escape_controls(std::string_view text);

/// `text` with *** in place of everything before the last '@', which may be the user and password
/// of a URL. A message about a misplaced URL therefore does not show its password.
std::string without_credentials(std::string_view text);

/// Text in quotes for a message: without credentials, control characters escaped, cut after 80
/// bytes.
std::string quoted(std::string_view text);

/// The candidate that is most similar to `word`; empty if no candidate is similar enough for `word`
/// to be a misspelling of it.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

/// " (did you mean 'x'?)"; empty if no candidate is similar enough.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace vitalsd::config
