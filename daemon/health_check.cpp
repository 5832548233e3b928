#include "daemon/health_check.hpp"

#include "config/scalar.hpp"
#include "daemon/app.hpp"
#include "daemon/log.hpp"
#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <chrono>
#include <cstdio>
#include <exception>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd {
namespace {

// The web thread of the daemon does no slow work, so a longer timeout would not help.
constexpr std::chrono::seconds kTimeout{5};

// Returns the problem; empty if the daemon is healthy.
asio::awaitable<std::string> request_health(net::HttpClient& http, const config::Url& url) {
  net::HttpRequest request;
  request.url = url;
  request.tls.verify = false;
  request.limit = kTimeout;
  SampleSet unused;
  const net::HttpResponse response = co_await http.perform(request, unused);
  constexpr int kOk = 200;
  if (response.status == kOk) co_return "";
  const std::string_view body(response.body);
  co_return "status " + std::to_string(response.status) + ": " +
      std::string(body.substr(0, body.find('\n')));
}

}  // namespace

int check_health(const std::string& url) {
  const auto parsed = config::Scalar<config::Url>::parse(url);
  if (!parsed) {
    std::fprintf(stderr, "--url: %s\n", parsed.error().c_str());
    return static_cast<int>(Exit::config);
  }
  log::configure({config::LogLevel::error, config::LogFormat::logfmt});
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  std::string problem = "no response";
  asio::co_spawn(loop, request_health(services.http, *parsed),
                 [&](const std::exception_ptr& error, const std::string& result) {
                   problem = result;
                   try {
                     if (error) std::rethrow_exception(error);
                   } catch (const std::exception& e) {
                     problem = e.what();
                   }
                   services.wheel.stop();
                   loop.stop();
                 });
  loop.run();
  services.wind_down();
  if (problem.empty()) return 0;
  std::fprintf(stderr, "%s: %s\n", url.c_str(), problem.c_str());
  return static_cast<int>(Exit::failure);
}

}  // namespace vitalsd
