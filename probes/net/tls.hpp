// TLS for outgoing connections: the `tls:` section that all kinds share, and the contexts for it.
// The system's CA bundle is read once for all contexts; its 140 certificates need a megabyte and
// ten milliseconds each time. Probe loop only.
#pragma once

#include "config/node.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ssl/context.hpp>
#include <openssl/types.h>

namespace vitalsd::net {

namespace asio = boost::asio;

/// Each PEM file may also be given as its PEM text, as in a kubeconfig.
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

class TlsContexts {
 public:
  /// A client context for these options, shared by all callers with equal options. Files that have
  /// changed are read again. Throws ProbeError(config) if a file cannot be used.
  std::shared_ptr<asio::ssl::context> client(const TlsOptions& options);

  /// The trusted certificates of a CA file (empty: the system's bundle). Valid until the next call
  /// after the file has changed; a caller that needs it longer must take a reference. Throws
  /// ProbeError(config).
  X509_STORE* store(const std::string& ca);

 private:
  struct FileState {
    std::int64_t changed = 0;  // nanoseconds
    std::uint64_t inode = 0;
    bool operator==(const FileState&) const = default;
  };
  struct Store {
    FileState file;
    std::shared_ptr<X509_STORE> store;
  };
  struct Context {
    std::vector<FileState> files;
    std::shared_ptr<asio::ssl::context> context;
  };
  static FileState state_of(const std::string& file);

  std::map<std::string, Store> stores_;
  std::map<std::string, Context> contexts_;
};

/// Rejects key exchanges with primes of more than 4096 bits (DHE). The server chooses the prime,
/// and one of 10,000 bits blocks the loop for half a second in each handshake.
void refuse_large_primes(SSL_CTX* context);

/// For message callbacks. Closes a connection whose peer keeps sending handshake messages, such as
/// key updates and tickets, which OpenSSL reads without returning. Returns whether it did so.
bool limit_handshake(SSL* ssl, int written, int type);

/// Throws ProbeError(config) if the path exists and is not a regular file. Symbolic links are
/// followed. OpenSSL would wait forever for the writer of a FIFO.
void refuse_irregular(const std::string& file);

/// Whether the text is PEM, as opposed to the name of a file.
bool is_pem(std::string_view text);

/// Empties OpenSSL's error queue of this thread and returns its entries as one line, oldest first.
std::string take_openssl_errors();

/// The path of the system's PEM bundle: SSL_CERT_FILE or else the usual paths of distributions.
/// Empty if none exists.
std::string system_ca_bundle();

}  // namespace vitalsd::net
