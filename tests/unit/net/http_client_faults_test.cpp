// Injects faults at each step of a request of the HTTP client.
#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "unit/support/http_script.hpp"
#include "unit/support/io_faults.hpp"
#include "unit/support/jobs.hpp"
#include "unit/support/stalled_job.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using test::Endings;
using test::Fault;
using test::TlsPhase;
using test::Wire;

enum class Kind : unsigned char {
  plain,   // one request over HTTP
  tls,     // one request over HTTPS
  kept,    // two requests on one connection
  stream,  // a streamed response over HTTPS
};
constexpr std::array kKinds = {Kind::plain, Kind::tls, Kind::kept, Kind::stream};

bool has_tls(Kind kind) { return kind == Kind::tls || kind == Kind::stream; }

// Reads a complete request. Each piece of the response is a separate step.
asio::awaitable<void> answer(Wire& wire) {
  co_await wire.receive_until("\r\n\r\n");
  co_await wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
  co_await wire.send("Content-Length: 11\r\n\r\n");
  co_await wire.send("hello ");
  co_await wire.send("world");
}

asio::awaitable<void> answer_twice(Wire& wire) {
  co_await answer(wire);
  co_await answer(wire);
}

asio::awaitable<void> answer_by_stream(Wire& wire) {
  co_await wire.receive_until("\r\n\r\n");
  co_await wire.send(test::http_stream());
  co_await wire.send(test::http_piece("hello "));
  co_await wire.send(test::http_piece("world"));
  co_await wire.send(test::http_stream_end());
}

asio::awaitable<std::string> get(HttpClient& client, std::uint16_t port, SampleSet& out) {
  HttpRequest request;
  request.url.scheme = "http";
  request.url.host = "127.0.0.1";
  request.url.port = port;
  const HttpResponse response = co_await client.perform(request, out);
  co_return response.body;
}

TEST(HttpClientDeadlineTest, TimesOutIfTheServerStopsResponding) {
  test::JobFixture fixture;
  ProbeServices services(fixture.loop, {});
  test::Peer peer(fixture.loop, &answer);
  constexpr std::size_t kBody = 4;
  const auto conversation = [&](std::uint16_t port, SampleSet& out) {
    return get(services.http, port, out);
  };
  EXPECT_EQ(test::run_with_stall(fixture, peer, kBody, conversation),
            "timeout: no response within 50ms while waiting for a response from 127.0.0.1:" +
                std::to_string(peer.port()));
}

class HttpClientFaults : public testing::TestWithParam<std::tuple<Fault, Kind>> {
 protected:
  static test::Peer::Script script(Kind kind) {
    if (kind == Kind::kept) return &answer_twice;
    return kind == Kind::stream ? &answer_by_stream : &answer;
  }

  HttpRequest request(std::uint16_t port) const {
    HttpRequest request;
    request.url.scheme = has_tls(kind_) ? "https" : "http";
    request.url.host = "127.0.0.1";
    request.url.port = port;
    request.url.path = "/";
    request.tls.ca = certificate_.certificate;
    request.tls.server_name = "peer";
    return request;
  }

  asio::awaitable<std::string> converse(std::uint16_t port, SampleSet& out) {
    if (kind_ == Kind::kept) return ask_twice(request(port), out);
    return ask(request(port), out);
  }
  asio::awaitable<std::string> ask(HttpRequest request, SampleSet& out) {
    std::string streamed;
    if (kind_ == Kind::stream) {
      request.on_data = [&streamed](std::string_view piece) {
        streamed += piece;
        return true;
      };
    }
    const HttpResponse response = co_await services_.http.perform(request, out);
    co_return std::to_string(response.status) + response.body + streamed;
  }
  // With a separate client, so that its idle connections are closed at the end.
  asio::awaitable<std::string> ask_twice(HttpRequest request, SampleSet& out) {
    HttpClient client(loop_, services_.wheel, services_.resolver, services_.tls);
    request.reuse_connection = true;
    const HttpResponse first = co_await client.perform(request, out);
    const HttpResponse second = co_await client.perform(request, out);
    co_return first.body + second.body;
  }

  // The allowed reasons for a fault.
  static Endings endings(Kind kind, Fault fault, TlsPhase phase) {
    if (fault == Fault::refuse) return {Reason::connect};
    Endings endings = {phase == TlsPhase::begins ? Reason::tls : Reason::protocol};
    // The RST may arrive before the client has noticed that it is connected.
    if (fault == Fault::reset && phase != TlsPhase::complete) endings.insert(Reason::connect);
    if (phase == TlsPhase::finishes) endings.insert(Reason::tls);
    // If a reused connection is closed without a response, libcurl retries with a new one.
    if (kind == Kind::kept) endings.insert(std::nullopt);
    return endings;
  }

  const Kind kind_ = std::get<Kind>(GetParam());
  test::Certificate certificate_ = test::make_certificate("peer");
  test::ServerContext context_ = test::server_context(certificate_);
  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  test::Peer peer_{loop_, script(kind_), has_tls(kind_) ? context_.get() : nullptr};
};

TEST_P(HttpClientFaults, AreReportedAtEachStep) {
  const Fault fault = std::get<Fault>(GetParam());
  const std::size_t stride = has_tls(kind_) && fault == Fault::cut ? 41 : 1;
  const auto conversation = [this](std::uint16_t port, SampleSet& out) {
    return converse(port, out);
  };
  const auto expected = [this](Fault what, TlsPhase phase) { return endings(kind_, what, phase); };
  const std::size_t steps = test::fail_each_step(peer_, fault, conversation, expected, stride);
  RecordProperty("steps", static_cast<int>(steps));
  // One connection accepted, one request read, four writes; the handshake has three steps.
  if (fault == Fault::cut) {
    EXPECT_GE(steps * stride, has_tls(kind_) ? 900U : 70U);
  } else if (fault != Fault::refuse) {
    EXPECT_GE(steps, has_tls(kind_) ? 9U : 6U);
  }
}

std::string case_name(const testing::TestParamInfo<std::tuple<Fault, Kind>>& info) {
  constexpr std::array<std::string_view, kKinds.size()> kNames = {"plain", "tls", "kept", "stream"};
  const auto kind = static_cast<std::size_t>(std::get<Kind>(info.param));
  return std::string(test::fault_name(std::get<Fault>(info.param))) + '_' +
         std::string(kNames.at(kind));
}
INSTANTIATE_TEST_SUITE_P(All, HttpClientFaults,
                         testing::Combine(testing::ValuesIn(test::kFaults),
                                          testing::ValuesIn(kKinds)),
                         case_name);

}  // namespace
}  // namespace vitalsd::net
