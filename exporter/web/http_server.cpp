#include "exporter/web/http_server.hpp"

#include "exporter/web/connection.hpp"
#include "exporter/web/password.hpp"
#include "exporter/web/routes.hpp"
#include "exporter/web/spare_descriptors.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
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
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/read_size.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <pthread.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Request = http::request<http::string_body>;
using Parser = http::request_parser<http::string_body>;

constexpr std::size_t kMaxBodyBytes = 1024;  // no route reads one
constexpr std::size_t kLargePage = std::size_t{1} << 20;
constexpr std::size_t kChunk = std::size_t{64} << 10;  // of what is read or sent at once

std::string_view to_view(beast::string_view text) { return {text.data(), text.size()}; }

// How a response goes to the client.
struct Manner {
  unsigned version = 11;  // of HTTP, as Beast counts
  bool keep_alive = false;
  bool with_body = true;
};

// Status line and headers, with the empty line behind them.
std::string head_of(const WebResponse& response, std::size_t size, Manner manner) {
  const std::string_view reason =
      to_view(http::obsolete_reason(static_cast<http::status>(response.status)));
  std::string head = manner.version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  ((head += std::to_string(response.status)) += ' ') += reason;
  const auto field = [&](std::string_view name, std::string_view value) {
    (((head += "\r\n") += name) += ": ") += value;
  };
  field("Content-Type", response.content_type);
  field("Vary", "Accept, Accept-Encoding");
  field("X-Content-Type-Options", "nosniff");
  if (response.gzip) field("Content-Encoding", "gzip");
  for (const auto& [name, value] : response.headers) field(name, value);
  if (manner.version == 10 && manner.keep_alive) field("Connection", "keep-alive");
  if (manner.version != 10 && !manner.keep_alive) field("Connection", "close");
  field("Content-Length", std::to_string(size));
  return head += "\r\n\r\n";
}

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

bool expects_continue(const Request& request) {
  return request.version() != 10 && beast::iequals(request[http::field::expect], "100-continue");
}

