// Generates certificates at run time.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <openssl/bio.h>
#include <openssl/dsa.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace vitalsd::test {

/// A certificate and its private key, both in PEM.
struct Certificate {
  std::string certificate;
  std::string key;
};

namespace detail {

template <auto Free>
struct Freeing {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freeing<BIO_free_all>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freeing<X509_EXTENSION_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freeing<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freeing<X509_free>>;

inline void require(bool holds) {
  if (!holds) throw std::runtime_error("an OpenSSL call failed");
}

template <class Write>
std::string to_pem(Write&& write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  require(write(bio.get()) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

inline Bio reading(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

}  // namespace detail

constexpr long kDay = 86'400;

/// What can be wrong with a certificate. Times are in seconds from now.
struct Profile {
  EVP_PKEY* (*make_key)() = [] { return EVP_EC_gen("P-256"); };
  const EVP_MD* digest = EVP_sha256();
  long begins = -kDay;
  long expires = kDay;
  bool is_authority = false;   ///< also without: a self-signed certificate
  std::string organization{};  ///< of the subject
  std::string alternatives{};  ///< "DNS:shop.test,IP:10.0.0.1"
};

/// Returns a certificate that expires in one day. The common name may be empty. It is signed by
/// `issuer`. Without an issuer, it is self-signed and can be a CA.
inline Certificate make_certificate(const std::string& common_name,
                                    const std::optional<Certificate>& issuer = std::nullopt,
                                    const Profile& profile = {}) {
  using namespace detail;
  const Key key(profile.make_key());
  const X509Ptr certificate(X509_new());
  require(key && certificate);
  constexpr long kX509Version3 = 2;
  X509_set_version(certificate.get(), kX509Version3);
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), profile.begins);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), profile.expires);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  for (const auto& [field, text] : {std::pair("CN", common_name), {"O", profile.organization}}) {
    if (text.empty()) continue;
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
  }
  if (!profile.alternatives.empty()) {
    const Extension names(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, profile.alternatives.c_str()));
    require(X509_add_ext(certificate.get(), names.get(), -1) == 1);
  }
  const auto add_authority = [&] {
    const Extension is_ca(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE"));
    X509_add_ext(certificate.get(), is_ca.get(), -1);
  };
  if (issuer) {
    const X509Ptr parent(
        PEM_read_bio_X509(reading(issuer->certificate).get(), nullptr, nullptr, nullptr));
    const Key parent_key(
        PEM_read_bio_PrivateKey(reading(issuer->key).get(), nullptr, nullptr, nullptr));
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(parent.get()));
    if (profile.is_authority) add_authority();
    require(X509_sign(certificate.get(), parent_key.get(), profile.digest) > 0);
  } else {
    X509_set_issuer_name(certificate.get(), name);
    add_authority();
    require(X509_sign(certificate.get(), key.get(), profile.digest) > 0);
  }
  return {to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }),
          to_pem([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

/// A key of 1024 bits, for Profile.
inline EVP_PKEY* make_dsa_key() {
  using Context = std::unique_ptr<EVP_PKEY_CTX, detail::Freeing<EVP_PKEY_CTX_free>>;
  const Context parameters_context(EVP_PKEY_CTX_new_from_name(nullptr, "DSA", nullptr));
  EVP_PKEY* parameters = nullptr;
  EVP_PKEY_paramgen_init(parameters_context.get());
  constexpr int kBits = 1024;
  EVP_PKEY_CTX_set_dsa_paramgen_bits(parameters_context.get(), kBits);
  EVP_PKEY_paramgen(parameters_context.get(), &parameters);
  const detail::Key owner(parameters);
  const Context key_context(EVP_PKEY_CTX_new_from_pkey(nullptr, parameters, nullptr));
  EVP_PKEY* key = nullptr;
  EVP_PKEY_keygen_init(key_context.get());
  EVP_PKEY_keygen(key_context.get(), &key);
  return key;
}

/// Converts a certificate from PEM to DER.
inline std::string to_der(const std::string& pem) {
  using namespace detail;
  const X509Ptr certificate(PEM_read_bio_X509(reading(pem).get(), nullptr, nullptr, nullptr));
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate.get(), &bytes);
  require(size > 0);
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

}  // namespace vitalsd::test
