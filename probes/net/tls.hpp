// TLS for outgoing connections: the `tls:` section that every kind shares, and contexts made from
// it. The system's CA bundle is read once for all of them (140 certificates cost a megabyte and ten
// milliseconds each time otherwise). Probe loop only.
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

/// Where a PEM file is named the PEM text itself may stand, as a kubeconfig has it.
struct TlsOptions {
  std::string ca;           ///< PEM file; empty: the system's bundle
  bool verify = true;       ///< chain and name
  std::string server_name;  ///< for SNI and verification instead of the host's name
  std::string certificate;  ///< PEM file: ours, if the server wants one
  std::string key;

  /// Reads the section `tls` of a probe's options.
  static TlsOptions read(config::Node& options);
  bool operator==(const TlsOptions&) const = default;
};

class TlsContexts {
 public:
  /// A client context for these options, shared by all who have the same. Files that have changed
  /// are read anew. Throws ProbeError(config) where one cannot be used.
  std::shared_ptr<asio::ssl::context> client(const TlsOptions& options);

  /// The trusted certificates of a CA file (empty: the system's bundle); valid until the file
  /// changes: whoever keeps it longer takes a reference of its own. Throws ProbeError(config).
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
  static FileState look(const std::string& file);

  std::map<std::string, Store> stores_;
  std::map<std::string, Context> contexts_;
};

/// Takes no key exchange modulo a prime of more than 4096 bits (DHE): a server chooses the prime,
/// and one of 10,000 bits costs the loop half a second for each handshake.
void refuse_large_primes(SSL_CTX* context);

/// For message callbacks: ends a connection whose peer goes on with messages of the handshake, such
/// as new keys and tickets, which OpenSSL reads without coming back in between. Whether it does so.
bool limit_handshake(SSL* ssl, int written, int type);

/// Throws ProbeError(config) if there is something of that name that is no regular file, symbolic
/// links followed: OpenSSL would wait for ever for whoever writes a FIFO.
void refuse_irregular(const std::string& file);

/// Whether this is PEM text rather than the name of a file.
bool is_pem(std::string_view text);

/// The newest entries of OpenSSL's error queue as one sentence, and empties it.
std::string take_openssl_errors();

/// The PEM bundle that the system trusts, by the names that distributions give it; SSL_CERT_FILE
/// goes first. Empty: none found.
std::string system_ca_bundle();

}  // namespace vitalsd::net
