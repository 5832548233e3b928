#include "probes/net/certificate_file.hpp"

#include "probes/error.hpp"
#include "probes/net/pem_blocks.hpp"
#include "probes/net/tls.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <memory>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

namespace vitalsd::net {
namespace {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Pointer = std::unique_ptr<T, Freer<Free>>;

using BioPtr = Pointer<BIO, BIO_free>;
using KeyPtr = Pointer<EVP_PKEY, EVP_PKEY_free>;
using X509Ptr = Pointer<X509, X509_free>;
using Pkcs7Ptr = Pointer<PKCS7, PKCS7_free>;

constexpr std::string_view kUnknown = "contains no certificate";

// Parses DER from the start of the bytes. `size` becomes the number of bytes that were parsed.
template <auto Parse>
auto parse_der(std::string_view der, std::size_t& size) {
  const auto* const start = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* at = start;
  auto* const parsed = Parse(nullptr, &at, static_cast<long>(der.size()));
  size = static_cast<std::size_t>(at - start);
  take_openssl_errors();  // otherwise a later error of this thread would include these errors
  return parsed;
}

template <auto Parse, auto Free>
bool is_der(std::string_view der) {
  std::size_t size = 0;
  auto* const parsed = parse_der<Parse>(der, size);
  Free(parsed);
  return parsed != nullptr;
}

std::vector<CertificateInfo> certificates_of(const PKCS7& message) {
  if (OBJ_obj2nid(message.type) != NID_pkcs7_signed || message.d.sign == nullptr) return {};
  return describe(message.d.sign->cert);
}

bool is_pem_certificate(std::string_view name) {
  return name == PEM_STRING_X509 || name == PEM_STRING_X509_OLD || name == PEM_STRING_X509_TRUSTED;
}

bool is_pem_pkcs7(std::string_view name) {
  return name == PEM_STRING_PKCS7 || name == PEM_STRING_PKCS7_SIGNED || name == PEM_STRING_CMS;
}

void free_bytes(unsigned char* bytes) { OPENSSL_free(bytes); }

bool has_certificates(std::string_view name) {
  return is_pem_certificate(name) || is_pem_pkcs7(name);
}

// Adds the certificates of a block. Returns why it is damaged, or an empty text.
std::string add_block(const PemBlock& block, std::vector<CertificateInfo>& found) {
  if (!block.problem.empty()) return block.problem;
  const Pointer<BIO, BIO_free_all> bio(
      BIO_new_mem_buf(block.text.data(), static_cast<int>(block.text.size())));
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* der = nullptr;
  long size = 0;
  const bool is_pem = PEM_read_bio(bio.get(), &name, &header, &der, &size) == 1;
  OPENSSL_free(name);
  OPENSSL_free(header);
  const Pointer<unsigned char, free_bytes> owner(der);
  const std::string error = take_openssl_errors();
  if (!is_pem) return error.empty() ? "empty" : "not PEM: " + error;
  const unsigned char* at = der;
  if (is_pem_certificate(block.name)) {
    const bool is_trusted = block.name == PEM_STRING_X509_TRUSTED;
    const X509Ptr certificate(is_trusted ? d2i_X509_AUX(nullptr, &at, size)
                                         : d2i_X509(nullptr, &at, size));
    if (!certificate) return "not a certificate: " + take_openssl_errors();
    found.push_back(describe(*certificate));
  } else {
    const Pkcs7Ptr message(d2i_PKCS7(nullptr, &at, size));
    if (!message) return "not PKCS#7: " + take_openssl_errors();
    std::ranges::move(certificates_of(*message), std::back_inserter(found));
  }
  return {};
}

bool contains_pem(std::string_view text, std::string_view name) {
  return text.contains("-----BEGIN " + std::string(name) + "-----");
}

// UTF-16 has a byte order mark, or a zero byte in each ASCII character.
bool is_utf16(std::string_view text) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) return true;
  constexpr std::string_view kLittleEndian("-\0-\0-\0", 6);
  constexpr std::string_view kBigEndian("\0-\0-\0-", 6);
  return text.starts_with(kLittleEndian) || text.starts_with(kBigEndian);
}

bool is_private_key(std::string_view content) {
  return content.contains("PRIVATE KEY-----") ||
         is_der<&d2i_AutoPrivateKey, &EVP_PKEY_free>(content) ||
         is_der<&d2i_X509_SIG, &X509_SIG_free>(content);  // encrypted
}

// Returns an empty list if the bytes are neither a certificate nor PKCS#7 with certificates. `size`
// becomes the number of bytes that were read.
std::vector<CertificateInfo> read_der(std::string_view der, std::size_t& size) {
  if (const X509Ptr certificate(parse_der<&d2i_X509>(der, size)); certificate)
    return {describe(*certificate)};
  const Pkcs7Ptr message(parse_der<&d2i_PKCS7>(der, size));
  return message ? certificates_of(*message) : std::vector<CertificateInfo>();
}

