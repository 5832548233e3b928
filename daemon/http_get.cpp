#include "daemon/http_get.hpp"

#include "config/problems.hpp"
#include "config/settings.hpp"
#include "daemon/log.hpp"
#include "probes/services.hpp"

#include <exception>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd {
namespace {

asio::awaitable<net::HttpResponse> perform(net::HttpClient& http, const net::HttpRequest& request,
                                           SampleSet& unused) {
  co_return co_await http.perform(request, unused);
}

}  // namespace

std::expected<config::Url, std::string> parse_http_url(const std::string& text) {
  auto url = config::Scalar<config::Url>::parse(text);
  if (!url) return std::unexpected(std::move(url.error()));
  if (url->scheme != "http" && url->scheme != "https") {
    return std::unexpected("the scheme must be http or https, not " + config::quoted(url->scheme));
  }
  return std::move(*url);
}

std::expected<net::HttpResponse, std::string> http_get(const net::HttpRequest& request) {
  log::configure({config::LogLevel::error, config::LogFormat::logfmt});
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  SampleSet unused;
  std::expected<net::HttpResponse, std::string> result = std::unexpected("no response");
  asio::co_spawn(loop, perform(services.http, request, unused),
                 [&](const std::exception_ptr& error, net::HttpResponse response) {
                   try {
                     if (error) std::rethrow_exception(error);
                     result = std::move(response);
                   } catch (const std::exception& e) {
                     result = std::unexpected(std::string(e.what()));
                   }
                   services.wheel.stop();
                   loop.stop();
                 });
  loop.run();
  services.wind_down();
  return result;
}

}  // namespace vitalsd
