// The secrets of an HTTP request, which a server or a proxy may quote in its error.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/http_client.hpp"

namespace vitalsd::net {

/// Conceals the credentials of `request`, also in the form of its headers, and the values of all
/// headers that may contain a secret.
void conceal_secrets(const HttpRequest& request, SampleSet& out);

}  // namespace vitalsd::net
