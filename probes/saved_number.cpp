#include "probes/saved_number.hpp"

#include <array>
#include <charconv>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace vitalsd {

std::string saved_number(double number) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return {buffer.data(), result.ptr};
}

double read_saved_number(const boost::json::value& saved) {
  const boost::json::string* const text = saved.if_string();
  if (text == nullptr) return saved.to_number<double>();
  const char* const last = text->data() + text->size();
  double number = 0;
  const auto [end, error] = std::from_chars(text->data(), last, number);
  if (error != std::errc() || end != last) {
    throw std::invalid_argument("not a number: " + std::string(text->data(), text->size()));
  }
  return number;
}

}  // namespace vitalsd
