// The address of the Kubernetes API and the credentials: from the service account of the pod in
// which vitalsd runs, or from a kubeconfig. They are read again for each request, so that rotated
// tokens, certificates and CAs are used. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/tls.hpp"

#include <expected>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net::kubernetes {

/// The source of address and credentials, as configured.
struct AccessOptions {
  std::string kubeconfig;  ///< file; empty: the service account of the pod
  std::string context;     ///< of the kubeconfig; empty: its current-context
  bool operator==(const AccessOptions&) const = default;
};

/// The values that a connection needs.
struct Access {
  config::Url server;
  TlsOptions tls;
  config::Secret token;
  std::string namespace_name;  ///< of the pod or of the context; may be empty
};

/// The directory into which Kubernetes mounts a pod's service account
/// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
/// $VITALSD_SERVICE_ACCOUNT overrides it, for tests and for pods that mount it elsewhere.
std::string service_account_directory();

/// Throws ProbeError: config, with what is wrong, where, and how to correct it; and the exceptions
/// of ConfiguredFiles.
asio::awaitable<Access> read_access(ConfiguredFiles& files, AccessOptions options);

/// Returns the access that the content of a kubeconfig describes, or an error message. No I/O.
std::expected<Access, std::string> read_kubeconfig(const AccessOptions& options,
                                                   std::string_view content);

}  // namespace vitalsd::net::kubernetes
