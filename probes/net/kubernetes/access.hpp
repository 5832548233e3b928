// How to reach the Kubernetes API and as whom: the service account of the pod that we run in, or a
// kubeconfig. Read anew for each connection, so that rotated tokens, certificates and CAs are taken
// up; local small files only.
#pragma once

#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/tls.hpp"

#include <expected>
#include <string>

namespace vitalsd::net::kubernetes {

/// Where the configuration says that the API is.
struct AccessOptions {
  std::string kubeconfig;  ///< file; empty: in the cluster, as the pod's service account
  std::string context;     ///< of the kubeconfig; empty: its current one
  bool operator==(const AccessOptions&) const = default;
};

/// Enough for a connection.
struct Access {
  config::Url server;
  TlsOptions tls;
  config::Secret token;
  std::string namespace_name;  ///< our own, or the context's; may be empty
};

/// Where Kubernetes puts a pod's service account, and what it tells of the API server
/// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
/// $VITALSD_SERVICE_ACCOUNT names another directory, for tests and for sidecars that move it.
std::string service_account_directory();

/// What is needed, or why it cannot be had: what, where, what to do.
std::expected<Access, std::string> read_access(const AccessOptions& options);

}  // namespace vitalsd::net::kubernetes
