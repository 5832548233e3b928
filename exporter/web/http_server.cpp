#include "exporter/web/http_server.hpp"

#include "exporter/web/connection.hpp"
#include "exporter/web/http_message.hpp"
#include "exporter/web/password.hpp"
#include "exporter/web/pushes.hpp"
#include "exporter/web/routes.hpp"
#include "exporter/web/spare_descriptors.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <optional>
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
#include <boost/beast/http/status.hpp>
#include <pthread.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr std::size_t kMaxBodyBytes = 1024;  // for a request that is not passed to a probe
constexpr std::size_t kLargePage = std::size_t{1} << 20;
constexpr std::string_view kPushRoute = "/push";
constexpr const char* kBusy = "Too many passwords are being checked.\n";

std::string_view to_view(beast::string_view text) { return {text.data(), text.size()}; }

WebResponse busy(std::string text) {
  WebResponse response;
  response.status = 503;
  response.body = std::move(text);
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(WebOptions options)
      : options_(std::move(options)), acceptor_(loop_), passwords_(options_.basic_auth) {
    if (!options_.certificate.empty()) tls_.emplace(loop_, options_);
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
    start_accepting();
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "web-loop");
      loop_.run();
    });
  }

  void set_routes(std::vector<WebRoute> routes) {
    asio::post(loop_,
               [this, routes = std::move(routes)]() mutable { pushes_.set(std::move(routes)); });
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] bool checks_passwords() const { return passwords_.busy(); }

 private:
  // One connection. It is always in one of the queues, so that it can be cancelled when a new
  // connection needs its place.
  struct Session {
    asio::cancellation_signal cancel;
    std::list<Session*>* queue = nullptr;
    std::list<Session*>::iterator position;
    std::chrono::steady_clock::time_point queued_at;
  };
  using Queue = std::list<Session*>;

  // Restarts the accept loop after an exception: a connection may fail because no memory is free,
  // and the next one may succeed.
  void start_accepting() {
    asio::co_spawn(loop_, accept(), [this](const std::exception_ptr& error) {
      if (error) start_accepting();
    });
  }

  asio::awaitable<void> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
      if (error == asio::error::no_descriptors && spare_.release_one()) continue;
      if (error) {  // most likely no descriptor is free until a connection ends
        asio::steady_timer pause(loop_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
        continue;
      }
      // If no connection can be cancelled, `socket` is closed.
      if (connections_ >= options_.max_connections && !cancel_oldest()) continue;
      ++connections_;
      auto session = std::make_shared<Session>();
      enqueue(*session, waiting_);
      asio::co_spawn(loop_, serve(session, std::move(socket)),
                     asio::bind_cancellation_slot(session->cancel.slot(),
                                                  [this, session](const std::exception_ptr&) {
                                                    dequeue(*session);
                                                    --connections_;
                                                    spare_.refill();
                                                  }));
    }
  }

  static void enqueue(Session& session, Queue& queue) {
    dequeue(session);
    session.queue = &queue;
    session.position = queue.insert(queue.end(), &session);
    session.queued_at = std::chrono::steady_clock::now();
  }
  static void dequeue(Session& session) {
    if (session.queue != nullptr) session.queue->erase(session.position);
    session.queue = nullptr;
  }

  static void cancel(Session& session) {
    dequeue(session);
    session.cancel.emit(asio::cancellation_type::terminal);
  }

  // Cancels the oldest connection of the first queue that is not empty. The queues are sorted by
  // the cost of a cancellation for the client. Returns false if all queues are empty.
  bool cancel_oldest() {
    for (Queue* const queue : {&waiting_, &large_pages_, &answering_, &sending_}) {
      if (queue->empty()) continue;
      cancel(*queue->front());
      return true;
    }
    return false;
  }

  // Makes room for another large page; returns false if that is not possible. Cancels connections
  // that have been sending one for `slow_page` or longer, because each of them keeps its page in
  // memory. Younger connections are not cancelled: when many clients scrape at once, up to
  // kBurst * `max_large_pages` connections may send a large page at the same time.
  bool make_room_for_page() {
    constexpr std::size_t kBurst = 4;
    const auto slow = std::chrono::steady_clock::now() - options_.slow_page;
    while (large_pages_.size() >= options_.max_large_pages &&
           large_pages_.front()->queued_at <= slow) {
      cancel(*large_pages_.front());
    }
    return large_pages_.size() < kBurst * options_.max_large_pages;
  }

  asio::awaitable<void> serve(std::shared_ptr<Session> session, tcp::socket socket) {
    ServerTls::Context context;
    if (tls_) context = co_await tls_->context();
    Connection connection(std::move(socket), std::move(context));
    if (tls_) {
      connection.expires_after(options_.request_timeout);
      co_await connection.handshake();
    }
    co_await handle_requests(*session, connection);
    enqueue(*session, waiting_);
    connection.expires_after(options_.request_timeout);
    co_await connection.shutdown();
  }

  // Answers requests until the client or the server ends the connection. Throws for an error of the
  // connection, which ends only this session.
  asio::awaitable<void> handle_requests(Session& session, Connection& connection) {
    beast::flat_buffer buffer;
    for (bool first = true;; first = false) {
      HttpParser parser;
      parser.header_limit(static_cast<std::uint32_t>(options_.max_header_bytes));
      connection.expires_after(first ? options_.request_timeout : options_.idle_timeout);
      enqueue(session, waiting_);
      http::status received = co_await read_header(connection, buffer, parser);
      std::optional<Pushes::Match> push;
      std::optional<WebResponse> refusal;
      bool has_ended = false;
      if (received == http::status::ok) {
        push = pushes_.find(to_request(parser.get()));
        if (push) {
          enqueue(session, answering_);
          refusal = co_await judge(parser.get(), *push);
          enqueue(session, waiting_);
          connection.expires_after(options_.request_timeout);
        }
        // The next request follows the body of a request that is refused. A large one is not read,
        // so that only clients with the token can fill the memory.
        received = co_await read_body(connection, buffer, parser,
                                      push && !refusal ? push->max_body : kMaxBodyBytes);
        has_ended = refusal && received == http::status::payload_too_large;
        if (has_ended) received = http::status::ok;
      }
      if (received == http::status::unknown) co_return;
      if (received != http::status::ok) {
        connection.expires_after(options_.request_timeout);
        WebResponse error = refuse(received);
        format_error(to_view(parser.get().target()), error);
        co_await write_response(connection, error, {});
        co_return;
      }
      const HttpRequest& request = parser.get();
      enqueue(session, answering_);
      WebResponse response;
      if (refusal) {
        response = std::move(*refusal);
      } else if (push) {
        response = co_await forward(std::move(push->push), request);
      } else {
        response = co_await answer(request);
      }
      const bool large = body_size(response) > kLargePage;
      if (large && !make_room_for_page()) response = busy("Too many pages are being sent.\n");
      format_error(to_view(request.target()), response);
      enqueue(session, large ? large_pages_ : sending_);
      options_.on_request(response.route, response.status);
      connection.expires_after(options_.response_timeout);
      const ResponseFormat format{.version = request.version(),
                                  .keep_alive = request.keep_alive() && !has_ended,
                                  .with_body = request.method() != http::verb::head};
      co_await write_response(connection, response, format);
      if (!format.keep_alive) co_return;
    }
  }

  [[nodiscard]] WebResponse refuse(http::status status) const {
    WebResponse response;
    response.status = static_cast<int>(status);
    response.body = std::string(to_view(http::obsolete_reason(status))) + '\n';
    options_.on_request(response.route, response.status);
    return response;
  }

  static WebRequest to_request(const HttpRequest& in) {
    return {to_view(in.method_string()), to_view(in.target()), to_view(in[http::field::accept]),
            to_view(in[http::field::accept_encoding])};
  }

  asio::awaitable<Passwords::Verdict> check_password(std::string_view authorization) {
    if (!passwords_.required()) co_return Passwords::Verdict::accepted;
    co_return co_await passwords_.check(std::string(authorization));
  }

  asio::awaitable<WebResponse> answer(const HttpRequest& in) {
    const WebRequest request = to_request(in);
    if (!is_health(request)) {
      const auto verdict = co_await check_password(to_view(in[http::field::authorization]));
      if (verdict == Passwords::Verdict::busy) co_return busy(kBusy);
      if (verdict != Passwords::Verdict::accepted) co_return unauthorized();
    }
    if (is_reload(options_, request)) co_return co_await reload();
    co_return respond(options_, request);
  }

  // The response to a request for a probe that is not accepted.
  asio::awaitable<std::optional<WebResponse>> judge(const HttpRequest& in,
                                                    const Pushes::Match& push) {
    const std::string_view authorization = to_view(in[http::field::authorization]);
    std::optional<std::string> token;  // replaces the password
    auto verdict = Passwords::Verdict::accepted;
    if (auto read = pushes_.token_of(push.route)) {
      if (auto kept = pushes_.kept_token(push.route, std::chrono::steady_clock::now())) {
        token = std::move(*kept);
      } else {
        auto result = co_await result_of<bool>(options_.request_timeout, std::move(read));
        if (result && result->first) token = std::move(result->second);
        pushes_.keep_token(push.route, token);
      }
      if (!token) {
        co_return unavailable("The token of this route cannot be read; the log has the reason.\n",
                              kPushRoute);
      }
    } else {
      verdict = co_await check_password(authorization);
      if (verdict == Passwords::Verdict::busy) co_return busy(kBusy);
    }
    co_return pushes_.judge(push.route, token, to_view(in.method_string()), authorization,
                            verdict == Passwords::Verdict::accepted,
                            std::chrono::steady_clock::now());
  }

  // Passes a request on to its probe. A standby has no probes.
  asio::awaitable<WebResponse> forward(WebPush push, const HttpRequest& in) {
    if (!is_leader(options_)) {
      co_return unavailable("This replica is on standby: retry, another one is the leader.\n",
                            kPushRoute);
    }
    push.content_type = to_view(in[http::field::content_type]);
    push.content_encoding = to_view(in[http::field::content_encoding]);
    push.body = in.body();
    auto answer = co_await result_of<int>(options_.request_timeout, [&](auto done) {
      options_.push(std::move(push), std::move(done));
    });
    if (!answer || answer->first == static_cast<int>(http::status::service_unavailable)) {
      co_return unavailable(answer ? std::move(answer->second)
                                   : "There is no answer yet: the request may have an effect.\n",
                            kPushRoute);
    }
    WebResponse response;
    response.route = kPushRoute;
    response.status = answer->first;
    response.body = std::move(answer->second);
    co_return response;
  }

  // Starts a call that ends on another thread with a value and a text, and waits for both. Returns
  // nothing after `timeout`, because a probe loop that hangs never calls back.
  template <class Value, class Start>
  asio::awaitable<std::optional<std::pair<Value, std::string>>> result_of(
      std::chrono::milliseconds timeout, Start start) {
    struct Result {
      explicit Result(asio::io_context& loop) : arrived(loop) {}
      asio::steady_timer arrived;
      std::optional<std::pair<Value, std::string>> value;
    };
    const auto shared = std::make_shared<Result>(loop_);
    shared->arrived.expires_after(timeout);
    // The daemon may call the callback, or destroy it, after this server is destroyed.
    start([weak = std::weak_ptr(shared), &loop = loop_](Value value, std::string text) {
      const auto shared = weak.lock();
      if (!shared) return;
      asio::post(loop, [shared, value, text = std::move(text)]() mutable {
        shared->value.emplace(value, std::move(text));
        shared->arrived.cancel();
      });
    });
    co_await shared->arrived.async_wait(asio::as_tuple(asio::use_awaitable));
    co_return std::move(shared->value);
  }

  asio::awaitable<WebResponse> reload() {
    auto result = co_await result_of<bool>(options_.response_timeout,
                                           [&](auto done) { options_.reload(std::move(done)); });
    WebResponse response;
    response.route = "/-/reload";
    response.status = !result ? 504 : result->first ? 200 : 500;
    response.body = result ? std::move(result->second)
                           : "The reload has no result yet: the probe loop does not respond.\n";
    co_return response;
  }

  WebOptions options_;
  asio::io_context loop_{1};
  tcp::acceptor acceptor_;
  SpareDescriptors spare_;
  Passwords passwords_;
  Pushes pushes_;
  std::optional<ServerTls> tls_;
  std::size_t connections_ = 0;
  Queue waiting_;      // handshake, waiting for a request, or shutdown
  Queue answering_;    // password check, token, reload, push, or the page being built
  Queue large_pages_;  // sending a page of more than 1 MiB
  Queue sending_;      // sending any other response
  std::thread thread_;
};

HttpServer::HttpServer(WebOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpServer::~HttpServer() = default;
void HttpServer::start() { impl_->start(); }
void HttpServer::set_routes(std::vector<WebRoute> routes) { impl_->set_routes(std::move(routes)); }
std::uint16_t HttpServer::port() const { return impl_->port(); }
bool HttpServer::checks_passwords() const { return impl_->checks_passwords(); }

}  // namespace vitalsd
