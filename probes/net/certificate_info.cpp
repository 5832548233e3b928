#include "probes/net/certificate_info.hpp"

#include "probes/net/tls.hpp"
#include "probes/net/tls_peer.hpp"

#include <cstring>
#include <ctime>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <openssl/asn1.h>
#include <openssl/x509v3.h>

namespace vitalsd::net {
namespace {

// Accepts every ASN.1 time, up to the year 9999.
double to_unix(const ASN1_TIME* time) {
  std::tm utc{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &utc) != 1) return 0;
  return static_cast<double>(timegm(&utc));
}

std::string common_name_of(const X509_NAME* name) {
  if (name == nullptr) return {};
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  const ASN1_STRING* data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
  unsigned char* raw = nullptr;
  const int size = ASN1_STRING_to_UTF8(&raw, data);
  if (size < 0) return {};
  std::string text(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(size));
  OPENSSL_free(raw);
  return text;
}

std::string address_text(const ASN1_OCTET_STRING& octets) {
  const unsigned char* data = ASN1_STRING_get0_data(&octets);
  if (ASN1_STRING_length(&octets) == 4) {
    boost::asio::ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), data, bytes.size());
    return boost::asio::ip::address_v4(bytes).to_string();
  }
  if (ASN1_STRING_length(&octets) == 16) {
    boost::asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), data, bytes.size());
    return boost::asio::ip::address_v6(bytes).to_string();
  }
  return {};
}

std::string first_alternative_name(const X509& certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && found.empty(); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL) {
      const ASN1_IA5STRING* const text = name->d.ia5;
      found.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                   static_cast<std::size_t>(ASN1_STRING_length(text)));
    } else if (name->type == GEN_IPADD) {
      found = address_text(*name->d.iPAddress);
    }
  }
  GENERAL_NAMES_free(names);
  return found;
}

// The minimum of NIST SP 800-57 part 1 (112 bits of security) and of browsers. EdDSA and unknown
// algorithms are not judged.
std::string key_weakness(const X509& certificate) {
  constexpr int kMinRsaBits = 2048;
  constexpr int kMinCurveBits = 224;
  const EVP_PKEY* const key = X509_get0_pubkey(&certificate);
  if (key == nullptr) return {};
  const int type = EVP_PKEY_get_base_id(key);
  const int bits = EVP_PKEY_get_bits(key);
  const auto text = [&](std::string_view name) {
    return std::string(name) + " key of " + std::to_string(bits) + " bits";
  };
  if (type == EVP_PKEY_DSA) return text("DSA");
  if ((type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS) && bits < kMinRsaBits) return text("RSA");
  if (type == EVP_PKEY_EC && bits < kMinCurveBits) return text("EC");
  return {};
}

std::string signature_weakness(X509& certificate) {
  if (X509_self_signed(&certificate, 0) == 1) return {};
  int digest = NID_undef;
  X509_get_signature_info(&certificate, &digest, nullptr, nullptr, nullptr);
  switch (digest) {
    case NID_md4:
      return "signed with MD4";
    case NID_md5:
      return "signed with MD5";
    case NID_sha1:
      return "signed with SHA-1";
    default:
      return {};
  }
}

}  // namespace

CertificateInfo describe(X509& certificate) {
  CertificateInfo info;
  info.common_name = common_name_of(X509_get_subject_name(&certificate));
  if (info.common_name.empty()) info.common_name = first_alternative_name(certificate);
  if (info.common_name.empty()) {
    CertificateIdentity identity = identity_of(certificate);
    info.common_name =
        identity.subject.empty() ? "serial " + identity.serial : std::move(identity.subject);
  }
  info.not_before = to_unix(X509_get0_notBefore(&certificate));
  info.not_after = to_unix(X509_get0_notAfter(&certificate));
  info.weakness = key_weakness(certificate);
  const std::string signature = signature_weakness(certificate);
  if (!info.weakness.empty() && !signature.empty()) info.weakness += ", ";
  info.weakness += signature;
  take_openssl_errors();  // of extensions and keys that OpenSSL cannot read
  return info;
}

std::vector<CertificateInfo> describe(const STACK_OF(X509) * chain) {
  std::vector<CertificateInfo> found;
  for (int i = 0; i < sk_X509_num(chain); ++i) found.push_back(describe(*sk_X509_value(chain, i)));
  return found;
}

std::optional<double> earliest_expiry(const STACK_OF(X509) * chain) {
  std::optional<double> first;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    const double expiry = to_unix(X509_get0_notAfter(sk_X509_value(chain, i)));
    if (!first || expiry < *first) first = expiry;
  }
  return first;
}

}  // namespace vitalsd::net
