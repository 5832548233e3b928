// Parses YAML text into a plain tree in which every value has its place in the file. Only yaml.cpp
// uses yaml-cpp. The parser refuses some valid YAML: duplicate keys, merge keys, tags, several
// documents, keys that are not text.
#pragma once

#include "config/problems.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::config {

struct Member;

/// One YAML value. `text` is set for scalars, `items` for sequences, `members` for mappings.
struct Value {
  enum class Kind : unsigned char { null, scalar, sequence, mapping };

  Kind kind = Kind::null;
  bool quoted = false;  ///< the scalar is in quotes, so it is text even if it looks like a number
  Mark mark;
  std::string text;
  std::vector<Value> items;
  std::vector<Member> members;

  [[nodiscard]] const Member* find(std::string_view key) const;
  /// "text", "a list", "a mapping" or "empty", for messages.
  [[nodiscard]] std::string_view kind_name() const;
};

struct Member {
  std::string key;
  Mark mark;  ///< of the key
  Value value;
};

/// Returns the root of the document. If the text is invalid, records problems and returns null; the
/// root of an empty text is null, too.
Value parse_yaml(std::string_view text, Problems& problems);

/// The tree in one line with sorted keys. Equal configurations have equal texts.
std::string canonical(const Value& value);

}  // namespace vitalsd::config
