// A scripted HTTP server for the tests of kind `http`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include <gtest/gtest.h>

namespace vitalsd::test {

/// A probe of kind `http` and a scripted server.
class HttpTest : public testing::Test {
 protected:
  using Answer = std::function<std::string(const HttpCall&)>;

  /// Reads one request per connection, because the probe sends only one.
  test::Conversation::Script script() {
    return [this](test::Line& line) -> asio::awaitable<void> {
      calls.push_back(co_await test::read_http(line));
      co_await line.write(answer(calls.back()));
    };
  }
  void answer_always(const std::string& bytes) {
    answer = [bytes](const HttpCall&) { return bytes; };
  }

  [[nodiscard]] std::string url(const std::string& target = "/") const {
    return "http://" + peer.endpoint() + target;
  }
  [[nodiscard]] static std::string quoted(const std::string& text) { return '\'' + text + '\''; }
  test::Observation observe(const std::string& more = "", const std::string& target = "/") {
    return fixture.observe("http", "url: " + quoted(url(target)) + more);
  }
  static std::string redirect(int status, const std::string& location) {
    return http_answer(status, "", "Location: " + location + "\r\n");
  }

  ProbeFixture fixture;
  Answer answer = [](const HttpCall&) { return http_answer(200, "hello"); };
  std::vector<HttpCall> calls;
  test::Conversation peer{fixture.loop, script()};
};

}  // namespace vitalsd::test
