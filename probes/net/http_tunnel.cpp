#include "probes/net/http_tunnel.hpp"

#include "probes/error.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/net/http_secrets.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/tcp.hpp"

#include <charconv>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace vitalsd::net {
namespace {

// Reads no byte after the header: it is the first one of the target.
asio::awaitable<std::string> read_header(Stream& stream) {
  constexpr std::size_t kMaxSize = std::size_t{16} << 10;
  std::string header;
  while (!header.ends_with("\r\n\r\n")) {
    if (header.size() == kMaxSize) {
      throw ProbeError(Reason::protocol, "the response to CONNECT is too long");
    }
    char byte = 0;
    co_await stream.read_some(std::span(&byte, 1));
    header += byte;
  }
  co_return header;
}

// Throws ProbeError(protocol) if this is not the header of an HTTP/1 response.
long status_of(std::string_view header) {
  constexpr std::string_view kVersion = "HTTP/1.";
  const std::size_t at = kVersion.size() + 2;  // a digit and a space
  long status = 0;
  if (header.starts_with(kVersion) && header.size() > at + 3) {
    const char* const end = header.data() + at + 3;
    const auto [rest, error] = std::from_chars(header.data() + at, end, status);
    if (error == std::errc() && rest == end && status >= 100) return status;
  }
  throw ProbeError(Reason::protocol, "the response to CONNECT is not HTTP/1");
}

// Timeouts of its steps are internal: the state of the target is unknown.
asio::awaitable<Stream> connect_through(const Environment& environment, const config::Url& proxy,
                                        IpVersion ip, const std::string& request, SampleSet& out) {
  const config::Endpoint at{proxy.host, port_of(proxy)};
  out.doing("resolving the proxy " + at.host, Reason::internal);
  Addresses addresses = co_await environment.resolver.resolve(at.host, ip);
  out.doing("connecting to the proxy " + at.text(), Reason::internal);
  Stream stream(
      co_await connect(environment.loop, environment.wheel, std::move(addresses), at.port));
  out.doing("waiting for a response from the proxy " + at.text(), Reason::internal);
  co_await stream.write(request);
  const long status = status_of(co_await read_header(stream));
  if (status < 200 || status > 299) throw proxy_refusal(proxy, status);
  co_return stream;
}

}  // namespace

asio::awaitable<Stream> open_tunnel(const Environment& environment,
                                    const config::Endpoint& endpoint, const HttpRoute& route,
                                    SampleSet& out) {
  if (!route.proxy) co_return co_await open_stream(environment, endpoint, route.ip, nullptr, out);
  const config::Url& proxy = *route.proxy;
  std::string request = "CONNECT " + endpoint.text() + " HTTP/1.1\r\nHost: " + endpoint.text() +
                        "\r\nUser-Agent: vitalsd\r\n";
  if (!proxy.user.empty()) {
    const std::string password = co_await environment.files.read(route.proxy_password, out);
    const std::string credentials = basic_credentials(proxy.user, password);
    if (!password.empty()) out.conceal(credentials);
    request += "Proxy-Authorization: Basic " + credentials + "\r\n";
  }
  request += "\r\n";
  try {
    co_return co_await connect_through(environment, proxy, route.ip, request, out);
  } catch (const ProbeError& error) {
    throw proxy_failure(proxy, error);
  }
}

}  // namespace vitalsd::net
