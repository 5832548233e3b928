// Explains the errors of the YAML parser to someone who does not know YAML. Uses yaml-cpp, as does
// yaml.cpp.
#pragma once

#include "config/problems.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace YAML {
class Exception;
}

namespace vitalsd::config {

/// What the parser had read when it failed.
struct YamlProgress {
  struct Flow {
    char bracket;  ///< '{' or '['
    Mark mark;
  };
  Mark scalar;                 ///< the start of the last scalar
  bool is_quoted = false;      ///< the last scalar is in quotes
  std::optional<Flow> flow{};  ///< the innermost mapping or list in brackets that is not closed
};

struct YamlError {
  Mark mark;
  std::string message;
};

/// Why `text` cannot be parsed at all: its encoding. Empty if it can be.
std::optional<YamlError> encoding_error(std::string_view text);

/// The first place that is not UTF-8.
std::optional<Mark> find_not_utf8(std::string_view text);

/// Where the mistake is and what to do. Shows the beginning of the line, up to the first ':',
/// because the rest may be a secret.
YamlError explain(std::string_view text, const YAML::Exception& error,
                  const YamlProgress& progress);

}  // namespace vitalsd::config
