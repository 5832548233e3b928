// The response to INFO: lines of "field:value" under "# Section" headings. Pure.
#pragma once

#include "exporter/model/text_format.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace vitalsd {

/// Removes items with the name of an earlier one: proxies and other implementations repeat fields,
/// and a series must not be published twice. Names are compared as they are published.
template <class Item, class Name>
void remove_repeated(std::vector<Item>& items, const Name& name) {
  std::unordered_set<std::string> seen;
  std::erase_if(items, [&](const Item& item) {
    return !seen.insert(printable_utf8(std::invoke(name, item))).second;
  });
}

class RedisInfo {
 public:
  using Field = std::pair<std::string_view, std::string_view>;  // name and value

  /// Ignores lines that are not fields, because sections differ between versions and vendors.
  explicit RedisInfo(std::string text);
  RedisInfo(const RedisInfo&) = delete;
  RedisInfo& operator=(const RedisInfo&) = delete;

  /// Empty if the field is missing.
  [[nodiscard]] std::string_view text(std::string_view field) const;
  /// Nothing if the field is missing or not a number.
  [[nodiscard]] std::optional<double> number(std::string_view field) const;
  /// Returns 1 if the value is `expected`, 0 if it is another one, nothing if the field is missing
  /// or empty.
  [[nodiscard]] std::optional<double> is(std::string_view field, std::string_view expected) const;

  /// Fields whose names start with `prefix`, without the prefix. Of repeated fields, the first one.
  [[nodiscard]] std::vector<Field> prefixed(std::string_view prefix) const;
  /// Fields whose names are `prefix` followed by a number, such as db0. Of repeated fields, the
  /// first one.
  [[nodiscard]] std::vector<Field> numbered(std::string_view prefix) const;

  [[nodiscard]] bool empty() const { return fields_.empty(); }

 private:
  std::string text_;
  std::vector<Field> fields_;     // views of text_
  mutable std::size_t next_ = 0;  // index of the field after the last one that was found
};

/// The value of `name` in a compound field such as "keys=12,expires=3"; empty if it is missing.
std::string_view sub_field(std::string_view compound, std::string_view name);

/// Parses the whole text as a finite number. Returns nothing if it is not one.
std::optional<double> to_number(std::string_view text);

}  // namespace vitalsd
