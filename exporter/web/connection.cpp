#include "exporter/web/connection.hpp"

#include <exception>
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

std::shared_ptr<asio::ssl::context> ServerTls::context() {
  if (changed() != loaded_) {
    try {
      load();
    } catch (const std::exception&) {
      // Half-written files: go on with the certificate that we have, try again next time.
    }
  }
  return context_;
}

std::vector<std::time_t> ServerTls::changed() const {
  std::vector<std::time_t> times;
  for (const std::string& file : {options_.certificate, options_.key, options_.client_ca}) {
    struct stat status{};
    times.push_back(!file.empty() && stat(file.c_str(), &status) == 0 ? status.st_mtime : 0);
  }
  return times;
}

void ServerTls::load() {
  const std::vector<std::time_t> times = changed();
  auto made = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  made->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                    asio::ssl::context::no_tlsv1_1);
  made->use_certificate_chain_file(options_.certificate);
  made->use_private_key_file(options_.key, asio::ssl::context::pem);
  if (!options_.client_ca.empty()) {
    made->load_verify_file(options_.client_ca);
    made->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  }
  context_ = std::move(made);
  loaded_ = times;
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
