#include "probes/certificate/tls_secret.hpp"

#include "probes/error.hpp"
#include "probes/kubernetes/objects/metadata.hpp"

namespace vitalsd {

std::optional<TlsSecret> read_tls_secret(std::string_view message) {
  TlsSecret secret;
  std::string_view type;
  std::optional<std::string_view> pem;
  net::kubernetes::for_each_field(message, [&](net::kubernetes::Field& field) {
    if (field.tag() == 1) {
      kubernetes::Metadata meta = kubernetes::read_metadata(field.bytes());
      secret.namespace_name = std::move(meta.namespace_name);
      secret.name = std::move(meta.name);
    }
    if (field.tag() == 2) {
      net::kubernetes::read_map_entry(field.bytes(),
                                      [&](std::string_view key, std::string_view value) {
                                        if (key == "tls.crt") pem = value;
                                      });
    }
    if (field.tag() == 3) type = field.bytes();
  });
  if (type != "kubernetes.io/tls") return std::nullopt;
  if (!pem) {
    secret.fault = "has no entry tls.crt";
    return secret;
  }
  try {
    secret.certificates = net::read_pem_certificates(*pem);
    if (secret.certificates.empty()) secret.fault = "tls.crt contains no certificate";
  } catch (const ProbeError& error) {
    secret.fault = std::string("tls.crt is ") + error.what();
  }
  return secret;
}

}  // namespace vitalsd
