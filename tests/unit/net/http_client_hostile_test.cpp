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

#include "unit/net/http_client_fixture.hpp"
#include "unit/support/certificate.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/gzip.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/tls_server.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;

class HttpClientHostile : public test::HttpClientTest {};

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

TEST_F(HttpClientResponse, DecodesAStreamThatAcceptsCompression) {
  std::string streamed;
  std::string type;
  bool ends = false;
  const auto stream = [&](HttpRequest& request) {
    request.accept_gzip = true;
    request.on_headers = [&](const HttpResponse& response) {
      EXPECT_EQ(streamed, "");
      type = *response.header("content-encoding");
    };
    request.on_data = [&](std::string_view piece) {
      streamed += piece;
      return !ends || streamed.empty();
    };
  };
  const std::string text(100'000, 'x');
  const std::string compressed = test::gzip(text);
  EXPECT_EQ(ask_for(encoded("gzip", compressed), stream), "");
  EXPECT_EQ(streamed, text);
  EXPECT_EQ(type, "gzip");
  EXPECT_EQ(call.header("accept-encoding"), "gzip");
  streamed.clear();
  EXPECT_EQ(ask_for(encoded("gzip", compressed.substr(0, compressed.size() - 9)), stream),
            "protocol: the compressed body is truncated");
  streamed.clear();
  EXPECT_THAT(ask_for(encoded("gzip", "hello, this is not gzip"), stream),
              testing::StartsWith("protocol: the compressed body is invalid"));
  EXPECT_EQ(streamed, "");
  ends = true;  // the consumer needs no more
  EXPECT_EQ(ask_for(encoded("gzip", compressed), stream), "");
  EXPECT_LT(streamed.size(), text.size());
}

TEST_F(HttpClientResponse, RejectsAStreamThatExpandsWithoutEnd) {
  std::size_t streamed = 0;
  const auto stream = [&](HttpRequest& request) {
    request.accept_gzip = true;
    request.on_data = [&](std::string_view piece) {
      streamed += piece.size();
      return true;
    };
  };
  EXPECT_EQ(ask_for(encoded("gzip", test::gzip(std::string(100 << 20, 'x'))), stream),
            "protocol: the response is compressed more than 200:1");
  EXPECT_LT(streamed, 8U << 20);
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

}  // namespace
}  // namespace vitalsd::net
