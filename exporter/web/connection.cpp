#include "exporter/web/connection.hpp"

#include "config/files/small_file.hpp"

#include <exception>
#include <expected>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <sys/stat.h>

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

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// A resumed session does not present its client certificate again, even if the CA has changed.
void forbid_resumption(asio::ssl::context& context) {
  context.set_options(SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.native_handle(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.native_handle(), 0);
}

}  // namespace

std::shared_ptr<asio::ssl::context> ServerTls::context() {
  if (stamps() != loaded_) {
    try {
      load();
    } catch (const std::exception&) {
      // The files may be half written: keep the current certificate and retry at the next
      // connection.
    }
  }
  return context_;
}

std::vector<ServerTls::Stamp> ServerTls::stamps() const {
  std::vector<Stamp> stamps;
  for (const std::string& file : {options_.certificate, options_.key, options_.client_ca}) {
    Stamp& stamp = stamps.emplace_back();
    struct stat status{};
    if (file.empty() || stat(file.c_str(), &status) != 0) continue;
    stamp = {status.st_dev, status.st_ino, status.st_size, nanoseconds(status.st_mtim),
             nanoseconds(status.st_ctim)};
  }
  return stamps;
}

void ServerTls::load() {
  std::vector<Stamp> stamps_before = stamps();
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1);
  context->use_certificate_chain(asio::buffer(content(options_.certificate)));
  context->use_private_key(asio::buffer(content(options_.key)), asio::ssl::context::pem);
  if (!options_.client_ca.empty()) {
    context->add_certificate_authority(asio::buffer(content(options_.client_ca)));
    context->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    forbid_resumption(*context);
  }
  context_ = std::move(context);
  loaded_ = std::move(stamps_before);
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

asio::awaitable<void> Connection::shutdown() {
  if (tls_) {
    co_await tls_->async_shutdown(kTuple);
  } else {
    boost::system::error_code ignored;
    tcp_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }
}

}  // namespace vitalsd