// Returns an empty text if `text` is not Base64.
std::string decode_base64(std::string_view text) {
  const Pointer<EVP_ENCODE_CTX, EVP_ENCODE_CTX_free> context(EVP_ENCODE_CTX_new());
  EVP_DecodeInit(context.get());
  std::string decoded(text.size() + 3, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(decoded.data());
  int size = 0;
  int rest = 0;
  const bool is_base64 = EVP_DecodeUpdate(context.get(), out, &size,
                                          reinterpret_cast<const unsigned char*>(text.data()),
                                          static_cast<int>(text.size())) >= 0 &&
                         EVP_DecodeFinal(context.get(), out + size, &rest) == 1;
  decoded.resize(is_base64 ? static_cast<std::size_t>(size + rest) : 0);
  take_openssl_errors();
  return decoded;
}

BioPtr reading(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Returns null if there is no private key that can be used without a password.
KeyPtr read_private_key(std::string_view pem) {
  // Without a callback, OpenSSL asks for the password on the terminal.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const BioPtr bio = reading(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  take_openssl_errors();
  return key;
}

std::string describe_base64(std::string_view text) {
  const std::string decoded = decode_base64(text);
  if (decoded.empty()) return {};
  if (std::ranges::any_of(split_pem(decoded), &has_certificates, &PemBlock::name)) {
    return "is Base64 of a PEM file: decode it, for example with base64 -d";
  }
  std::size_t size = 0;
  if (!read_der(decoded, size).empty()) {
    return "is Base64 without the lines -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----: "
           "add them";
  }
  const std::string other = describe_other(decoded);
  return other == kUnknown ? std::string() : "is Base64 of a file that " + other;
}

}  // namespace

CertificateList read_pem_certificates(std::string_view pem) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (pem.starts_with(kByteOrderMark)) pem.remove_prefix(kByteOrderMark.size());
  CertificateList list;
  std::size_t damaged = 0;
  for (const PemBlock& block : split_pem(pem)) {
    if (!has_certificates(block.name)) continue;
    const std::string problem = add_block(block, list.certificates);
    if (problem.empty() || ++damaged > 1) continue;
    list.fault = "has a damaged block in line " + std::to_string(block.line) + ": " + problem;
  }
  if (damaged > 1) list.fault += " (and " + std::to_string(damaged - 1) + " more)";
  return list;
}

std::string describe_other(std::string_view content) {
  constexpr std::string_view kSpace = " \t\r\n";
  if (content.find_first_not_of(kSpace) == std::string_view::npos) return "is empty";
  const std::string_view text = content.substr(content.find_first_not_of(kSpace));
  if (is_utf16(content)) return "is UTF-16 text: convert it to ASCII or UTF-8";
  if (is_private_key(content)) {
    return "contains a private key and no certificate: use the file of the certificate";
  }
  if (content.contains("CERTIFICATE REQUEST-----") ||
      is_der<&d2i_X509_REQ, &X509_REQ_free>(content)) {
    return "contains a certificate signing request and no certificate: use the certificate that "
           "the CA issued for it";
  }
  if (is_der<&d2i_PKCS12, &PKCS12_free>(content)) {
    return "is PKCS#12, which may need a password: write its certificates to a PEM file with "
           "openssl pkcs12 -nokeys";
  }
  if (contains_pem(content, PEM_STRING_X509_CRL) ||
      is_der<&d2i_X509_CRL, &X509_CRL_free>(content)) {
    return "contains a certificate revocation list and no certificate: use the file of the "
           "certificate";
  }
  if (contains_pem(content, PEM_STRING_PUBLIC) || is_der<&d2i_PUBKEY, &EVP_PKEY_free>(content)) {
    return "contains a public key and no certificate: use the file of the certificate";
  }
  std::size_t size = 0;
  if (!read_der(content, size).empty()) return "is in DER: convert it to PEM";
  if (contains_pem(content, PEM_STRING_PKCS7) || is_der<&d2i_PKCS7, &PKCS7_free>(content)) {
    return "is PKCS#7 without a certificate";
  }
  constexpr std::array<std::string_view, 2> kKeystores = {"\xfe\xed\xfe\xed", "\xce\xce\xce\xce"};
  if (std::ranges::any_of(kKeystores, [&](auto magic) { return content.starts_with(magic); })) {
    return "is a Java keystore: write its certificates to a PEM file with keytool -exportcert -rfc";
  }
  const std::string encoded = describe_base64(text);
  return encoded.empty() ? std::string(kUnknown) : encoded;
}

std::string private_key_fault(std::string_view pem) {
  if (read_private_key(pem)) return "";
  if (pem.contains("ENCRYPTED")) {
    return "is encrypted with a password: decrypt it with openssl pkey";
  }
  if (!read_pem_certificates(pem).certificates.empty()) {
    return "contains a certificate and no private key: use the file of the key";
  }
  return pem.contains("PRIVATE KEY-----")
             ? "contains a damaged private key: replace it"
             : "contains no private key in PEM: use the file of the key";
}

bool is_pair(std::string_view certificate_pem, std::string_view key_pem) {
  const KeyPtr key = read_private_key(key_pem);
  const BioPtr bio = reading(certificate_pem);
  const X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  const bool match =
      key && certificate && X509_check_private_key(certificate.get(), key.get()) == 1;
  take_openssl_errors();
  return match;
}

CertificateList read_certificates(std::string_view file) {
  CertificateList found = read_pem_certificates(file);
  if (!found.certificates.empty() || !found.fault.empty()) return found;
  std::size_t size = 0;
  found.certificates = read_der(file, size);
  if (found.certificates.empty()) throw ProbeError(Reason::mismatch, describe_other(file));
  if (size != file.size()) {
    throw ProbeError(Reason::protocol, "has unexpected bytes after the DER certificate");
  }
  return found;
}

}  // namespace vitalsd::net
