// A byte stream to a server: TCP or a Unix socket, optionally with TLS from the start or later.
// Errors are thrown as ProbeError. Cancellation ends any operation. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <openssl/types.h>

namespace vitalsd::net {

class Stream {
 public:
  explicit Stream(asio::generic::stream_protocol::socket socket);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  /// Performs the client's handshake. `host` is the name for SNI and verification if the options
  /// set none. `prepare` may change the SSL object before the handshake. Throws ProbeError(tls),
  /// with OpenSSL's reason if the verification of the certificate failed.
  asio::awaitable<void> start_tls(std::shared_ptr<asio::ssl::context> context,
                                  const TlsOptions& options, const std::string& host,
                                  const std::function<void(SSL*)>& prepare = {});

  /// Reads at least one byte. Throws ProbeError: protocol for an error and for the end of the
  /// stream; tls for an alert of the server.
  asio::awaitable<std::size_t> read_some(std::span<char> into);
  /// Writes all bytes. Throws ProbeError: connect; tls for an alert of the server.
  asio::awaitable<void> write(std::string_view bytes);

  /// Whether the peer of this idle stream has closed it or sent unexpected data. Sends nothing.
  [[nodiscard]] bool hung_up() const;

  /// Null before start_tls().
  [[nodiscard]] SSL* ssl() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Connects, to a Unix socket if the host is a path, with a TLS handshake if `tls` is not null.
/// Throws ProbeError.
asio::awaitable<Stream> open_stream(const Environment& environment,
                                    const config::Endpoint& endpoint, IpVersion ip,
                                    const TlsOptions* tls, SampleSet& out);

/// Sets the name for SNI and, if `verify` is set, for the verification of the certificate. An IP
/// address is verified as an address and is not sent as SNI.
void set_peer_name(SSL* ssl, const std::string& name, bool verify);

}  // namespace vitalsd::net
