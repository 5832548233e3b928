// YAML text -> a plain tree with a place at every value. The only file that knows yaml-cpp is
// yaml.cpp. What YAML allows and we refuse is reported here: duplicate keys, merge keys, tags,
// several documents, keys that are not plain text.
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
  bool quoted = false;  ///< the scalar stood in quotes, so it is text whatever it looks like
  Mark mark;
  std::string text;
  std::vector<Value> items;
  std::vector<Member> members;

  [[nodiscard]] const Member* find(std::string_view key) const;
  /// "text", "a list", "a mapping" or "nothing", for messages.
  [[nodiscard]] std::string_view kind_name() const;
};

struct Member {
  std::string key;
  Mark mark;  ///< of the key
  Value value;
};

/// The document's root; a null value where the text is empty or broken (then `problems` says why).
Value parse_yaml(std::string_view text, Problems& problems);

/// The tree in one line with sorted keys: equal texts mean equal configuration.
std::string canonical(const Value& value);

}  // namespace vitalsd::config
