// Parsing scalars of the configuration in tests.
#pragma once

#include "config/scalar.hpp"

#include <string>
#include <string_view>

namespace vitalsd::config {

/// The error of an invalid text; "accepted" if it is valid.
template <class T>
std::string error_of(std::string_view text) {
  const auto parsed = Scalar<T>::parse(text);
  return parsed ? "accepted" : parsed.error();
}

/// The value in the form that show() returns, or the error.
template <class T>
std::string shown(std::string_view text) {
  const auto parsed = Scalar<T>::parse(text);
  return parsed ? std::string(Scalar<T>::show(*parsed)) : parsed.error();
}

}  // namespace vitalsd::config
