#include "probes/net/stream.hpp"

#include "probes/error.hpp"
#include "probes/net/tcp.hpp"
#include "probes/net/unix_socket.hpp"

#include <array>
#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

namespace vitalsd::net {
namespace {

using Socket = asio::generic::stream_protocol::socket;
constexpr auto kResult = asio::as_tuple(asio::use_awaitable);

// Whether TLS itself failed. In TLS 1.3 the client's handshake ends before the server has verified
// the client's certificate, so a server that rejects the certificate reports this later, by an
// alert.
bool is_tls_failure(const boost::system::error_code& error) {
  return error.category() == asio::error::get_ssl_category();
}

// Whether what the peer sent is no TLS.
bool is_no_tls(const boost::system::error_code& error) {
  if (!is_tls_failure(error)) return false;
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG;
}

}  // namespace

struct Stream::State {
  explicit State(Socket connected) : socket(std::move(connected)) {}
  Socket socket;
  std::shared_ptr<asio::ssl::context> context;  // must outlive `tls`
  std::optional<asio::ssl::stream<Socket&>> tls;
};

Stream::Stream(Socket socket) : state_(std::make_unique<State>(std::move(socket))) {
  boost::system::error_code ignored;  // a Unix socket does not have the option
  state_->socket.set_option(asio::ip::tcp::no_delay(true), ignored);
}
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;

void set_peer_name(SSL* ssl, const std::string& name, bool verify) {
  boost::system::error_code not_an_address;
  asio::ip::make_address(name, not_an_address);
  if (not_an_address) {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    if (verify) SSL_set1_host(ssl, name.c_str());
  } else if (verify) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  }
}

asio::awaitable<void> Stream::start_tls(std::shared_ptr<asio::ssl::context> context,
                                        const TlsOptions& options, const std::string& host,
                                        const std::function<void(SSL*)>& prepare) {
  State& state = *state_;
  state.context = std::move(context);
  state.tls.emplace(state.socket, *state.context);
  SSL* const native = state.tls->native_handle();
  set_peer_name(native, options.server_name.empty() ? host : options.server_name, options.verify);
  SSL_set_msg_callback(native, [](int written, int, int type, const void*, std::size_t, SSL* ssl,
                                  void*) { limit_handshake(ssl, written, type); });
  if (prepare) prepare(native);
  const auto [error] = co_await state.tls->async_handshake(asio::ssl::stream_base::client, kResult);
  if (!error) co_return;
  const long result = SSL_get_verify_result(native);
  if (options.verify && result != X509_V_OK && error != asio::error::operation_aborted) {
    throw ProbeError(Reason::tls, std::string("certificate verification failed: ") +
                                      X509_verify_cert_error_string(result));
  }
  if (is_no_tls(error)) {
    throw ProbeError(Reason::tls, "TLS handshake: the server does not use TLS on this port");
  }
  fail_with(Reason::tls, "TLS handshake", error);
}

asio::awaitable<std::size_t> Stream::read_some(std::span<char> into) {
  State& state = *state_;
  const auto buffer = asio::buffer(into.data(), into.size());
  boost::system::error_code error;
  std::size_t size = 0;
  if (state.tls) {
    std::tie(error, size) = co_await state.tls->async_read_some(buffer, kResult);
  } else {
    std::tie(error, size) = co_await state.socket.async_read_some(buffer, kResult);
  }
  // A server that closes the connection without close_notify is treated like a server that sends
  // close_notify.
  if (error == asio::ssl::error::stream_truncated) error = asio::error::eof;
  if (is_tls_failure(error)) fail_with(Reason::tls, "the TLS session failed", error);
  if (error) fail_with(Reason::protocol, "reading the response", error);
  co_return size;
}

asio::awaitable<void> Stream::write(std::string_view bytes) {
  State& state = *state_;
  const auto buffer = asio::buffer(bytes.data(), bytes.size());
  boost::system::error_code error;
  std::size_t size = 0;
  if (state.tls) {
    std::tie(error, size) = co_await asio::async_write(*state.tls, buffer, kResult);
  } else {
    std::tie(error, size) = co_await asio::async_write(state.socket, buffer, kResult);
  }
  if (!error) co_return;
  // The server may have sent an alert before it closed the connection.
  if (state.tls && (error == asio::error::broken_pipe || error == asio::error::connection_reset)) {
    std::array<char, 1> unused{};
    const auto [end, ignored] = co_await state.tls->async_read_some(asio::buffer(unused), kResult);
    if (is_tls_failure(end)) error = end;
  }
  if (is_tls_failure(error)) fail_with(Reason::tls, "the TLS session failed", error);
  fail_with(Reason::connect, "sending the request", error);
}

bool Stream::hung_up() const {
  // An idle socket becomes readable if the peer closes it or sends unexpected data.
  pollfd idle{state_->socket.native_handle(), POLLIN, 0};
  return poll(&idle, 1, 0) != 0;
}

SSL* Stream::ssl() const { return state_->tls ? state_->tls->native_handle() : nullptr; }

asio::awaitable<Stream> open_stream(const Environment& environment,
                                    const config::Endpoint& endpoint, IpVersion ip,
                                    const TlsOptions* tls, SampleSet& out) {
  Socket socket = is_unix(endpoint.host) ? co_await connect_unix(environment, endpoint.host, out)
                                         : co_await connect(environment, endpoint, ip, out);
  Stream stream(std::move(socket));
  if (tls != nullptr) {
    out.doing("reading the files of tls", Reason::internal);
    std::shared_ptr<asio::ssl::context> context = co_await environment.tls.client(*tls);
    out.doing("performing the TLS handshake with " + endpoint.text() +
              ", which may not use TLS on this port");
    co_await stream.start_tls(std::move(context), *tls, endpoint.host);
  }
  co_return stream;
}

}  // namespace vitalsd::net
