#include "probes/net/tls.hpp"

#include "probes/error.hpp"

#include <cstdint>
#include <cstdlib>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/stat.h>

namespace vitalsd::net {
namespace {

// Throws ProbeError(config) if the text contains no certificate.
void add_certificates(X509_STORE& store, const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  int count = 0;
  while (true) {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(
        PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), X509_free);
    if (!certificate) break;
    X509_STORE_add_cert(&store, certificate.get());
    ++count;
  }
  // The last read fails also if there are simply no more certificates.
  const std::string error = take_openssl_errors();
  if (count == 0) throw ProbeError(Reason::config, "no usable CA certificate: " + error);
}

using SecurityCallback = int (*)(const SSL*, const SSL_CTX*, int op, int bits, int nid, void* other,
                                 void* before);

int reject_large_primes(const SSL* ssl, const SSL_CTX* context, int op, int bits, int nid,
                        void* other, void* before) {
  constexpr int kMaxBits = 4096;
  const int type = op & SSL_SECOP_OTHER_TYPE;
  if (op == SSL_SECOP_TMP_DH && EVP_PKEY_get_bits(static_cast<EVP_PKEY*>(other)) > kMaxBits) {
    return 0;
  }
  if (type == SSL_SECOP_OTHER_CURVE && nid > NID_ffdhe4096 && nid <= NID_ffdhe8192) return 0;
  return reinterpret_cast<SecurityCallback>(before)(ssl, context, op, bits, nid, other, nullptr);
}

int handshake_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

void refuse_large_primes(SSL_CTX* context) {
  const SecurityCallback before = SSL_CTX_get_security_callback(context);
  SSL_CTX_set0_security_ex_data(context, reinterpret_cast<void*>(before));
  SSL_CTX_set_security_callback(context, &reject_large_primes);
}

bool limit_handshake(SSL* ssl, int written, int type) {
  constexpr std::uintptr_t kMaxMessages = 256;  // a normal handshake has about ten
  if (written != 0 || type != SSL3_RT_HANDSHAKE) return false;
  const auto messages =
      reinterpret_cast<std::uintptr_t>(SSL_get_ex_data(ssl, handshake_index())) + 1;
  SSL_set_ex_data(ssl, handshake_index(), reinterpret_cast<void*>(messages));
  if (messages <= kMaxMessages) return false;
  SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
  return true;
}

TlsOptions TlsOptions::read(config::Node& options) {
  config::Node& node = options.section("tls", "TLS settings");
  TlsOptions tls;
  tls.ca =
      node.get<std::string>("ca", "", "PEM file of trusted CAs, instead of the system's bundle");
  tls.verify = node.get<bool>("verify", true, "verify the server's certificate");
  tls.server_name = node.get<std::string>("server_name", "", "name for SNI and verification");
  tls.certificate =
      node.get<std::string>("certificate", "", "PEM file: client certificate and chain");
  tls.key = node.get<std::string>("key", "", "PEM file: the client certificate's private key");
  if (tls.certificate.empty() != tls.key.empty()) {
    node.error("certificate", "certificate and key must be set together");
  }
  return tls;
}

std::string take_openssl_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += ", ";
    text += reason == nullptr ? "unknown error" : reason;
  }
  return text;
}

std::string system_ca_bundle() {
  const char* const chosen =
      std::getenv("SSL_CERT_FILE");  // NOLINT(concurrency-mt-unsafe): never set
  for (const char* file :
       {chosen, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    struct stat status{};
    if (file != nullptr && stat(file, &status) == 0 && S_ISREG(status.st_mode)) return file;
  }
  return {};
}

void refuse_irregular(const std::string& file) {
  struct stat status{};
  if (stat(file.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return;
  throw ProbeError(Reason::config, "cannot use " + file + ": it is not a regular file");
}

bool is_pem(std::string_view text) { return text.contains("-----BEGIN "); }

TlsContexts::FileState TlsContexts::state_of(const std::string& file) {
  struct stat status{};
  if (file.empty() || stat(file.c_str(), &status) != 0) return {};
  return {status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec, status.st_ino};
}

X509_STORE* TlsContexts::store(const std::string& ca) {
  const std::string file = ca.empty() ? system_ca_bundle() : ca;
  Store& cached = stores_[ca];
  const FileState state = state_of(file);
  if (cached.store && cached.file == state) return cached.store.get();
  if (!is_pem(ca)) refuse_irregular(file);
  std::shared_ptr<X509_STORE> store(X509_STORE_new(), X509_STORE_free);
  // If there is no bundle, the store stays empty. Then every verification fails with a clear error.
  if (is_pem(ca)) {
    add_certificates(*store, ca);
  } else if (!file.empty() && X509_STORE_load_file(store.get(), file.c_str()) != 1) {
    const std::string error = take_openssl_errors();
    throw ProbeError(Reason::config, "cannot use the CA file " + file + ": " + error);
  }
  cached = {state, std::move(store)};
  return cached.store.get();
}

std::shared_ptr<asio::ssl::context> TlsContexts::client(const TlsOptions& options) {
  const std::string name = options.ca + '\n' + options.certificate + '\n' + options.key + '\n' +
                           (options.verify ? "verify" : "");
  std::vector<FileState> files = {state_of(options.ca.empty() ? system_ca_bundle() : options.ca),
                                  state_of(options.certificate), state_of(options.key)};
  Context& cached = contexts_[name];
  if (cached.context && cached.files == files) return cached.context;
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  refuse_large_primes(context->native_handle());
  context->set_verify_mode(options.verify ? asio::ssl::verify_peer : asio::ssl::verify_none);
  if (options.verify) SSL_CTX_set1_cert_store(context->native_handle(), store(options.ca));
  if (!options.certificate.empty()) {
    refuse_irregular(options.certificate);
    refuse_irregular(options.key);
    boost::system::error_code error;
    context->use_certificate_chain_file(options.certificate, error);
    if (!error) context->use_private_key_file(options.key, asio::ssl::context::pem, error);
    if (error) {
      throw ProbeError(Reason::config, "cannot use the client certificate " + options.certificate +
                                           " with " + options.key + ": " + error.message());
    }
  }
  cached = {std::move(files), context};
  return context;
}

}  // namespace vitalsd::net
