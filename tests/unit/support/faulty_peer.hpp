// A scripted TCP or TLS peer on the test's loop that injects a fault at one of its steps: an
// accepted connection, a read or a write. With TLS, a step reads or writes encrypted records.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "unit/support/certificate.hpp"
#include "unit/support/loop.hpp"
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace vitalsd::test {

/// The TLS context of a server with that certificate.
using ServerContext = std::unique_ptr<SSL_CTX, detail::Freeing<SSL_CTX_free>>;
inline ServerContext server_context(const Certificate& certificate) {
  ServerContext context(SSL_CTX_new(TLS_server_method()));
  const detail::X509Ptr x509(
      PEM_read_bio_X509(detail::reading(certificate.certificate).get(), nullptr, nullptr, nullptr));
  const detail::Key key(
      PEM_read_bio_PrivateKey(detail::reading(certificate.key).get(), nullptr, nullptr, nullptr));
  detail::require(SSL_CTX_use_certificate(context.get(), x509.get()) == 1);
  detail::require(SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1);
  return context;
}

enum class Fault : unsigned char {
  refuse,   ///< the peer does not listen
  reset,    ///< RST instead of the step
  close,    ///< FIN instead of the step
  cut,      ///< FIN within the data; the steps of this fault are bytes
  stall,    ///< the peer stops, and the client is cancelled as by a deadline
  cancel,   ///< the client is cancelled when the peer reaches the step
  trickle,  ///< the step sends single bytes; if the step is a connection, all writes on it do
};

inline constexpr std::array kFaults = {Fault::refuse, Fault::reset,  Fault::close,  Fault::cut,
                                       Fault::stall,  Fault::cancel, Fault::trickle};

constexpr std::string_view fault_name(Fault fault) {
  constexpr std::array<std::string_view, kFaults.size()> kNames = {
      "refuse", "reset", "close", "cut", "stall", "cancel", "trickle"};
  return kNames.at(static_cast<std::size_t>(fault));
}

/// The state of the peer's TLS handshake at the fault. In `finishes`, the client may or may not
/// have completed the handshake: it has all messages, but the peer does not have all of its.
enum class TlsPhase : unsigned char { none, begins, finishes, complete };

class Peer;

/// The peer's side of a connection. All operations throw system_error at the fault and when the
/// client has closed the connection.
class Wire {
 public:
  Wire(Peer& peer, asio::ip::tcp::socket socket) : peer_(peer), socket_(std::move(socket)) {
    socket_.set_option(asio::ip::tcp::no_delay(true));
  }

  /// Returns at least one byte.
  asio::awaitable<std::string> receive() {
    if (!tls_) co_return co_await take();
    std::array<char, kPiece> piece{};
    for (;;) {
      ERR_clear_error();  // the client uses the same error queue, because it has the same thread
      const int size = SSL_read(tls_.get(), piece.data(), static_cast<int>(piece.size()));
      if (size > 0) co_return std::string(piece.data(), static_cast<std::size_t>(size));
      co_await take_records();
    }
  }
  asio::awaitable<std::string> receive_until(std::string_view end) {
    std::string all;
    while (!all.ends_with(end)) all += co_await receive();
    co_return all;
  }
  asio::awaitable<void> send(std::string bytes) {
    if (!tls_) {
      co_await put(std::move(bytes));
      co_return;
    }
    SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
    co_await put_records();
  }
  asio::awaitable<void> start_tls(SSL_CTX* context) {
    phase_ = TlsPhase::begins;
    tls_.reset(SSL_new(context));
    SSL_set_bio(tls_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    for (;;) {
      ERR_clear_error();
      const int result = SSL_accept(tls_.get());
      co_await put_records();
      if (result == 1) break;
      co_await take_records();
    }
    phase_ = TlsPhase::complete;
  }

  /// The step of accepting the connection.
  asio::awaitable<void> accepted();
  /// Sends nothing until the client closes the connection.
  asio::awaitable<void> drain() {
    std::array<char, kPiece> piece{};
    boost::system::error_code error;
    while (!error) {
      std::tie(error, std::ignore) = co_await socket_.async_read_some(
          asio::buffer(piece), asio::as_tuple(asio::use_awaitable));
    }
  }
  void close() { socket_.close(); }

 private:
  static constexpr std::size_t kPiece = 16 * 1024;

  [[noreturn]] static void end() {
    throw boost::system::system_error(
        asio::error::make_error_code(asio::error::connection_aborted));
  }
  void strike(Fault fault);

  // The steps, on which all other operations are based.
  asio::awaitable<std::string> take();
  asio::awaitable<void> put(std::string bytes);

  asio::awaitable<void> take_records() {
    if (SSL_get_error(tls_.get(), -1) != SSL_ERROR_WANT_READ) end();
    const std::string records = co_await take();
    BIO_write(SSL_get_rbio(tls_.get()), records.data(), static_cast<int>(records.size()));
  }
  asio::awaitable<void> put_records() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(tls_.get()), &data);
    if (size == 0) co_return;
    std::string records(data, static_cast<std::size_t>(size));
    BIO_reset(SSL_get_wbio(tls_.get()));
    co_await put(std::move(records));
    if (phase_ == TlsPhase::begins) phase_ = TlsPhase::finishes;
  }

  Peer& peer_;
  asio::ip::tcp::socket socket_;
  std::unique_ptr<SSL, detail::Freeing<SSL_free>> tls_;
  TlsPhase phase_ = TlsPhase::none;
  bool trickles_ = false;  // all writes of this connection
};

