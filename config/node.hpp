// Strict reader of one YAML mapping. Reading a key also declares it, so the code that reads a
// mapping defines its schema, its reference page and its validation. An invalid value is recorded
// as a problem and the reader returns a fallback, so that one run reports all problems. finish()
// reports the keys that were never read.
#pragma once

#include "config/problems.hpp"
#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "config/yaml.hpp"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace vitalsd::config {

/// One key in the reference.
struct Option {
  std::string path;      ///< "expect.status"
  std::string type;      ///< "duration", "list of text", "mapping"
  std::string fallback;  ///< in the form of the configuration; empty: none
  bool required = false;
  std::string help;
};

/// The limits of a value, both included.
template <class T>
struct Range {
  T min;
  T max;
};

class Node {
 public:
  /// Reads `value`, which must be a mapping or null and must outlive the node.
  Node(const Value& value, std::string path, Problems& problems);

  /// A node that has no values and records each key that the code reads in `options`. It is used to
  /// generate the reference of the keys.
  static Node describing(std::vector<Option>& options, Problems& ignored);

  Node(Node&&) noexcept = default;
  Node& operator=(Node&&) noexcept = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node() = default;

  template <Readable T>
  T get(std::string_view key, std::type_identity_t<T> fallback, std::string_view help) {
    declare(key, Scalar<T>::kName, Scalar<T>::show(fallback), false, help);
    return read<T>(key).value_or(std::move(fallback));
  }

  template <Readable T>
  T get(std::string_view key, std::type_identity_t<T> fallback, std::string_view help,
        Range<std::type_identity_t<T>> range) {
    T value = get<T>(key, fallback, help);
    return within(key, value, range) ? value : fallback;
  }

  /// T{} if the key is missing or its value is invalid; the problem is recorded.
  template <Readable T>
  T required(std::string_view key, std::string_view help) {
    declare(key, Scalar<T>::kName, "", true, help);
    if (!member(key)) missing(key, Scalar<T>::kName);
    return read<T>(key).value_or(T{});
  }

  template <Readable T>
  std::optional<T> find(std::string_view key, std::string_view help) {
    declare(key, Scalar<T>::kName, "", false, help);
    return read<T>(key);
  }

  template <Readable T>
  std::vector<T> list(std::string_view key, std::string_view help) {
    declare(key, "list of " + std::string(Scalar<T>::kName), "", false, help);
    std::vector<T> out;
    std::size_t index = 0;
    for (const Value& item : items(key)) {
      const std::string item_path = path_of(key) + '[' + std::to_string(index++) + ']';
      if (auto value = parse<T>(item, item_path)) out.push_back(std::move(*value));
    }
    return out;
  }

  /// Like list(), but also accepts a single value in place of a list.
  template <Readable T>
  std::vector<T> one_or_more(std::string_view key, std::string_view help) {
    const Member* found = member(key);
    if (found == nullptr || found->value.kind != Value::Kind::scalar) return list<T>(key, help);
    declare(key, Scalar<T>::kName, "", false, help);
    if (auto value = read<T>(key)) return {std::move(*value)};
    return {};
  }

  /// One of `choices`. The first is the fallback.
  std::string choice(std::string_view key, const std::vector<std::string_view>& choices,
                     std::string_view help);

  /// A mapping with any keys to values of T.
  template <Readable T>
  std::vector<std::pair<std::string, T>> map(std::string_view key, std::string_view help) {
    declare(key, "mapping to " + std::string(Scalar<T>::kName), "", false, help);
    std::vector<std::pair<std::string, T>> out;
    for (const Member& entry : entries(key)) {
      if (auto value = parse<T>(entry.value, path_of(key) + '.' + entry.key)) {
        out.emplace_back(entry.key, std::move(*value));
      }
    }
    return out;
  }

  /// `{file: PATH}`, `{env: NAME}`, `{credential: NAME}` or, with a warning, the text itself.
  Secret secret(std::string_view key, std::string_view help);

  /// The mapping under `key`; an empty node if the key is missing. The reference is valid as long
  /// as this node.
  Node& section(std::string_view key, std::string_view help);

  /// Like section(), but returns null if the key is missing. For a section that has required keys.
  Node* find_section(std::string_view key, std::string_view help);

  /// The mappings of the list under `key`.
  std::list<Node>& sections(std::string_view key, std::string_view help);

  [[nodiscard]] bool has(std::string_view key) const { return member(key) != nullptr; }
  [[nodiscard]] Mark mark(std::string_view key) const;
  [[nodiscard]] Mark mark() const { return value_->mark; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] const Value& value() const { return *value_; }
  [[nodiscard]] Problems& problems() { return *problems_; }

  /// Records a problem at the key's value, or at the mapping if the key is missing.
  void error(std::string_view key, std::string message);
  void warning(std::string_view key, std::string message);

  /// Turns off the report of unknown keys for this node. Used if the kind of a probe is unknown,
  /// because its keys are then unknown, too.
  void ignore_unknown() { ignore_unknown_ = true; }

  /// Reports every key that was not read, here and in all sections. The code that created the node
  /// calls it once, after all reads.
  void finish();

 private:
  [[nodiscard]] const Member* member(std::string_view key) const;
  void declare(std::string_view key, std::string_view type, std::string fallback, bool required,
               std::string_view help);
  void missing(std::string_view key, std::string_view type);
  [[nodiscard]] const std::vector<Value>& items(std::string_view key);
  [[nodiscard]] const std::vector<Member>& entries(std::string_view key);
  /// Returns the text of a scalar. If `value` is not a scalar, or is quoted although `plain` is
  /// true, records a problem and returns null.
  const std::string* scalar(const Value& value, const std::string& path, std::string_view type,
                            bool plain);
  void out_of_range(std::string_view key, const std::string& min, const std::string& max);

  template <Readable T>
  std::optional<T> read(std::string_view key) {
    const Member* found = member(key);
    if (found == nullptr) return std::nullopt;
    return parse<T>(found->value, path_of(key));
  }

  template <Readable T>
  std::optional<T> parse(const Value& value, const std::string& path) {
    const std::string* text = scalar(value, path, Scalar<T>::kName, Scalar<T>::kPlain);
    if (text == nullptr) return std::nullopt;
    Parsed<T> parsed = Scalar<T>::parse(*text);
    if (parsed) return std::move(*parsed);
    problems_->error(value.mark, path, std::move(parsed.error()));
    return std::nullopt;
  }

  template <Readable T>
  bool within(std::string_view key, const T& value, const Range<T>& range) {
    if (range.min <= value && value <= range.max) return true;
    out_of_range(key, Scalar<T>::show(range.min), Scalar<T>::show(range.max));
    return false;
  }

  const Value* value_;
  std::string path_;
  Problems* problems_;
  std::vector<Option>* options_ = nullptr;  // set by describing()
  bool ignore_unknown_ = false;
  std::vector<std::string> declared_;
  // std::list: references to sections stay valid.
  std::list<Node> sections_;
  std::list<std::list<Node>> lists_;
};

}  // namespace vitalsd::config
