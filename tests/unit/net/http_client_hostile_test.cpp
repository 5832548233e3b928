// The HTTP client with malicious, faulty and unusual servers.
#include "probes/error.hpp"
#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/certificate.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/gzip.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/tls_server.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;

class HttpClientHostile : public testing::Test {
 protected:
  ~HttpClientHostile() override {
    services.wheel.stop();
    services.wind_down();
  }

  static HttpRequest request(const std::string& scheme, const std::string& host,
                             std::uint16_t port) {
    HttpRequest request;
    request.url.scheme = scheme;
    request.url.host = host;
    request.url.port = port;
    request.url.path = "/";
    return request;
  }
  // The body, or the reason and the text of the error.
  std::string ask(const HttpRequest& request) {
    test::Task<std::string> task(loop, converse(request));
    return task.get();
  }

  asio::io_context loop{1};
  ProbeServices services{loop, {}};

 private:
  asio::awaitable<std::string> converse(const HttpRequest& request) {
    SampleSet out;
    try {
      const HttpResponse response = co_await services.http.perform(request, out);
      co_return response.body;
    } catch (const ProbeError& error) {
      co_return std::string(reason_name(error.reason())) + ": " + error.what();
    }
  }
};

TEST_F(HttpClientHostile, ClosesAConnectionWithEndlessKeyUpdates) {
  const test::Certificate certificate = test::make_certificate("peer");
  int updates = 0;
  {
    const test::TlsServer server(certificate, [&updates](test::TlsLine& line) {
      line.read();
      while (updates < 100'000 && line.update_keys()) ++updates;
    });
    HttpRequest secure = request("https", "127.0.0.1", server.port());
    secure.tls.verify = false;
    EXPECT_EQ(ask(secure),
              "protocol: the server keeps sending data that is not part of the response");
  }
  EXPECT_LT(updates, 100'000);
}

// ---- reused connections -------------------------------------------------------------------------

class HttpClientReuse : public HttpClientHostile {
 protected:
  using Server = test::TlsServer;

  // Responds to each request with its name.
  static Server::Script named(const std::string& name) {
    return [answer = test::http_answer(200, name)](test::TlsLine& line) {
      while (!line.read().empty() && line.write(answer)) {
      }
    };
  }
  [[nodiscard]] HttpRequest kept(const std::string& host, std::uint16_t port) const {
    HttpRequest kept = request("https", host, port);
    kept.tls.ca = certificate.certificate;
    kept.tls.server_name = "peer";
    kept.reuse_connection = true;
    return kept;
  }

  test::Certificate certificate = test::make_certificate("peer");
};

// Like the kubelets of a cluster, which all have the same port.
TEST_F(HttpClientReuse, DistinguishesServersWithTheSameServerName) {
  const Server first(certificate, named("first"), "127.0.0.1");
  const Server second(certificate, named("second"), "127.0.0.2", first.port());
  const Server third(certificate, named("third"), "127.0.0.1");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(ask(kept("127.0.0.1", first.port())), "first");
    EXPECT_EQ(ask(kept("127.0.0.2", first.port())), "second");
    EXPECT_EQ(ask(kept("127.0.0.1", third.port())), "third");
  }
}

TEST_F(HttpClientReuse, SendsEachRequestWithItsOwnCredentials) {
  std::vector<std::string> seen;
  {
    const Server server(certificate, [&seen](test::TlsLine& line) {
      for (std::string head = line.read(); !head.empty(); head = line.read()) {
        const std::size_t at = head.find("Authorization: ");
        seen.push_back(at == std::string::npos ? "" : head.substr(at, head.find("\r\n", at) - at));
        if (!line.write(test::http_answer(200, "well"))) return;
      }
    });
    HttpRequest request = kept("127.0.0.1", server.port());
    request.bearer = "one";
    EXPECT_EQ(ask(request), "well");
    request.bearer = "two";
    EXPECT_EQ(ask(request), "well");
    request.bearer.clear();
    EXPECT_EQ(ask(request), "well");
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"Authorization: Bearer one",
                                            "Authorization: Bearer two", ""}));
}

// ---- codings ------------------------------------------------------------------------------------

class HttpClientResponse : public HttpClientHostile {
 protected:
  std::string ask_for(
      const std::string& bytes,
      const std::function<void(HttpRequest&)>& change = [](HttpRequest&) {}) {
    const test::Conversation peer(loop, [&](test::Line& line) -> asio::awaitable<void> {
      call = co_await test::read_http(line);
      co_await line.write(bytes);
    });
    HttpRequest asked = request("http", "127.0.0.1", peer.port());
    change(asked);
    return ask(asked);
  }
  static std::string encoded(const std::string& coding, const std::string& body) {
    return test::http_answer(200, body, "Content-Encoding: " + coding + "\r\n");
  }