// Of which two servers in a row may not think the same, so that one of them takes for a request
// what the other one takes for a body.
http::status judge_header(const Request& request) {
  const bool is_http10 = request.version() == 10;
  const std::size_t hosts = request.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && !is_http10)) return http::status::bad_request;
  const std::size_t encodings = request.count(http::field::transfer_encoding);
  if (encodings > 0) {
    if (is_http10 || request.count(http::field::content_length) > 0) {
      return http::status::bad_request;
    }
    if (encodings > 1 || !beast::iequals(request[http::field::transfer_encoding], "chunked")) {
      return http::status::not_implemented;
    }
  }
  if (request.count(http::field::expect) > 0 && !is_http10 && !expects_continue(request)) {
    return http::status::expectation_failed;
  }
  return http::status::ok;
}

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
    accept_for_ever();
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "web-loop");
      loop_.run();
    });
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] bool checks_passwords() const { return passwords_.busy(); }

 private:
  // One connection. At all times it stands in one of the queues, so that whoever does not get on
  // can be given up where its place is needed.
  struct Session {
    asio::cancellation_signal cancel;
    std::list<Session*>* queue = nullptr;
    std::list<Session*>::iterator place;
    std::chrono::steady_clock::time_point since;  // it stands there
  };
  using Queue = std::list<Session*>;

  // Memory may be short for one connection, and is there again for the next.
  void accept_for_ever() {
    asio::co_spawn(loop_, accept(), [this](const std::exception_ptr& error) {
      if (error) accept_for_ever();
    });
  }

  asio::awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
      if (error == asio::error::no_descriptors && spare_.release_one()) continue;
      if (error) {  // most likely for want of descriptors: connections end and free some
        asio::steady_timer pause(loop_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
        continue;
      }
      if (connections_ >= options_.max_connections && !give_up_one()) continue;  // closes it
      ++connections_;
      auto session = std::make_shared<Session>();
      enter(*session, waiting_);
      asio::co_spawn(loop_, serve(session, std::move(socket)),
                     asio::bind_cancellation_slot(session->cancel.slot(),
                                                  [this, session](const std::exception_ptr&) {
                                                    leave(*session);
                                                    --connections_;
                                                    spare_.refill();
                                                  }));
    }
  }

  static void enter(Session& session, Queue& queue) {
    leave(session);
    session.queue = &queue;
    session.place = queue.insert(queue.end(), &session);
    session.since = std::chrono::steady_clock::now();
  }
  static void leave(Session& session) {
    if (session.queue != nullptr) session.queue->erase(session.place);
    session.queue = nullptr;
  }

  static void give_up(Session& session) {
    leave(session);
    session.cancel.emit(asio::cancellation_type::terminal);
  }

  // The one that has stood longest where it costs its client least.
  bool give_up_one() {
    for (Queue* const queue : {&waiting_, &large_pages_, &answering_, &sending_}) {
      if (queue->empty()) continue;
      give_up(*queue->front());
      return true;
    }
    return false;
  }

  // Clients that read slowly keep the page of their scrape in memory: they are given up for others,
  // but not those of which many ask in the same moment.
  bool make_room_for_page() {
    constexpr std::size_t kMoment = 4;  // times as many
    const auto slow = std::chrono::steady_clock::now() - options_.slow_page;
    while (large_pages_.size() >= options_.max_large_pages && large_pages_.front()->since <= slow) {
      give_up(*large_pages_.front());
    }
    return large_pages_.size() < kMoment * options_.max_large_pages;
  }

  asio::awaitable<void> serve(std::shared_ptr<Session> session, tcp::socket socket) {
    Connection connection(std::move(socket), tls_ ? tls_->context() : nullptr);
    if (tls_) {
      connection.expires_after(options_.request_timeout);
      co_await connection.handshake();
    }
    co_await talk(*session, connection);
    enter(*session, waiting_);
    connection.expires_after(options_.request_timeout);
    co_await connection.shutdown();
  }

  // Requests and responses until one side has had enough. Errors of the connection end it by
  // exception; they concern the client alone.
  asio::awaitable<void> talk(Session& session, Connection& connection) {
    beast::flat_buffer buffer;
    for (bool first = true;; first = false) {
      Parser parser;
      parser.header_limit(static_cast<std::uint32_t>(options_.max_header_bytes));
      parser.body_limit(kMaxBodyBytes);
      connection.expires_after(first ? options_.request_timeout : options_.idle_timeout);
      enter(session, waiting_);
      const http::status received = co_await receive(connection, buffer, parser);
      if (received == http::status::unknown) co_return;
      if (received != http::status::ok) {
        connection.expires_after(options_.request_timeout);
        const WebResponse refusal = refuse(received);
        co_await send(connection, refusal, {});
        co_return;
      }
      const Request& request = parser.get();
      enter(session, answering_);
      WebResponse response = co_await answer(request);
      const bool large = size_of(response) > kLargePage;
      if (large && !make_room_for_page()) response = busy("Too many pages are being sent.\n");
      enter(session, large ? large_pages_ : sending_);
      options_.on_request(response.route, response.status);
      connection.expires_after(options_.response_timeout);
      const Manner manner{.version = request.version(),
                          .keep_alive = request.keep_alive(),
                          .with_body = request.method() != http::verb::head};
      co_await send(connection, response, manner);
      if (!manner.keep_alive) co_return;
    }
  }

  static std::size_t size_of(const WebResponse& response) {
    return response.page ? response.page->size() : response.body.size();
  }

  static WebResponse busy(std::string text) {
    WebResponse response;
    response.status = 503;
    response.body = std::move(text);
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }

  // Reads one request. Not `ok`: what to refuse it with, or `unknown` where the connection has
  // ended. What belongs to the next request stays in the buffer.
  static asio::awaitable<http::status> receive(Connection& connection, beast::flat_buffer& buffer,
                                               Parser& parser) {
    parser.eager(true);
    bool looked_at_header = false;
    for (beast::error_code error;;) {
      if (buffer.size() > 0) {
        buffer.consume(parser.put(buffer.data(), error));
        if (error == http::error::header_limit) {
          co_return http::status::request_header_fields_too_large;
        }
        if (error == http::error::body_limit) co_return http::status::payload_too_large;
        if (error && error != http::error::need_more) co_return http::status::bad_request;
        if (parser.is_header_done() && !std::exchange(looked_at_header, true)) {
          const http::status verdict = judge_header(parser.get());
          if (verdict != http::status::ok) co_return verdict;
          if (!parser.is_done() && expects_continue(parser.get())) {
            co_await connection.write(asio::buffer(kContinue));
          }
        }
        if (parser.is_done()) co_return http::status::ok;
      }
      const std::size_t max = beast::read_size(buffer, kChunk);
      buffer.commit(co_await connection.read_some(buffer.prepare(max), error));
      if (error) co_return http::status::unknown;
    }
  }

  // Of a page a connection holds only as much as it sends at once, so that neither many scrapers
  // nor slow ones cost a copy of it each.
  static asio::awaitable<void> send(Connection& connection, const WebResponse& response,
                                    Manner manner) {
    const std::string_view text = response.body;
    std::span<const std::string_view> pieces(&text, 1);
    if (response.page) pieces = response.page->pieces();
    const std::size_t size = size_of(response);
    std::string chunk = head_of(response, size, manner);
    if (manner.with_body) {
      chunk.reserve(std::min(kChunk, chunk.size() + size));
      for (std::string_view piece : pieces) {
        while (!piece.empty()) {
          if (chunk.size() == kChunk) {
            co_await connection.write(asio::buffer(chunk));
            chunk.clear();
          }
          const std::string_view now = piece.substr(0, kChunk - chunk.size());
          chunk += now;
          piece.remove_prefix(now.size());
        }
      }
    }
    co_await connection.write(asio::buffer(chunk));
  }

  [[nodiscard]] WebResponse refuse(http::status status) const {
    WebResponse response;
    response.status = static_cast<int>(status);
    response.body = std::string(to_view(http::obsolete_reason(status))) + '\n';
    options_.on_request(response.route, response.status);
    return response;
  }

  asio::awaitable<WebResponse> answer(const Request& in) {
    const WebRequest request{to_view(in.method_string()), to_view(in.target()),
                             to_view(in[http::field::accept]),
                             to_view(in[http::field::accept_encoding])};
    if (passwords_.required() && !is_health(request)) {
      const Passwords::Verdict verdict =
          co_await passwords_.check(std::string(to_view(in[http::field::authorization])));
      if (verdict == Passwords::Verdict::busy) {
        co_return busy("Too many passwords are being checked.\n");
      }
      if (verdict == Passwords::Verdict::refused) co_return unauthorized();
    }
    if (is_reload(options_, request)) co_return co_await reload();
    co_return respond(options_, request);
  }

  static WebResponse unauthorized() {
    WebResponse response;
    response.status = 401;
    response.body = "Give a user and a password.\n";
    response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"vitalsd\", charset=\"UTF-8\"");
    return response;
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
    // The daemon may answer, or let go of the callback, when this server is gone.
    options_.reload([weak = std::weak_ptr(shared), &loop = loop_](bool worked, std::string text) {
      const auto shared = weak.lock();
      if (!shared) return;
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
  SpareDescriptors spare_;
  Passwords passwords_;
  std::optional<ServerTls> tls_;
  std::size_t connections_ = 0;
  Queue waiting_;      // for the client's request
  Queue answering_;    // of which others make the answer: a thread, the probe loop
  Queue large_pages_;  // on their way to the client
  Queue sending_;      // other answers on their way
  std::thread thread_;
};

HttpServer::HttpServer(WebOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpServer::~HttpServer() = default;
void HttpServer::start() { impl_->start(); }
std::uint16_t HttpServer::port() const { return impl_->port(); }
bool HttpServer::checks_passwords() const { return impl_->checks_passwords(); }

}  // namespace vitalsd
