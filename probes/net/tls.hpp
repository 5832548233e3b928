// TLS for outgoing connections: the `tls:` section that all kinds share, and the contexts for it.
// The system's CA bundle is read once for all contexts, because loading its 140 certificates takes
// a megabyte and ten milliseconds. Probe loop only.
#pragma once

#include "config/node.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/recently_used.hpp"

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <openssl/types.h>

namespace vitalsd::net {

namespace asio = boost::asio;

/// Each file can also be given as PEM text, because a kubeconfig may contain it.
struct TlsOptions {
  std::string ca;           ///< PEM file; empty: the system's bundle
  bool verify = true;       ///< verify chain and name
  std::string server_name;  ///< for SNI and verification; empty: the host name
  std::string certificate;  ///< PEM file with the client certificate; empty: none
  std::string key;          ///< PEM file with its private key

  /// Reads the section `tls` of a probe's options.
  static TlsOptions read(config::Node& options);
  bool operator==(const TlsOptions&) const = default;
};

/// The content of the files of TlsOptions. Null if a file is not set, or not needed.
struct TlsTexts {
  FileText ca;
  FileText certificate;
  FileText key;
};

class TlsContexts {
 public:
  explicit TlsContexts(ConfiguredFiles& files) : files_(files) {}

  /// Returns a client context for these options, which is shared by all callers with equal options.
  /// Throws ProbeError: config if a file cannot be used, and the exceptions of ConfiguredFiles.
  asio::awaitable<std::shared_ptr<asio::ssl::context>> client(TlsOptions options);

  /// Returns the trusted certificates of a CA file (empty: the system's bundle). Throws the
  /// exceptions of client().
  asio::awaitable<std::shared_ptr<X509_STORE>> store(std::string ca);

  /// Reads the content of the files; `ca` is read only if the options verify.
  asio::awaitable<TlsTexts> texts(TlsOptions options);

 private:
  struct Store {
    FileText text;
    std::shared_ptr<X509_STORE> store;
  };
  struct Context {
    TlsTexts texts;
    std::shared_ptr<asio::ssl::context> context;
  };

  asio::awaitable<FileText> text_of(std::string file);
  std::shared_ptr<X509_STORE> store_of(const std::string& ca, const FileText& text);

  ConfiguredFiles& files_;
  RecentlyUsed<Store> stores_;
  RecentlyUsed<Context> contexts_;
};

/// Copies the client certificate of `from`, if it has one, to `to`, with its chain and key.
void copy_certificate(SSL_CTX* from, SSL_CTX* to);

/// Rejects key exchanges with primes of more than 4096 bits (DHE). The server chooses the prime,
/// and a prime of 10,000 bits blocks the loop for half a second in each handshake.
void refuse_large_primes(SSL_CTX* context);

/// Must be called in message callbacks. Closes a connection whose peer keeps sending handshake
/// messages, such as key updates and tickets, which OpenSSL reads without returning. Returns
/// whether it has closed the connection.
bool limit_handshake(SSL* ssl, int written, int type);

/// Whether the text is PEM and not the name of a file.
bool is_pem(std::string_view text);

/// Empties OpenSSL's error queue of this thread and returns its entries as one line, oldest first.
std::string take_openssl_errors();

/// The path of the system's PEM bundle: SSL_CERT_FILE or else the usual paths of distributions.
/// Empty if none exists. Blocks on a file system that hangs.
std::string system_ca_bundle();

}  // namespace vitalsd::net
