#include "probes/net/tls_peer.hpp"

#include <array>
#include <cstddef>
#include <span>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace vitalsd::net {
namespace {

std::string_view version_name(int version) {
  switch (version) {
    case TLS1_VERSION:
      return "TLS 1.0";
    case TLS1_1_VERSION:
      return "TLS 1.1";
    case TLS1_2_VERSION:
      return "TLS 1.2";
    case TLS1_3_VERSION:
      return "TLS 1.3";
    default:
      return "unknown";
  }
}

std::string hex(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xfU];
  }
  return text;
}

std::string name_text(const X509_NAME* name) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  // UTF-8 stays as it is.
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string dns_names(const X509& certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string text;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS) continue;
    if (!text.empty()) text += ',';
    text.append(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(names);
  return text;
}

}  // namespace

TlsPeer read_tls_peer(const SSL* tls, X509* leaf) {
  TlsPeer peer;
  peer.version = version_name(SSL_version(tls));
  // Before the end of a handshake of TLS 1.2, its cipher is pending.
  const SSL_CIPHER* cipher = SSL_get_current_cipher(tls);
  if (cipher == nullptr) cipher = SSL_get_pending_cipher(tls);
  const char* const name = cipher == nullptr ? nullptr : SSL_CIPHER_standard_name(cipher);
  peer.cipher = name == nullptr ? "unknown" : name;
  if (leaf != nullptr && X509_up_ref(leaf) == 1) peer.leaf = {leaf, &X509_free};
  return peer;
}

CertificateIdentity identity_of(const X509& certificate) {
  CertificateIdentity identity;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  X509_digest(&certificate, EVP_sha256(), digest.data(), &size);
  identity.fingerprint = hex({digest.data(), size});
  identity.issuer = name_text(X509_get_issuer_name(&certificate));
  identity.subject = name_text(X509_get_subject_name(&certificate));
  identity.alternatives = dns_names(certificate);
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(&certificate);
  identity.serial =
      hex({ASN1_STRING_get0_data(serial), static_cast<std::size_t>(ASN1_STRING_length(serial))});
  ERR_clear_error();  // of extensions that OpenSSL cannot read
  return identity;
}

}  // namespace vitalsd::net
