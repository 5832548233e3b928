#include "probes/net/http_client.hpp"

#include "config/endpoint.hpp"
#include "probes/error.hpp"
#include "probes/net/curl_handle.hpp"
#include "probes/net/curl_multi.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/net/http_secrets.hpp"
#include "probes/net/http_transfer.hpp"
#include "probes/net/tcp.hpp"
#include "probes/net/within.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <string>
#include <utility>

namespace vitalsd::net {
std::uint16_t port_of(const config::Url& url) {
  if (url.port != 0) return url.port;
  return url.scheme == "https" ? 443 : 80;
}

config::Endpoint HttpRequest::peer() const {
  const config::Url& to = proxy ? *proxy : url;
  return {to.host, port_of(to)};
}

bool same_header(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

const std::string* HttpResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (same_header(key, name)) return &value;
  }
  return nullptr;
}

class HttpClient::Impl {
 public:
  Impl(asio::io_context& loop, TimerWheel& wheel, Resolver& resolver, TlsContexts& tls)
      : loop_(loop), wheel_(wheel), resolver_(resolver), tls_(tls), multi_(loop, wheel) {}

  asio::awaitable<HttpResponse> perform(const HttpRequest& request, RequestStage& stage,
                                        SampleSet& out);

 private:
  // Returns its handle to the pool when the request ends in any way.
  class PooledHandle {
   public:
    explicit PooledHandle(Impl& client) : client_(client), handle_(client.take_handle()) {}
    ~PooledHandle() { client_.return_handle(std::move(handle_)); }
    PooledHandle(const PooledHandle&) = delete;
    PooledHandle& operator=(const PooledHandle&) = delete;
    [[nodiscard]] CurlHandle& handle() const { return *handle_; }

   private:
    Impl& client_;
    std::unique_ptr<CurlHandle> handle_;
  };

  asio::awaitable<Addresses> resolve(const HttpRequest& request, const std::string& host);

  std::unique_ptr<CurlHandle> take_handle() {
    if (idle_.empty()) return std::make_unique<CurlHandle>();
    std::unique_ptr<CurlHandle> handle = std::move(idle_.back());
    idle_.pop_back();
    return handle;
  }
  void return_handle(std::unique_ptr<CurlHandle> handle) {
    constexpr std::size_t kMaxIdle = 64;  // 5 KB each
    if (idle_.size() < kMaxIdle) idle_.push_back(std::move(handle));
  }

  asio::io_context& loop_;
  TimerWheel& wheel_;
  Resolver& resolver_;
  TlsContexts& tls_;
  CurlMulti multi_;
  std::vector<std::unique_ptr<CurlHandle>> idle_;  // must be destroyed before multi_
};

asio::awaitable<Addresses> HttpClient::Impl::resolve(const HttpRequest& request,
                                                     const std::string& host) {
  if (request.limit.count() == 0 || config::is_address(host)) {
    co_return co_await resolver_.resolve(host, request.ip);
  }
  Addresses found;
  const auto resolve = [&]() -> asio::awaitable<void> {
    found = co_await resolver_.resolve(host, request.ip);
  };
  if (!co_await within(wheel_, request.limit, resolve())) {
    throw ProbeError(Reason::dns, host + ": not resolved within " +
                                      std::to_string(request.limit.count()) + " ms");
  }
  co_return found;
}

asio::awaitable<HttpResponse> HttpClient::Impl::perform(const HttpRequest& request,
                                                        RequestStage& stage, SampleSet& out) {
  const config::Endpoint endpoint = request.peer();
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  conceal_secrets(request, out);
  const std::string role = request.proxy ? "the proxy " : "";
  stage.doing("resolving " + role + endpoint.host);
  const auto resolving = Clock::now();
  Addresses addresses = co_await resolve(request, endpoint.host);
  const auto resolved = Clock::now();
  std::shared_ptr<asio::ssl::context> tls;
  if (request.url.scheme == "https") {
    out.doing("reading the files of tls", Reason::internal);
    tls = co_await tls_.client(request.tls);
  }
  SSL_CTX* const tls_context = tls ? tls->native_handle() : nullptr;
  const auto started = Clock::now();
  const auto limit_left = [&] {
    if (request.limit.count() == 0) return request.limit;
    const auto elapsed = Clock::now() - resolving;
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(request.limit - elapsed),
                    std::chrono::milliseconds(1));
  };
  HttpPhases before;
  before.resolve = Seconds(resolved - resolving).count();
  const std::string step = "waiting for a response from " + role + endpoint.text();
  const PooledHandle pooled(*this);
  if (addresses.size() > 1) {
    // libcurl keeps waiting for an address that does not respond. If the first address does not
    // respond, libcurl therefore gets an address that is known to respond.
    stage.doing(step);
    HttpTransfer transfer(request, pooled.handle(), multi_, tls_context, stage);
    transfer.prepare(addresses.front(), limit_left());
    transfer.limit_connecting(wheel_, kNextAddressDelay);
    const CURLcode code = co_await transfer.run();
    if (code != CURLE_COULDNT_CONNECT) co_return transfer.finish(code, before);
    stage.doing("connecting to " + role + endpoint.text());
    std::ranges::rotate(addresses, addresses.begin() + 1);
    const auto limit = request.connect_limit.count() > 0 ? request.connect_limit : limit_left();
    const auto socket = co_await connect(loop_, wheel_, addresses, endpoint.port, limit);
    boost::system::error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (!error) addresses = {peer.address()};
    before.connect = Seconds(Clock::now() - started).count();
  }
  stage.doing(step);
  HttpTransfer transfer(request, pooled.handle(), multi_, tls_context, stage);
  transfer.prepare(addresses.front(), limit_left());
  if (request.connect_limit.count() > 0) transfer.limit_connecting(wheel_, request.connect_limit);
  const CURLcode code = co_await transfer.run();
  co_return transfer.finish(code, before);
}

HttpClient::HttpClient(asio::io_context& loop, TimerWheel& wheel, Resolver& resolver,
                       TlsContexts& tls)
    : impl_(std::make_unique<Impl>(loop, wheel, resolver, tls)) {}
HttpClient::~HttpClient() = default;

asio::awaitable<HttpResponse> HttpClient::perform(const HttpRequest& request, SampleSet& out) {
  RequestStage stage(request, out);
  try {
    co_return co_await impl_->perform(request, stage, out);
  } catch (const ProbeError& error) {
    throw stage.judged(error);
  }
}

}  // namespace vitalsd::net
