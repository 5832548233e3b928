#include "exporter/web/connection.hpp"

#include <array>
#include <cstddef>
#include <exception>
#include <expected>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <openssl/err.h>
#include <openssl/x509.h>

namespace vitalsd {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
}  // namespace

// ---- certificates -------------------------------------------------------------------------------

namespace {

// Throws std::runtime_error. Regular files only: a FIFO would block the web thread.
std::string content(const std::string& file) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  std::expected<std::string, std::string> read = config::read_small_file(file, kMaxBytes);
  if (!read) throw std::runtime_error("cannot read " + file + ": " + read.error());
  return std::move(*read);
}

// A resumed session does not present its client certificate again, even if the CA has changed.
void forbid_resumption(asio::ssl::context& context) {
  context.set_options(SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.native_handle(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.native_handle(), 0);
}

}  // namespace

ServerTls::Context ServerTls::Files::load_if_changed() {
  std::vector<config::FileVersion> now;
  for (const std::string* file : {&certificate, &key, &client_ca}) {
    now.push_back(file->empty() ? config::FileVersion{} : config::version_of(*file));
  }
  if (now == versions) return nullptr;
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1);
  context->use_certificate_chain(asio::buffer(content(certificate)));
  // OpenSSL accepts a key that is of another type than the certificate, and every handshake would
  // then fail.
  X509* const leaf = SSL_CTX_get0_certificate(context->native_handle());
  context->use_private_key(asio::buffer(content(key)), asio::ssl::context::pem);
  if (X509_check_private_key(leaf, SSL_CTX_get0_privatekey(context->native_handle())) != 1) {
    ERR_clear_error();
    throw std::runtime_error("the key " + key + " does not match the certificate " + certificate);
  }
  if (!client_ca.empty()) {
    context->add_certificate_authority(asio::buffer(content(client_ca)));
    context->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    forbid_resumption(*context);
  }
  versions = std::move(now);
  return context;
}

ServerTls::ServerTls(asio::io_context& loop, const WebOptions& options)
    : loop_(loop),
      files_{options.certificate, options.key, options.client_ca, {}},
      context_(files_.load_if_changed()),
      looked_(loop),
      link_(std::make_shared<Link>()) {
  link_->owner = this;
}

ServerTls::~ServerTls() {
  const std::lock_guard lock(link_->mutex);
  link_->owner = nullptr;
}

asio::awaitable<ServerTls::Context> ServerTls::context() {
  if (!is_looking_) look();
  if (is_looking_) co_await looked_.async_wait(kTuple);
  co_return context_;
}

// Reads on its own thread, because a file on an unreachable NFS server would block the web thread.
void ServerTls::look() {
  constexpr std::chrono::seconds kMaxLook{1};
  const auto work = [link = link_, files = files_]() mutable {
    Context context;
    try {
      context = files.load_if_changed();
    } catch (const std::exception&) {
      // A file may be half written: the server keeps the current certificate and retries at the
      // next connection.
    }
    const std::lock_guard lock(link->mutex);
    if (link->owner == nullptr) return;
    asio::post(link->owner->loop_, [owner = link->owner, context = std::move(context),
                                    files = std::move(files)]() mutable {
      owner->is_looking_ = false;
      owner->looked_.cancel();
      if (!context) return;
      owner->context_ = std::move(context);
      owner->files_ = std::move(files);
    });
  };
  looked_.expires_after(kMaxLook);
  try {
    std::thread(work).detach();
    is_looking_ = true;
  } catch (const std::system_error&) {
    // No thread can be created: the server keeps the current certificate.
  }
}

// ---- the connection -----------------------------------------------------------------------------

Connection::Connection(tcp::socket socket, std::shared_ptr<asio::ssl::context> context)
    : context_(std::move(context)), tcp_(std::move(socket)) {
  tcp_.socket().set_option(tcp::no_delay(true));
  if (context_) tls_.emplace(tcp_, *context_);
}

asio::awaitable<void> Connection::handshake() {
  co_await tls_->async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
}

asio::awaitable<std::size_t> Connection::read_some(asio::mutable_buffer into,
                                                   boost::system::error_code& error) {
  std::size_t size = 0;
  if (tls_) {
    std::tie(error, size) = co_await tls_->async_read_some(into, kTuple);
  } else {
    std::tie(error, size) = co_await tcp_.async_read_some(into, kTuple);
  }
  co_return size;
}

asio::awaitable<void> Connection::write(asio::const_buffer from) {
  while (from.size() > 0) {
    if (tls_) {
      from += co_await tls_->async_write_some(from, asio::use_awaitable);
    } else {
      from += co_await tcp_.async_write_some(from, asio::use_awaitable);
    }
  }
}

// A client may still be sending a body that was refused. If the socket were closed now, the kernel
// would reset the connection, and the client would lose the response.
asio::awaitable<void> Connection::shutdown() {
  constexpr std::size_t kMaxDiscarded = std::size_t{4} << 20;
  boost::system::error_code error;
  if (tls_) co_await tls_->async_shutdown(kTuple);
  tcp_.socket().shutdown(tcp::socket::shutdown_send, error);
  std::array<char, 4096> unread{};
  std::size_t discarded = 0;
  while (!error && discarded < kMaxDiscarded) {
    std::size_t size = 0;
    std::tie(error, size) = co_await tcp_.async_read_some(asio::buffer(unread), kTuple);
    discarded += size;
  }
}

}  // namespace vitalsd