  test::HttpCall call;
};

TEST_F(HttpClientResponse, DecodesOneCodingOnly) {
  const std::string once = test::gzip("hello");
  EXPECT_EQ(ask_for(encoded("gzip", once)), "hello");
  EXPECT_EQ(call.header("accept-encoding"), "gzip");
  EXPECT_EQ(ask_for(encoded("identity", "hello")), "hello");
  std::string deep = "hello";
  for (int i = 0; i < 4; ++i) deep = test::gzip(deep);
  EXPECT_EQ(ask_for(encoded("gzip, gzip, gzip, gzip", deep)),
            "protocol: the body has 4 content codings; only one is supported");
  EXPECT_EQ(ask_for(test::http_answer(200, test::gzip(once),
                                      "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n")),
            "protocol: the body has 2 content codings; only one is supported");
}

// libcurl decodes transfer codings even if they were not requested.
TEST_F(HttpClientResponse, AcceptsOnlyChunkedTransferCoding) {
  const std::string piece = test::http_piece(test::gzip(test::gzip("hello")));
  EXPECT_EQ(ask_for("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, gzip, chunked\r\n\r\n" + piece +
                    test::http_stream_end()),
            "protocol: the transfer coding 'gzip, gzip, chunked' is not supported");
  EXPECT_EQ(ask_for(test::http_stream() + test::http_piece("hello") + test::http_stream_end()),
            "hello");
}

TEST_F(HttpClientResponse, LimitsTheBodyBeforeAndAfterDecoding) {
  const auto limit = [](std::size_t bytes) {
    return [bytes](HttpRequest& request) { request.max_body = bytes; };
  };
  const std::string small = test::gzip(std::string(5000, 'x'));
  EXPECT_EQ(ask_for(encoded("gzip", small), limit(5000)), std::string(5000, 'x'));
  EXPECT_EQ(ask_for(encoded("gzip", small), limit(4999)),
            "protocol: the response is larger than 4999 bytes");
  // An empty body whose encoded form exceeds the limit.
  EXPECT_EQ(ask_for(encoded("gzip", test::gzip("")), limit(10)),
            "protocol: the response is larger than 10 bytes");
}

TEST_F(HttpClientResponse, RejectsACompressedStream) {
  std::string streamed;
  const auto stream = [&](HttpRequest& request) {
    request.on_data = [&streamed](std::string_view piece) {
      streamed += piece;
      return true;
    };
  };
  EXPECT_EQ(ask_for(encoded("gzip", test::gzip("hello")), stream),
            "protocol: the response is compressed, although compression was not requested");
  EXPECT_EQ(streamed, "");
  EXPECT_EQ(call.header("accept-encoding"), "");
}

TEST_F(HttpClientResponse, RequestsNoCompressionIfItSigns) {
  EXPECT_EQ(ask_for(test::http_answer(200, "hello"),
                    [](HttpRequest& request) {
                      request.aws = AwsCredentials{"a", "b", ""};
                      request.aws_region = "r";
                    }),
            "hello");
  EXPECT_EQ(call.header("accept-encoding"), "");
}

// ---- headers ------------------------------------------------------------------------------------

TEST_F(HttpClientResponse, RejectsMalformedHeaders) {
  const std::vector<std::string> heads = {
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
      "HTTP/1.1 2 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 99999999999 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 \r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/9.9 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 000 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello",
  };
  for (const std::string& head : heads) {
    const std::string result = ask_for(head);
    EXPECT_TRUE(result.starts_with("protocol: ")) << head << "\n" << result;
  }
}

TEST_F(HttpClientResponse, LimitsTheSizeOfHeaders) {
  const std::string limit = "protocol: the headers are larger than 65536 bytes";
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += "a:\r\n";
  EXPECT_EQ(ask_for(test::http_answer(200, "", many)), limit);
  std::string heads;
  for (int i = 0; i < 3000; ++i) heads += "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_EQ(ask_for(heads + test::http_answer(200, "")), limit);
}

// ---- HTTP/2 -------------------------------------------------------------------------------------

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

class HttpClientFlood : public HttpClientHostile, public testing::WithParamInterface<Flood> {
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

class HttpClientVersion : public HttpClientHostile {};

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
