// The text that Redis answers to INFO: lines of "field:value" under "# Section" headings. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

class RedisInfo {
 public:
  using Field = std::pair<std::string_view, std::string_view>;  // name and value

  /// Lines that are no fields are passed over: sections differ between versions and vendors.
  explicit RedisInfo(std::string text);
  RedisInfo(const RedisInfo&) = delete;
  RedisInfo& operator=(const RedisInfo&) = delete;

  /// Empty where there is no such field.
  [[nodiscard]] std::string_view text(std::string_view field) const;
  /// Nothing where there is no such field, or it is no number.
  [[nodiscard]] std::optional<double> number(std::string_view field) const;
  /// 1 where the field says `good`, 0 where it says anything else, nothing where there is none.
  [[nodiscard]] std::optional<double> is(std::string_view field, std::string_view good) const;

  /// Fields whose names are `prefix` and a number: db0, slave0.
  [[nodiscard]] std::vector<Field> numbered(std::string_view prefix) const;

  [[nodiscard]] bool empty() const { return fields_.empty(); }

 private:
  std::string text_;
  std::vector<Field> fields_;  // into text_
};

/// One value of a compound field such as "keys=12,expires=3": the text behind `name=`.
std::string_view sub_field(std::string_view compound, std::string_view name);

/// The whole text as a number; nothing if it is none.
std::optional<double> to_number(std::string_view text);

}  // namespace vitalsd
