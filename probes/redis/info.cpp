#include "probes/redis/info.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

namespace vitalsd {

std::optional<double> to_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

RedisInfo::RedisInfo(std::string text) : text_(std::move(text)) {
  constexpr std::size_t kUsualCount = 256;  // Redis 7.0 sends about 200
  fields_.reserve(kUsualCount);
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t colon = line.find(':');
    if (line.starts_with('#') || colon == std::string_view::npos) continue;
    fields_.emplace_back(line.substr(0, colon), line.substr(colon + 1));
  }
}

std::string_view RedisInfo::text(std::string_view field) const {
  // A linear search: most names differ in length, so few bytes are compared. Sorting the fields
  // would cost more than all lookups of a run. It starts after the last field that was found,
  // because the fields of a section are mostly read one after another.
  const auto start = fields_.begin() + static_cast<std::ptrdiff_t>(next_);
  auto it = std::ranges::find(start, fields_.end(), field, &Field::first);
  if (it == fields_.end()) {
    it = std::ranges::find(fields_.begin(), start, field, &Field::first);
    if (it == start) return {};
  }
  next_ = static_cast<std::size_t>(it - fields_.begin()) + 1;
  return it->second;
}

std::optional<double> RedisInfo::number(std::string_view field) const {
  return to_number(text(field));
}

std::optional<double> RedisInfo::is(std::string_view field, std::string_view expected) const {
  const std::string_view value = text(field);
  if (value.empty()) return std::nullopt;
  return value == expected ? 1 : 0;
}

std::vector<RedisInfo::Field> RedisInfo::prefixed(std::string_view prefix) const {
  std::vector<Field> found;
  for (const auto& [field, value] : fields_) {
    if (field.starts_with(prefix)) found.emplace_back(field.substr(prefix.size()), value);
  }
  remove_repeated(found, &Field::first);
  return found;
}

std::vector<RedisInfo::Field> RedisInfo::numbered(std::string_view prefix) const {
  std::vector<Field> found;
  for (const auto& [field, value] : fields_) {
    // Most fields differ in their first character, and starts_with() calls a function.
    if (field.size() <= prefix.size() || field.front() != prefix.front()) continue;
    if (!field.starts_with(prefix)) continue;
    const std::string_view number = field.substr(prefix.size());
    if (std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; })) {
      found.emplace_back(field, value);
    }
  }
  remove_repeated(found, &Field::first);
  return found;
}

std::string_view sub_field(std::string_view compound, std::string_view name) {
  while (!compound.empty()) {
    const std::size_t end = std::min(compound.find(','), compound.size());
    const std::string_view item = compound.substr(0, end);
    compound.remove_prefix(std::min(end + 1, compound.size()));
    if (item.size() > name.size() && item.starts_with(name) && item[name.size()] == '=') {
      return item.substr(name.size() + 1);
    }
  }
  return {};
}

}  // namespace vitalsd
