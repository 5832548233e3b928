// Files in which a certificate may be, or may be expected.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "unit/support/certificate.hpp"
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>

namespace vitalsd::test {

/// Converts PEM to DER: the content of the first block.
inline std::string to_binary(const std::string& pem) {
  using namespace detail;
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* bytes = nullptr;
  long size = 0;
  require(PEM_read_bio(reading(pem).get(), &name, &header, &bytes, &size) == 1);
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(bytes);
  return der;
}

/// Encodes bytes as Base64 on one line.
inline std::string to_base64(const std::string& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  text.resize(static_cast<std::size_t>(EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(text.data()),
      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()))));
  return text;
}

/// PKCS#7 in PEM with these certificates, as files *.p7b have it.
inline std::string make_pkcs7(const std::vector<Certificate>& certificates) {
  using namespace detail;
  using Pkcs7 = std::unique_ptr<PKCS7, Freeing<PKCS7_free>>;
  const Pkcs7 message(PKCS7_new());
  require(PKCS7_set_type(message.get(), NID_pkcs7_signed) == 1 &&
          PKCS7_content_new(message.get(), NID_pkcs7_data) == 1);
  for (const Certificate& each : certificates) {
    const X509Ptr certificate(
        PEM_read_bio_X509(reading(each.certificate).get(), nullptr, nullptr, nullptr));
    require(PKCS7_add_certificate(message.get(), certificate.get()) == 1);
  }
  return to_pem([&](BIO* bio) { return PEM_write_bio_PKCS7(bio, message.get()); });
}

/// PKCS#12 in DER with the certificate and the key.
inline std::string make_pkcs12(const Certificate& certificate) {
  using namespace detail;
  using Pkcs12 = std::unique_ptr<PKCS12, Freeing<PKCS12_free>>;
  const X509Ptr x509(
      PEM_read_bio_X509(reading(certificate.certificate).get(), nullptr, nullptr, nullptr));
  const Key key(PEM_read_bio_PrivateKey(reading(certificate.key).get(), nullptr, nullptr, nullptr));
  const Pkcs12 store(
      PKCS12_create("password", "name", key.get(), x509.get(), nullptr, 0, 0, 1, 1, 0));
  return to_pem([&](BIO* bio) { return i2d_PKCS12_bio(bio, store.get()); });
}

/// A certificate signing request in PEM.
inline std::string make_request() {
  using namespace detail;
  using Request = std::unique_ptr<X509_REQ, Freeing<X509_REQ_free>>;
  const Key key(EVP_EC_gen("P-256"));
  const Request request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key.get());
  require(X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0);
  return to_pem([&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); });
}

}  // namespace vitalsd::test
