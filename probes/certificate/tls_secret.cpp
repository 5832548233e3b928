#include "probes/certificate/tls_secret.hpp"

#include "probes/kubernetes/objects/metadata.hpp"
#include "probes/net/certificate_file.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace vitalsd {
namespace {

bool may_have_certificates(std::string_view key) {
  constexpr std::array<std::string_view, 3> kSuffixes = {".crt", ".cer", ".pem"};
  return std::ranges::any_of(kSuffixes, [&](auto suffix) { return key.ends_with(suffix); });
}

bool has_certificate_block(std::string_view pem) { return pem.contains("CERTIFICATE-----"); }

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

void add_entry(std::string_view key, std::string_view pem, TlsSecret& secret) {
  net::CertificateList list = net::read_pem_certificates(pem);
  if (list.certificates.empty() && list.fault.empty()) list.fault = net::describe_other(pem);
  if (!list.certificates.empty()) {
    secret.entries.push_back({std::string(key), std::move(list.certificates)});
  }
  if (!list.fault.empty() && secret.fault.empty()) {
    secret.fault = std::string(key) + ' ' + list.fault;
  }
}

}  // namespace

std::optional<TlsSecret> read_tls_secret(std::string_view message) {
  TlsSecret secret;
  std::string_view type;
  std::vector<std::pair<std::string_view, std::string_view>> entries;
  net::kubernetes::for_each_field(message, [&](net::kubernetes::Field& field) {
    if (field.tag() == 1) {
      kubernetes::Metadata meta = kubernetes::read_metadata(field.bytes());
      secret.namespace_name = std::move(meta.namespace_name);
      secret.name = std::move(meta.name);
    }
    if (field.tag() == 2) {
      net::kubernetes::read_map_entry(field.bytes(),
                                      [&](std::string_view key, std::string_view value) {
                                        if (may_have_certificates(key))
                                          entries.emplace_back(key, value);
                                      });
    }
    if (field.tag() == 3) type = field.bytes();
  });
  const bool is_tls = type == "kubernetes.io/tls";
  if (!is_tls && type != "Opaque") return std::nullopt;
  bool has_own = false;  // the entry that a server uses
  for (const auto& [key, pem] : entries) {
    const bool is_own = is_tls && key == "tls.crt";
    has_own = has_own || is_own;
    if (is_tls && !is_own && key != "ca.crt") continue;
    if (has_certificate_block(pem) || (is_own && !is_blank(pem))) add_entry(key, pem, secret);
  }
  if (!secret.entries.empty() || !secret.fault.empty()) return secret;
  if (!is_tls) return std::nullopt;
  secret.fault = has_own ? "tls.crt is empty" : "has no entry tls.crt";
  return secret;
}

}  // namespace vitalsd
