#include "exporter/web/http_server.hpp"

#include "exporter/web/password.hpp"
#include "exporter/web/routes.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <pthread.h>
#include <sys/stat.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using TlsStream = asio::ssl::stream<beast::tcp_stream>;

constexpr std::size_t kMostBodyBytes = 1024;  // no route reads one

std::string_view to_view(beast::string_view text) { return {text.data(), text.size()}; }

// A body that is text, or a page. Of a page a connection holds only as much as it sends at once, so
// that neither many scrapers nor slow ones cost a copy of it each.
struct Body {
  struct value_type {
    std::string text;
    std::unique_ptr<const Exposition::Page> page;
  };

  static std::uint64_t size(const value_type& body) {
    return body.page ? body.page->size() : body.text.size();
  }

  class writer {  // NOLINT(readability-identifier-naming): the names are Beast's
   public:
    using const_buffers_type = asio::const_buffer;

    template <bool isRequest, class Fields>
    writer(const http::header<isRequest, Fields>& /*header*/, const value_type& body)
        : body_(body) {}

    void init(beast::error_code& error) {
      error = {};
      if (body_.page) rest_ = body_.page->pieces();
    }

    boost::optional<std::pair<const_buffers_type, bool>> get(beast::error_code& error) {
      error = {};
      if (!body_.page) return {{asio::buffer(body_.text), false}};
      chunk_.clear();
      while (!rest_.empty() && chunk_.size() < kChunk) {
        const std::string_view piece = rest_.front().substr(taken_);
        const std::string_view now = piece.substr(0, kChunk - chunk_.size());
        if (chunk_.empty()) chunk_.reserve(std::min(kChunk, body_.page->size()));
        chunk_ += now;
        taken_ += now.size();
        if (now.size() == piece.size()) {
          rest_ = rest_.subspan(1);
          taken_ = 0;
        }
      }
      return {{asio::buffer(chunk_), !rest_.empty()}};
    }

   private:
    static constexpr std::size_t kChunk = std::size_t{64} << 10;

    const value_type& body_;
    std::span<const std::string_view> rest_;
    std::size_t taken_ = 0;  // of the first of them
    std::string chunk_;
  };
};
using Response = http::response<Body>;

// Certificate files as a context, read anew when one of them changes.
class ServerTls {
 public:
  explicit ServerTls(const WebOptions& options) : options_(options) { load(); }

  std::shared_ptr<asio::ssl::context> context() {
    if (changed() != loaded_) {
      try {
        load();
      } catch (const std::exception&) {
        // Half-written files: go on with the certificate that we have, try again next time.
      }
    }
    return context_;
  }

 private:
  [[nodiscard]] std::vector<std::time_t> changed() const {
    std::vector<std::time_t> times;
    for (const std::string& file : {options_.certificate, options_.key, options_.client_ca}) {
      struct stat status{};
      times.push_back(!file.empty() && stat(file.c_str(), &status) == 0 ? status.st_mtime : 0);
    }
    return times;
  }

  void load() {
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

  const WebOptions& options_;
  std::shared_ptr<asio::ssl::context> context_;
  std::vector<std::time_t> loaded_;
};

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(WebOptions options)
      : options_(std::move(options)), acceptor_(loop_), passwords_(options_.basic_auth) {
    if (!options_.certificate.empty()) tls_.emplace(options_);
    const tcp::endpoint endpoint(asio::ip::make_address(options_.address), options_.port);
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(asio::socket_base::reuse_address(true));
    acceptor_.bind(endpoint);
    acceptor_.listen();
  }

  ~Impl() {
    if (!thread_.joinable()) return;
    loop_.stop();
    thread_.join();
  }

