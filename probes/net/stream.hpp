// A byte stream to a server: TCP, with TLS on top from the start or from some point on. What goes
// wrong is thrown as ProbeError; cancellation ends any operation. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <openssl/types.h>

namespace vitalsd::net {

class Stream {
 public:
  explicit Stream(asio::ip::tcp::socket socket);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  /// Client handshake. `host` is the name for SNI and verification where the options give none;
  /// `prepare` may set more on the SSL object. Throws ProbeError(tls) with OpenSSL's verdict on the
  /// certificate, if that was it.
  asio::awaitable<void> start_tls(std::shared_ptr<asio::ssl::context> context,
                                  const TlsOptions& options, const std::string& host,
                                  const std::function<void(SSL*)>& prepare = {});

  /// At least one byte; throws ProbeError(protocol) at the end of the stream.
  asio::awaitable<std::size_t> read_some(std::span<char> into);
  asio::awaitable<void> write(std::string_view bytes);

  /// Whether the peer has hung up since the last answer, as far as we know without asking it.
  [[nodiscard]] bool hung_up() const;

  /// Null before start_tls().
  [[nodiscard]] SSL* ssl() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Connects, and speaks TLS if `tls` is given.
asio::awaitable<Stream> open_stream(const Environment& environment,
                                    const config::Endpoint& endpoint, const TlsOptions* tls,
                                    SampleSet& out);

/// Tells `ssl` the name to ask for (SNI) and, where `verify`, to hold the certificate against. An
/// address is verified as one and not sent as SNI.
void set_peer_name(SSL* ssl, const std::string& name, bool verify);

}  // namespace vitalsd::net
