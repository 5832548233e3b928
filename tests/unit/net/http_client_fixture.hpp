// An HTTP client that sends single requests to servers of a test.
#pragma once

#include "probes/error.hpp"
#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <cstdint>
#include <string>

#include "unit/support/loop.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd::test {

class HttpClientTest : public testing::Test {
 protected:
  ~HttpClientTest() override {
    services.wheel.stop();
    services.wind_down();
  }

  static net::HttpRequest request(const std::string& scheme, const std::string& host,
                                  std::uint16_t port) {
    net::HttpRequest request;
    request.url.scheme = scheme;
    request.url.host = host;
    request.url.port = port;
    request.url.path = "/";
    return request;
  }
  // The body, or the reason and the text of the error.
  std::string ask(const net::HttpRequest& request) {
    Task<std::string> task(loop, converse(request));
    return task.get();
  }

  boost::asio::io_context loop{1};
  ProbeServices services{loop, {}};
  SampleSet out;  // of the last run

 private:
  boost::asio::awaitable<std::string> converse(const net::HttpRequest& request) {
    out = SampleSet();
    try {
      const net::HttpResponse response = co_await services.http.perform(request, out);
      co_return response.body;
    } catch (const ProbeError& error) {
      co_return std::string(reason_name(error.reason())) + ": " + error.what();
    }
  }
};

}  // namespace vitalsd::test