  void start() {
    asio::co_spawn(loop_, accept(), asio::detached);
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "web-loop");
      loop_.run();
    });
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  // One connection. In waiting_ while it owes us a request: the longest wait goes first when
  // connections run out.
  struct Session {
    asio::cancellation_signal cancel;
    std::optional<std::list<Session*>::iterator> place;
  };

  asio::awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
      if (error) {  // out of descriptors, most likely: connections end and free some
        asio::steady_timer pause(loop_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
        continue;
      }
      if (connections_ >= options_.most_connections) {
        if (waiting_.empty()) continue;  // closes the new one
        Session* const oldest = waiting_.front();
        stop_waiting(*oldest);
        oldest->cancel.emit(asio::cancellation_type::terminal);
      }
      ++connections_;
      auto session = std::make_shared<Session>();
      asio::co_spawn(loop_, serve(session, std::move(socket)),
                     asio::bind_cancellation_slot(session->cancel.slot(),
                                                  [this, session](const std::exception_ptr&) {
                                                    stop_waiting(*session);
                                                    --connections_;
                                                  }));
    }
  }

  void start_waiting(Session& session) {
    session.place = waiting_.insert(waiting_.end(), &session);
  }
  void stop_waiting(Session& session) {
    if (session.place) waiting_.erase(*session.place);
    session.place.reset();
  }

  asio::awaitable<void> serve(std::shared_ptr<Session> session, tcp::socket socket) {
    beast::tcp_stream stream(std::move(socket));
    stream.socket().set_option(tcp::no_delay(true));
    if (!tls_) {
      co_await talk(*session, stream, stream);
      beast::error_code ignored;
      stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
      co_return;
    }
    const auto context = tls_->context();  // kept while the connection lives
    TlsStream tls(std::move(stream), *context);
    start_waiting(*session);
    beast::get_lowest_layer(tls).expires_after(options_.request_timeout);
    co_await tls.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
    stop_waiting(*session);
    co_await talk(*session, tls, beast::get_lowest_layer(tls));
    beast::get_lowest_layer(tls).expires_after(options_.request_timeout);
    co_await tls.async_shutdown(asio::as_tuple(asio::use_awaitable));
  }

  // Requests and responses until one side has had enough. Errors of the connection end it by
  // exception; they concern the client alone.
  template <class Stream>
  asio::awaitable<void> talk(Session& session, Stream& stream, beast::tcp_stream& lowest) {
    beast::flat_buffer buffer;
    for (bool first = true;; first = false) {
      http::request_parser<http::string_body> parser;
      parser.header_limit(static_cast<std::uint32_t>(options_.most_header_bytes));
      parser.body_limit(kMostBodyBytes);
      lowest.expires_after(first ? options_.request_timeout : options_.idle_timeout);
      start_waiting(session);
      const auto [error, size] =
          co_await http::async_read(stream, buffer, parser, asio::as_tuple(asio::use_awaitable));
      stop_waiting(session);
      if (error == http::error::header_limit) {
        co_await refuse(stream, lowest, http::status::request_header_fields_too_large);
        co_return;
      }
      if (error == http::error::body_limit) {
        co_await refuse(stream, lowest, http::status::payload_too_large);
        co_return;
      }
      if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
          error != http::error::end_of_stream && error != http::error::partial_message) {
        co_await refuse(stream, lowest, http::status::bad_request);
        co_return;
      }
      if (error) co_return;
      Response response = co_await answer(parser.get());
      lowest.expires_after(options_.response_timeout);
      const bool close = !response.keep_alive();
      http::serializer<false, Body> serializer(response);
      if (parser.get().method() == http::verb::head) {
        co_await http::async_write_header(stream, serializer, asio::use_awaitable);
      } else {
        co_await http::async_write(stream, serializer, asio::use_awaitable);
      }
      if (close) co_return;
    }
  }

  template <class Stream>
  asio::awaitable<void> refuse(Stream& stream, beast::tcp_stream& lowest, http::status status) {
    Response response(status, 11);
    response.keep_alive(false);
    response.body().text = std::string(to_view(http::obsolete_reason(status))) + '\n';
    response.prepare_payload();
    options_.on_request("other", static_cast<int>(status));
    lowest.expires_after(options_.request_timeout);
    co_await http::async_write(stream, response, asio::use_awaitable);
  }

  asio::awaitable<Response> answer(const http::request<http::string_body>& in) {
    const WebRequest request{to_view(in.method_string()), to_view(in.target()),
                             to_view(in[http::field::accept]),
                             to_view(in[http::field::accept_encoding])};
    WebResponse out;
    bool allowed = true;
    if (passwords_.required() && !is_health(request)) {
      allowed = co_await passwords_.accepts(std::string(to_view(in[http::field::authorization])));
    }
    if (!allowed) {
      out.status = 401;
      out.body = "Give a user and a password.\n";
      out.headers.emplace_back("WWW-Authenticate", "Basic realm=\"vitalsd\", charset=\"UTF-8\"");
    } else if (is_reload(options_, request)) {
      out = co_await reload();
    } else {
      out = respond(options_, request);
    }
    options_.on_request(out.route, out.status);
    Response response(static_cast<http::status>(out.status), in.version());
    response.set(http::field::content_type, beast::string_view(out.content_type));
    response.set(http::field::vary, "Accept, Accept-Encoding");
    response.set("X-Content-Type-Options", "nosniff");
    if (out.gzip) response.set(http::field::content_encoding, "gzip");
    for (const auto& [name, value] : out.headers) response.set(beast::string_view(name), value);
    response.keep_alive(in.keep_alive());
    response.body() = {std::move(out.body), std::move(out.page)};
    response.prepare_payload();
    co_return response;
  }

  // Waits for the daemon's answer, which comes from another thread; not for ever, as a probe loop
  // that stands still never gives one.
  asio::awaitable<WebResponse> reload() {
    struct Answer {
      explicit Answer(asio::io_context& loop) : arrived(loop) {}
      asio::steady_timer arrived;
      std::optional<std::pair<bool, std::string>> result;
    };
    const auto shared = std::make_shared<Answer>(loop_);
    shared->arrived.expires_after(options_.response_timeout);
    options_.reload([shared, &loop = loop_](bool worked, std::string text) {
      asio::post(loop, [shared, worked, text = std::move(text)]() mutable {
        shared->result.emplace(worked, std::move(text));
        shared->arrived.cancel();
      });
    });
    co_await shared->arrived.async_wait(asio::as_tuple(asio::use_awaitable));
    WebResponse response;
    response.route = "/-/reload";
    response.status = !shared->result ? 504 : shared->result->first ? 200 : 500;
    response.body = shared->result ? shared->result->second : "The probe loop does not answer.\n";
    co_return response;
  }

  WebOptions options_;
  asio::io_context loop_{1};
  tcp::acceptor acceptor_;
  Passwords passwords_;
  std::optional<ServerTls> tls_;
  std::size_t connections_ = 0;
  std::list<Session*> waiting_;
  std::thread thread_;
};

HttpServer::HttpServer(WebOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpServer::~HttpServer() = default;
void HttpServer::start() { impl_->start(); }
std::uint16_t HttpServer::port() const { return impl_->port(); }

}  // namespace vitalsd
