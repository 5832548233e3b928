#include "probes/net/tls.hpp"

#include "config/path.hpp"
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

// Adds the certificates and revocation lists. Returns false if there are none, or one is malformed.
bool add_certificates(X509_STORE& store, const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  const auto free_all = [](STACK_OF(X509_INFO) * list) {
    sk_X509_INFO_pop_free(list, X509_INFO_free);
  };
  const std::unique_ptr<STACK_OF(X509_INFO), decltype(free_all)> entries(
      PEM_X509_INFO_read_bio(in.get(), nullptr, nullptr, nullptr), free_all);
  int count = 0;
  for (int i = 0; entries && i < sk_X509_INFO_num(entries.get()); ++i) {
    const X509_INFO* const entry = sk_X509_INFO_value(entries.get(), i);
    if (entry->x509 != nullptr) count += X509_STORE_add_cert(&store, entry->x509);
    if (entry->crl != nullptr) count += X509_STORE_add_crl(&store, entry->crl);
  }
  return count > 0;
}

// Whether two contents are equal. An unchanged file is the same object, but a PEM text from a
// kubeconfig is a new object at each read, so its text is compared.
bool is_same(const FileText& a, const FileText& b) { return a == b || (a && b && *a == *b); }

bool are_same(const TlsTexts& a, const TlsTexts& b) {
  return is_same(a.ca, b.ca) && is_same(a.certificate, b.certificate) && is_same(a.key, b.key);
}

// Returns why the two cannot be used together; empty if they can.
std::string use_pair(asio::ssl::context& context, const std::string& certificate,
                     const std::string& key) {
  boost::system::error_code error;
  context.use_certificate_chain(asio::buffer(certificate), error);
  if (error) return error.message();
  // OpenSSL has a place for each type of key and accepts a key that is of another type than the
  // certificate: it would then send no certificate.
  X509* const leaf = SSL_CTX_get0_certificate(context.native_handle());
  context.use_private_key(asio::buffer(key), asio::ssl::context::pem, error);
  if (error) return error.message();
  if (X509_check_private_key(leaf, SSL_CTX_get0_privatekey(context.native_handle())) == 1) {
    return "";
  }
  take_openssl_errors();
  return "key type mismatch";
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
  tls.ca = node.get<config::CertificateFile>(
                   "ca", {}, "PEM file of trusted CAs, instead of the system's bundle")
               .text;
  tls.verify = node.get<bool>("verify", true, "verify the server's certificate");
  tls.server_name = node.get<std::string>("server_name", "", "name for SNI and verification");
  tls.certificate =
      node.get<config::CertificateFile>("certificate", {}, "PEM file: client certificate and chain")
          .text;
  tls.key =
      node.get<config::KeyFile>("key", {}, "PEM file: the client certificate's private key").text;
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

bool is_pem(std::string_view text) { return text.contains("-----BEGIN "); }

asio::awaitable<FileText> TlsContexts::text_of(std::string file) {
  if (file.empty()) co_return nullptr;
  if (is_pem(file)) co_return std::make_shared<const std::string>(std::move(file));
  co_return co_await files_.read(std::move(file));
}

asio::awaitable<TlsTexts> TlsContexts::texts(TlsOptions options) {
  TlsTexts texts;
  if (options.verify && options.ca.empty()) {
    texts.ca = co_await files_.read("the system's CA bundle", &system_ca_bundle);
  } else if (options.verify) {
    texts.ca = co_await text_of(std::move(options.ca));
  }
  texts.certificate = co_await text_of(std::move(options.certificate));
  texts.key = co_await text_of(std::move(options.key));
  co_return texts;
}

asio::awaitable<std::shared_ptr<X509_STORE>> TlsContexts::store(std::string ca) {
  TlsOptions options;
  options.ca = ca;
  const TlsTexts texts = co_await this->texts(std::move(options));
  co_return store_of(ca, texts.ca);
}

std::shared_ptr<X509_STORE> TlsContexts::store_of(const std::string& ca, const FileText& text) {
  Store& cached = stores_[ca];
  if (cached.store && is_same(cached.text, text)) return cached.store;
  std::shared_ptr<X509_STORE> store(X509_STORE_new(), X509_STORE_free);
  const bool is_usable = add_certificates(*store, *text);
  const std::string error = take_openssl_errors();
  // If the system has no CA bundle, the store stays empty. Every verification then fails with a
  // clear error.
  const bool is_missing = ca.empty() && text->empty();
  if (!is_usable && !is_missing) {
    const std::string what = is_pem(ca)   ? "no usable CA certificate"
                             : ca.empty() ? "cannot use the system's CA bundle"
                                          : "cannot use the CA file " + ca;
    throw ProbeError(Reason::config,
                     what + ": " + (error.empty() ? "it has no certificate" : error));
  }
  cached = {text, std::move(store)};
  return cached.store;
}

asio::awaitable<std::shared_ptr<asio::ssl::context>> TlsContexts::client(TlsOptions options) {
  const TlsTexts texts = co_await this->texts(options);
  const std::string name = options.ca + '\n' + options.certificate + '\n' + options.key + '\n' +
                           (options.verify ? "verify" : "");
  Context& cached = contexts_[name];
  if (cached.context && are_same(cached.texts, texts)) co_return cached.context;
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  refuse_large_primes(native);
  context->set_verify_mode(options.verify ? asio::ssl::verify_peer : asio::ssl::verify_none);
  if (options.verify) SSL_CTX_set1_cert_store(native, store_of(options.ca, texts.ca).get());
  if (texts.certificate && texts.key) {
    const std::string fault = use_pair(*context, *texts.certificate, *texts.key);
    if (!fault.empty()) {
      const auto shown = [](const std::string& file) { return is_pem(file) ? "PEM text" : file; };
      throw ProbeError(Reason::config, "cannot use the client certificate " +
                                           shown(options.certificate) + " with " +
                                           shown(options.key) + ": " + fault);
    }
  }
  cached = {texts, context};
  co_return context;
}

void copy_certificate(SSL_CTX* from, SSL_CTX* to) {
  X509* const certificate = SSL_CTX_get0_certificate(from);
  if (certificate == nullptr) return;
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get_extra_chain_certs(from, &chain);
  SSL_CTX_use_certificate(to, certificate);
  SSL_CTX_use_PrivateKey(to, SSL_CTX_get0_privatekey(from));
  SSL_CTX_set1_chain(to, chain);
}

}  // namespace vitalsd::net
