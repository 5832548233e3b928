// A TLS server in its own threads, so that it can send while the client occupies the loop. It has
// no HTTP code.
#pragma once

#include <array>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "unit/support/certificate.hpp"
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vitalsd::test {

/// The server's side of a connection. read() and write() block. After the connection is closed
/// or has failed, read() returns an empty string and write() returns false.
class TlsLine {
 public:
  explicit TlsLine(SSL* tls) : tls_(tls) {}
  std::string read() {
    std::array<char, 16384> piece{};
    const int size = SSL_read(tls_, piece.data(), static_cast<int>(piece.size()));
    return {piece.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
  }
  bool write(std::string_view bytes) {
    return SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  /// TLS 1.3: changes the keys of the sending direction.
  bool update_keys() {
    return SSL_key_update(tls_, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(tls_) == 1;
  }

 private:
  SSL* tls_;
};

class TlsServer {
 public:
  using Script = std::function<void(TlsLine&)>;

  /// Listens on `address`. Port 0 is any free port. The server selects `protocol` by ALPN.
  TlsServer(const Certificate& certificate, Script script, const std::string& address = "127.0.0.1",
            std::uint16_t port = 0, std::string protocol = "http/1.1")
      : script_(std::move(script)),
        protocol_(std::move(protocol)),
        acceptor_(loop_, {boost::asio::ip::make_address(address), port}) {
    const detail::X509Ptr x509(PEM_read_bio_X509(detail::reading(certificate.certificate).get(),
                                                 nullptr, nullptr, nullptr));
    const detail::Key key(
        PEM_read_bio_PrivateKey(detail::reading(certificate.key).get(), nullptr, nullptr, nullptr));
    SSL_CTX_use_certificate(context_.get(), x509.get());
    SSL_CTX_use_PrivateKey(context_.get(), key.get());
    SSL_CTX_set_alpn_select_cb(context_.get(), &TlsServer::choose_protocol, this);
    accepting_ = std::thread([this] { accept(); });
  }
  ~TlsServer() {
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    accepting_.join();  // after this, no connection is added
    for (const int descriptor : descriptors_) ::shutdown(descriptor, SHUT_RDWR);
    for (std::thread& each : conversing_) each.join();
    for (const int descriptor : descriptors_) ::close(descriptor);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  /// From the next connection on.
  void require_client_certificate() {
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  using Context = std::unique_ptr<SSL_CTX, detail::Freeing<SSL_CTX_free>>;
  using Tls = std::unique_ptr<SSL, detail::Freeing<SSL_free>>;

  static int choose_protocol(SSL* /*tls*/, const unsigned char** out, unsigned char* size,
                             const unsigned char* in, unsigned in_size, void* self) {
    const std::string& wanted = static_cast<TlsServer*>(self)->protocol_;
    for (unsigned at = 0; at < in_size; at += in[at] + 1U) {
      if (std::string_view(reinterpret_cast<const char*>(in) + at + 1, in[at]) != wanted) continue;
      *out = in + at + 1;
      *size = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
  }

  void accept() {
    for (;;) {
      boost::system::error_code error;
      boost::asio::ip::tcp::socket socket = acceptor_.accept(error);
      if (error) return;
      descriptors_.push_back(socket.release());
      conversing_.emplace_back([this, descriptor = descriptors_.back()] { converse(descriptor); });
    }
  }
  void converse(int descriptor) {
    sigset_t pipe{};
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);  // the client may have closed the connection
    const Tls tls(SSL_new(context_.get()));
    SSL_set_fd(tls.get(), descriptor);
    TlsLine line(tls.get());
    if (SSL_accept(tls.get()) == 1) script_(line);
    ::shutdown(descriptor, SHUT_RDWR);
  }

  Script script_;
  std::string protocol_;
  boost::asio::io_context loop_;  // never runs, because all operations block
  boost::asio::ip::tcp::acceptor acceptor_;
  Context context_{SSL_CTX_new(TLS_server_method())};
  std::vector<int> descriptors_;         // used only by the accepting thread until it ends
  std::vector<std::thread> conversing_;  // used in the same way
  std::thread accepting_;
};

}  // namespace vitalsd::test
