// The HTTP client and HTTP/2: version negotiation, and servers that flood the client with frames.
#include "probes/error.hpp"
#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "unit/net/http_client_fixture.hpp"
#include "unit/support/certificate.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/tls_server.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;

std::string frame(unsigned char type, unsigned char flags, unsigned char stream,
                  std::string_view payload = "") {
  std::string out = {
      0, 0, static_cast<char>(payload.size()), static_cast<char>(type), static_cast<char>(flags), 0,
      0, 0, static_cast<char>(stream)};
  return out.append(payload);
}

constexpr unsigned char kData = 0;
constexpr unsigned char kHeaders = 1;
constexpr unsigned char kPriority = 2;
constexpr unsigned char kSettings = 4;
constexpr unsigned char kWindowUpdate = 8;
constexpr unsigned char kUnknown = 0xee;
constexpr unsigned char kPadded = 8;  // a flag

// Reads the client's data up to its request. Returns false if the client has closed the connection.
bool read_request(test::TlsLine& line) {
  constexpr std::size_t kPreface = 24;
  constexpr std::size_t kFrameHead = 9;
  std::string all;
  for (std::size_t at = kPreface;;) {
    while (all.size() < at + kFrameHead) {
      const std::string piece = line.read();
      if (piece.empty()) return false;
      all += piece;
    }
    if (all[at + 3] == kHeaders) return true;
    at += kFrameHead + static_cast<unsigned char>(all[at + 2]);
  }
}

const std::string kFlooded =
    "protocol: the server keeps sending data that is not part of the response";
// Longer than the test waits for the client, so that only the client can end the flood earlier.
constexpr auto kMaxFlood = 12s;

struct Flood {
  std::string name;
  std::string frame;
};

class HttpClientFlood : public test::HttpClientTest, public testing::WithParamInterface<Flood> {
 protected:
  // Starts a response and then sends the same frame for as long as the client reads, up to
  // kMaxFlood.
  static void flood(test::TlsLine& line, const std::string& endless) {
    constexpr int kAtOnce = 1000;
    if (!read_request(line)) return;
    std::string batch;
    for (int i = 0; i < kAtOnce; ++i) batch += endless;
    const auto until = std::chrono::steady_clock::now() + kMaxFlood;
    line.write(frame(kSettings, 0, 0) + frame(kSettings, 1, 0) + frame(kHeaders, 4, 1, "\x88"));
    while (std::chrono::steady_clock::now() < until && line.write(batch)) {
    }
  }
};

TEST_P(HttpClientFlood, DoesNotBlockTheLoop) {
  const test::TlsServer server(
      test::make_certificate("peer"), [](test::TlsLine& line) { flood(line, GetParam().frame); },
      "127.0.0.1", 0, "h2");
  HttpRequest asked = request("https", "127.0.0.1", server.port());
  asked.http2 = true;
  asked.tls.verify = false;
  asked.limit = 3s;
  const auto began = std::chrono::steady_clock::now();
  const std::string result = ask(asked);
  // If the server is slower than the client, libcurl returns in between, and the request's limit
  // ends the transfer.
  EXPECT_TRUE(result == kFlooded || result.starts_with("timeout: ")) << result;
  EXPECT_LT(std::chrono::steady_clock::now() - began, asked.limit + 2s);
}

const std::vector<Flood> kFloods = {
    {"data", frame(kData, 0, 1)},
    {"padded_data", frame(kData, kPadded, 1, {"\0", 1})},
    {"priority", frame(kPriority, 0, 1, {"\0\0\0\0\1", 5})},
    {"window_update", frame(kWindowUpdate, 0, 0, {"\0\0\0\1", 4})},
    {"unknown", frame(kUnknown, 0, 0)},
};
INSTANTIATE_TEST_SUITE_P(All, HttpClientFlood, testing::ValuesIn(kFloods),
                         [](const auto& info) { return info.param.name; });

class HttpClientVersion : public test::HttpClientTest {};

TEST_F(HttpClientVersion, IsHttp2IfRequested) {
  const test::TlsServer server(
      test::make_certificate("peer"),
      [](test::TlsLine& line) {
        if (!read_request(line)) return;
        line.write(frame(kSettings, 0, 0) + frame(kSettings, 1, 0) + frame(kHeaders, 4, 1, "\x88") +
                   frame(kData, 1, 1, "two"));
        while (!line.read().empty()) {
        }
      },
      "127.0.0.1", 0, "h2");
  HttpRequest asked = request("https", "127.0.0.1", server.port());
  asked.tls.verify = false;
  asked.http2 = true;
  EXPECT_EQ(ask(asked), "two");
}

// Body data is not counted as a flood.
TEST_F(HttpClientVersion, AcceptsALargeBodyOverHttp2) {
  constexpr std::size_t kPiece = 255;
  constexpr std::size_t kPieces = 16 * 1024;
  const test::TlsServer server(
      test::make_certificate("peer"),
      [](test::TlsLine& line) {
        if (!read_request(line)) return;
        std::string bytes = frame(kSettings, 0, 0) + frame(kSettings, 1, 0);
        bytes += frame(kHeaders, 4, 1, "\x88");
        for (std::size_t i = 0; i < kPieces; ++i)
          bytes += frame(kData, 0, 1, std::string(kPiece, 'x'));
        line.write(bytes + frame(kData, 1, 1));
        while (!line.read().empty()) {
        }
      },
      "127.0.0.1", 0, "h2");
  HttpRequest asked = request("https", "127.0.0.1", server.port());
  asked.tls.verify = false;
  asked.http2 = true;
  asked.max_body = kPiece * kPieces;
  EXPECT_EQ(ask(asked).size(), kPiece * kPieces);
}

// The address of a kept connection may drop packets without an error, so a request over it never
// ends. Over HTTP/2, libcurl keeps the connection of a request that was cancelled.
TEST_F(HttpClientVersion, DoesNotReuseTheConnectionOfACancelledRequest) {
  std::atomic<int> connections = 0;
  const test::TlsServer server(
      test::make_certificate("peer"),
      [&](test::TlsLine& line) {
        const std::string body(1, static_cast<char>('0' + ++connections));
        if (!read_request(line)) return;
        line.write(frame(kSettings, 0, 0) + frame(kSettings, 1, 0) + frame(kHeaders, 4, 1, "\x88") +
                   frame(kData, 1, 1, body));
        while (!line.read().empty()) {  // no further response
        }
      },
      "127.0.0.1", 0, "h2");
  HttpRequest asked = request("https", "127.0.0.1", server.port());
  asked.tls.verify = false;
  asked.http2 = true;
  asked.reuse_connection = true;
  EXPECT_EQ(ask(asked), "1");
  SampleSet out;
  test::Task second(loop, services.http.perform(asked, out));
  test::run_for(loop, 50ms);
  EXPECT_EQ(connections, 1);
  second.cancel();
  EXPECT_TRUE(test::run_until(loop, [&] { return second.done(); }));
  EXPECT_EQ(ask(asked), "2");
}

TEST_F(HttpClientVersion, IsHttp11ByDefault) {
  std::string head;
  {
    const test::TlsServer server(
        test::make_certificate("peer"),
        [&head](test::TlsLine& line) {
          head = line.read();
          line.write(test::http_answer(200, "one"));
        },
        "127.0.0.1", 0, "h2");
    HttpRequest asked = request("https", "127.0.0.1", server.port());
    asked.tls.verify = false;
    EXPECT_EQ(ask(asked), "one");
  }
  EXPECT_TRUE(head.starts_with("GET / HTTP/1.1\r\n")) << head;
}

}  // namespace
}  // namespace vitalsd::net
