// Finds references to environment variables, which vitalsd does not expand. A shell, envsubst or a
// template would have replaced them. Pure functions.
#pragma once

#include <string_view>

namespace vitalsd::config {

/// The first $NAME or ${NAME} in `text`, empty if there is none. NAME has capital letters: other
/// names are valid in a URL, such as $filter.
std::string_view find_variable(std::string_view text);

/// `url` without user and password.
std::string_view without_userinfo(std::string_view url);

}  // namespace vitalsd::config
