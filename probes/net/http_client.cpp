#include "probes/net/http_client.hpp"

#include "probes/net/curl_multi.hpp"
#include "probes/net/http_transfer.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <utility>

namespace vitalsd::net {

std::uint16_t port_of(const config::Url& url) {
  if (url.port != 0) return url.port;
  return url.scheme == "https" ? 443 : 80;
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
      : resolver_(resolver), tls_(tls), multi_(loop, wheel) {}

  asio::awaitable<HttpResponse> perform(const HttpRequest& request, SampleSet& out);

 private:
  // A handle that goes back to the others, whatever ends the request.
  class Lease {
   public:
    explicit Lease(Impl& client) : client_(client), handle_(client.take_handle()) {}
    ~Lease() { client_.give_back(std::move(handle_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    [[nodiscard]] CurlHandle& handle() const { return *handle_; }

   private:
    Impl& client_;
    std::unique_ptr<CurlHandle> handle_;
  };

  std::unique_ptr<CurlHandle> take_handle() {
    if (idle_.empty()) return std::make_unique<CurlHandle>();
    std::unique_ptr<CurlHandle> handle = std::move(idle_.back());
    idle_.pop_back();
    return handle;
  }
  void give_back(std::unique_ptr<CurlHandle> handle) {
    constexpr std::size_t kMaxIdle = 64;  // 5 KB each
    if (idle_.size() < kMaxIdle) idle_.push_back(std::move(handle));
  }

  Resolver& resolver_;
  TlsContexts& tls_;
  CurlMulti multi_;
  std::vector<std::unique_ptr<CurlHandle>> idle_;  // for reuse; they go before the multi
};

asio::awaitable<HttpResponse> HttpClient::Impl::perform(const HttpRequest& request,
                                                        SampleSet& out) {
  const config::Endpoint endpoint{request.url.host, port_of(request.url)};
  const auto began = std::chrono::steady_clock::now();
  out.conceal(request.password);
  out.conceal(request.bearer);
  if (request.aws) out.conceal(request.aws->secret_key);
  out.doing("resolving " + endpoint.host);
  const Addresses addresses = co_await resolver_.resolve(endpoint.host);
  const std::chrono::duration<double> resolving = std::chrono::steady_clock::now() - began;
  out.doing("waiting for an answer from " + endpoint.text());

  const Lease lease(*this);
  HttpTransfer transfer(request, lease.handle(), multi_, tls_);
  transfer.prepare(addresses);
  const CURLcode code = co_await transfer.run();
  co_return transfer.take(code, resolving.count());
}

HttpClient::HttpClient(asio::io_context& loop, TimerWheel& wheel, Resolver& resolver,
                       TlsContexts& tls)
    : impl_(std::make_unique<Impl>(loop, wheel, resolver, tls)) {}
HttpClient::~HttpClient() = default;

asio::awaitable<HttpResponse> HttpClient::perform(const HttpRequest& request, SampleSet& out) {
  return impl_->perform(request, out);
}

}  // namespace vitalsd::net
