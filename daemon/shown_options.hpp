// The configured options of a probe as text for its page. Only values that cannot be secrets are
// shown.
#pragma once

#include "config/node.hpp"
#include "config/yaml.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace vitalsd {

/// The type of each option of a kind by its path: {"s3.access_key", "secret"}.
using OptionTypes = std::map<std::string, std::string, std::less<>>;

OptionTypes option_types(const std::vector<config::Option>& options);

/// Path and value of each option that is set: {"expect.status[0]", "200"}. A secret is shown as its
/// source, a URL without user, password and parameters. Values of mappings to text, such as
/// headers, and the body of a request may contain secrets and are not shown. Name, kind, labels,
/// interval and timeout are not options.
std::vector<std::pair<std::string, std::string>> shown_options(const config::Value& probe,
                                                               const OptionTypes& types);

}  // namespace vitalsd