class Peer {
 public:
  using Script = std::function<asio::awaitable<void>(Wire&)>;

  /// Runs `script` on each connection, after a TLS handshake if `tls` is not null. The peer does
  /// not listen before listen().
  Peer(asio::io_context& io, Script script, SSL_CTX* tls = nullptr)
      : loop(io), acceptor_(io), script_(std::move(script)), tls_(tls) {
    acceptor_.open(asio::ip::tcp::v4());
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
  }
  ~Peer() {
    acceptor_.close();
    hang_up();
    EXPECT_TRUE(run_until(loop, [this] { return running_ == 0; }));
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void listen() {
    acceptor_.listen();
    start(accept());
  }
  void hang_up() {
    for (Wire* wire : wires_) wire->close();
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  /// Injects `fault` once, after `step` more steps.
  void arm(std::size_t step, Fault fault) {
    fault_ = fault;
    left_ = step;
    struck_ = false;
  }
  void disarm() { fault_.reset(); }
  [[nodiscard]] bool struck() const { return struck_; }
  [[nodiscard]] TlsPhase phase() const { return phase_; }  ///< at the fault
  [[nodiscard]] bool connected() const { return !wires_.empty(); }

  asio::io_context& loop;
  std::function<void()> on_cancel;  ///< cancels the client, for Fault::cancel

 private:
  friend class Wire;

  void start(asio::awaitable<void> work) {
    ++running_;
    asio::co_spawn(loop, std::move(work), [this](const std::exception_ptr& error) {
      --running_;
      if (error) std::rethrow_exception(error);  // an error of the script itself
    });
  }
  asio::awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      start(converse(std::move(socket)));
    }
  }
  asio::awaitable<void> converse(asio::ip::tcp::socket socket) {
    Wire wire(*this, std::move(socket));
    const auto entry = wires_.insert(&wire).first;
    bool client_closed = false;  // false after a fault, which also ends the script
    try {
      co_await wire.accepted();
      if (tls_ != nullptr) co_await wire.start_tls(tls_);
      co_await script_(wire);
    } catch (const boost::system::system_error& error) {
      client_closed = error.code() != asio::error::connection_aborted;
    }
    if (!client_closed) co_await wire.drain();
    wires_.erase(entry);
  }

  // The fault for the next step, except Fault::cut.
  std::optional<Fault> step() {
    if (!fault_ || fault_ == Fault::cut || left_-- > 0) return std::nullopt;
    struck_ = true;
    return std::exchange(fault_, std::nullopt);
  }
  // The number of bytes to send before the cut, if the cut is within the next `bytes`.
  std::optional<std::size_t> cut(std::size_t bytes) {
    if (fault_ != Fault::cut) return std::nullopt;
    if (left_ >= bytes) {
      left_ -= bytes;
      return std::nullopt;
    }
    struck_ = true;
    fault_.reset();
    return left_;
  }

  asio::ip::tcp::acceptor acceptor_;
  Script script_;
  SSL_CTX* tls_;
  std::set<Wire*> wires_;
  int running_ = 0;
  std::optional<Fault> fault_;
  std::size_t left_ = 0;
  bool struck_ = false;
  TlsPhase phase_ = TlsPhase::none;
};

inline void Wire::strike(Fault fault) {
  peer_.phase_ = phase_;
  switch (fault) {
    case Fault::refuse:
    case Fault::stall:
      break;
    case Fault::reset:
      socket_.set_option(asio::socket_base::linger(true, 0));
      socket_.close();
      break;
    case Fault::close:
    case Fault::cut: {
      boost::system::error_code ignored;
      socket_.shutdown(asio::socket_base::shutdown_send, ignored);
      break;
    }
    case Fault::cancel:
      peer_.on_cancel();
      break;
    case Fault::trickle:
      return;  // the step continues
  }
  end();
}

inline asio::awaitable<void> Wire::accepted() {
  if (peer_.tls_ != nullptr) phase_ = TlsPhase::begins;
  const auto fault = peer_.step();
  if (fault) strike(*fault);
  trickles_ = fault == Fault::trickle;
  co_return;
}

inline asio::awaitable<std::string> Wire::take() {
  if (const auto fault = peer_.step()) strike(*fault);
  std::array<char, kPiece> piece{};
  const std::size_t size =
      co_await socket_.async_read_some(asio::buffer(piece), asio::use_awaitable);
  co_return std::string(piece.data(), size);
}

inline asio::awaitable<void> Wire::put(std::string bytes) {
  const auto fault = peer_.step();
  if (fault) strike(*fault);
  if (const auto left = peer_.cut(bytes.size())) {
    bytes.resize(*left);
    co_await asio::async_write(socket_, asio::buffer(bytes), asio::use_awaitable);
    strike(Fault::cut);
  }
  const bool trickles = trickles_ || fault == Fault::trickle;
  const std::size_t max = trickles ? 1 : bytes.size();
  for (std::size_t at = 0; at < bytes.size(); at += max) {
    co_await asio::async_write(socket_, asio::buffer(bytes.data() + at, max), asio::use_awaitable);
    if (trickles) co_await asio::post(asio::use_awaitable);  // lets the client run
  }
}

}  // namespace vitalsd::test
