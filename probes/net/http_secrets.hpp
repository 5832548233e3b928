// The secrets of an HTTP request, which a server or a proxy may quote in its error.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/http_client.hpp"

#include <string>

namespace vitalsd::net {

/// The credentials of basic authentication as a header contains them: Base64 of "USER:PASSWORD".
std::string basic_credentials(const std::string& user, const std::string& password);

/// Conceals the credentials of `request`, also in the form of its headers, and the values of all
/// headers that may contain a secret.
void conceal_secrets(const HttpRequest& request, SampleSet& out);

}  // namespace vitalsd::net
