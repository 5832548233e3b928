#include "probes/net/unix_socket.hpp"

#include "probes/error.hpp"

#include <cstddef>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <sys/un.h>

namespace vitalsd::net {

void check_unix(config::Node& options, const std::string& path) {
  constexpr std::size_t kMaxSize = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kMaxSize) {
    options.error("url", "the path of the socket is longer than " + std::to_string(kMaxSize) +
                             " bytes: " + path);
  }
  if (options.has("tls")) options.error("tls", "a Unix socket has no TLS");
}

Reason unix_reason(const boost::system::error_code& error) {
  return error == boost::system::errc::permission_denied ? Reason::config : Reason::connect;
}

asio::awaitable<asio::generic::stream_protocol::socket> connect_unix(const Environment& environment,
                                                                     const std::string& path,
                                                                     SampleSet& out) {
  out.doing("connecting to " + path);
  asio::local::stream_protocol::socket socket(environment.loop);
  const auto [error] = co_await socket.async_connect(asio::local::stream_protocol::endpoint(path),
                                                     asio::as_tuple(asio::use_awaitable));
  if (error) fail_with(unix_reason(error), path, error);
  co_return socket;
}

}  // namespace vitalsd::net
