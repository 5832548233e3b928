#include "probes/net/stream.hpp"

#include "probes/services.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "unit/support/io_faults.hpp"
#include "unit/support/tls_server.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace vitalsd::net {
namespace {

using test::Fault;
using test::Wire;
using testing::StartsWith;

// Sends all received bytes back.
asio::awaitable<void> echo(Wire& wire) {
  for (;;) {
    std::string bytes = co_await wire.receive();
    co_await wire.send(std::move(bytes));
  }
}

class StreamTest : public testing::Test {
 protected:
  StreamTest() {
    peer_.listen();
    secure_.listen();
    tls_.ca = certificate_.certificate;
    tls_.server_name = "peer";
  }

  // Optional, because a Task needs a default-constructible result.
  using Opened = std::optional<Stream>;
  asio::awaitable<Opened> open(const test::Peer& peer, const TlsOptions* tls, SampleSet& out) {
    const config::Endpoint endpoint{"127.0.0.1", peer.port()};
    co_return co_await open_stream(services_.environment, endpoint, IpVersion::any, tls, out);
  }
  Stream plain() {
    SampleSet out;
    return *test::Task(loop_, open(peer_, nullptr, out)).get();
  }
  Stream secure() {
    SampleSet out;
    return *test::Task(loop_, open(secure_, &tls_, out)).get();
  }
  // The error of the TLS handshake.
  std::string handshake_error() {
    SampleSet out;
    try {
      test::Task(loop_, open(secure_, &tls_, out)).get();
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::tls);
      return error.what();
    }
    return "none";
  }

  // Sends the request and reads as many bytes.
  static asio::awaitable<std::string> ask(Stream& stream, std::string request) {
    co_await stream.write(request);
    std::string response;
    std::array<char, 4096> piece{};
    while (response.size() < request.size()) {
      const std::size_t size = co_await stream.read_some(piece);
      response.append(piece.data(), size);
    }
    co_return response;
  }
  static asio::awaitable<bool> send(Stream& stream, std::string bytes) {
    co_await stream.write(bytes);
    co_return true;
  }
  static asio::awaitable<std::size_t> read(Stream& stream) {
    std::array<char, 64> piece{};
    co_return co_await stream.read_some(piece);
  }
  // The reason and the text of the error.
  std::string failure(Stream& stream) {
    try {
      return "none: " + test::Task(loop_, ask(stream, "request")).get();
    } catch (const ProbeError& error) {
      return std::string(reason_name(error.reason())) + ": " + error.what();
    }
  }

  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  test::Certificate certificate_ = test::make_certificate("peer");
  test::ServerContext context_ = test::server_context(certificate_);
  test::Peer peer_{loop_, &echo};
  test::Peer secure_{loop_, &echo, context_.get()};
  TlsOptions tls_;
};

TEST_F(StreamTest, SendsAndReceivesBytes) {
  Stream stream = plain();
  EXPECT_EQ(test::Task(loop_, ask(stream, "request")).get(), "request");
  EXPECT_EQ(stream.ssl(), nullptr);
}

TEST_F(StreamTest, TransfersMoreThanTheSocketBuffer) {
  const std::string large(std::size_t{300} << 10, 'x');
  Stream first = plain();
  EXPECT_EQ(test::Task(loop_, ask(first, large)).get(), large);
  Stream second = secure();
  EXPECT_EQ(test::Task(loop_, ask(second, large)).get(), large);
}

TEST_F(StreamTest, CanBeMovedWithTls) {
  Stream first = secure();
  Stream second = std::move(first);
  EXPECT_EQ(test::Task(loop_, ask(second, "request")).get(), "request");
  EXPECT_NE(second.ssl(), nullptr);
}

TEST_F(StreamTest, SetsTheStepOfTheRun) {
  SampleSet out;
  auto connecting = test::Task(loop_, open(secure_, &tls_, out));
  const std::string place = "127.0.0.1:" + std::to_string(secure_.port());
  EXPECT_TRUE(test::run_until(loop_, [&] { return out.step() == "connecting to " + place; }));
  connecting.get();
  EXPECT_EQ(out.step(),
            "performing the TLS handshake with " + place + ", which may not use TLS on this port");
}

TEST_F(StreamTest, ReportsTheEndOfTheStreamAsProtocol) {
  Stream stream = plain();
  peer_.arm(0, Fault::close);
  EXPECT_EQ(failure(stream), "protocol: reading the response: the connection was closed");
}

TEST_F(StreamTest, ReportsAnEndWithoutCloseNotifyInTheSameWay) {
  Stream stream = secure();
  EXPECT_EQ(test::Task(loop_, ask(stream, "request")).get(), "request");
  secure_.arm(0, Fault::close);
  EXPECT_EQ(failure(stream), "protocol: reading the response: the connection was closed");
}

TEST_F(StreamTest, ClosesAConnectionWithEndlessKeyUpdates) {
  const test::TlsServer server(certificate_, [](test::TlsLine& line) {
    line.read();
    for (int i = 0; i < 1000 && line.update_keys(); ++i) {
    }
    line.write("request");
    line.read();
  });
  const config::Endpoint endpoint{"127.0.0.1", server.port()};
  SampleSet out;
  auto opening = [&]() -> asio::awaitable<Opened> {
    co_return co_await open_stream(services_.environment, endpoint, IpVersion::any, &tls_, out);
  };
  {
    Stream stream = *test::Task(loop_, opening()).get();
    EXPECT_EQ(failure(stream), "protocol: reading the response: the connection was closed");
  }
}

// In TLS 1.3, the server verifies the client's certificate after the client's handshake. The alert
// is found by the first read, or by the first write if the connection has been closed by then.
TEST_F(StreamTest, ReportsARequiredClientCertificateAsTls) {
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  const std::string alert =
      "tls: the TLS session failed: tlsv13 alert certificate required (SSL routines)";
  Stream first = secure();
  EXPECT_EQ(failure(first), alert);
  Stream second = secure();
  EXPECT_TRUE(test::run_until(loop_, [&] { return second.hung_up(); }));
  EXPECT_EQ(failure(second), alert);
}

TEST_F(StreamTest, FindsTheAlertOfAConnectionThatWasReset) {
  test::TlsServer server(certificate_, [](test::TlsLine&) {});
  server.require_client_certificate();
  const config::Endpoint endpoint{"127.0.0.1", server.port()};
  SampleSet out;
  auto opening = [&]() -> asio::awaitable<Opened> {
    co_return co_await open_stream(services_.environment, endpoint, IpVersion::any, &tls_, out);
  };
  {
    Stream stream = *test::Task(loop_, opening()).get();
    EXPECT_TRUE(test::run_until(loop_, [&] { return stream.hung_up(); }));
    const std::string large(std::size_t{4} << 20, 'x');  // the end of it meets a reset connection
    try {
      test::Task(loop_, send(stream, large)).get();
      ADD_FAILURE() << "nothing was refused";
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::tls) << error.what();
    }
  }
}

TEST_F(StreamTest, ReportsAConnectionThatIsResetDuringARequest) {
  Stream stream = plain();
  EXPECT_EQ(test::Task(loop_, ask(stream, "request")).get(), "request");
  peer_.hang_up();
  EXPECT_TRUE(test::run_until(loop_, [&] { return stream.hung_up(); }));
  EXPECT_THAT(failure(stream),
              StartsWith("protocol: reading the response: "));  // RST after a response
  EXPECT_THAT(failure(stream), StartsWith("connect: sending the request: "));
}

TEST_F(StreamTest, DetectsThatThePeerHasClosedTheConnection) {
  Stream stream = plain();
  EXPECT_EQ(test::Task(loop_, ask(stream, "request")).get(), "request");
  EXPECT_FALSE(stream.hung_up());
  peer_.hang_up();
  EXPECT_TRUE(test::run_until(loop_, [&] { return stream.hung_up(); }));
}

TEST_F(StreamTest, TreatsUnexpectedDataOnAnIdleStreamAsClosed) {
  Stream stream = plain();
  test::Task(loop_, send(stream, "unread")).get();
  EXPECT_TRUE(test::run_until(loop_, [&] { return stream.hung_up(); }));
}

TEST_F(StreamTest, AbortsAReadWhenCancelled) {
  Stream stream = plain();
  auto reading = test::Task(loop_, read(stream));
  test::settle(loop_);
  EXPECT_FALSE(reading.done());
  reading.cancel();
  ASSERT_TRUE(test::run_until(loop_, [&] { return reading.done(); }));
  try {
    reading.get();
    ADD_FAILURE() << "the read has returned";
  } catch (const boost::system::system_error& error) {
    EXPECT_EQ(error.code(), asio::error::operation_aborted);
  }
}

TEST_F(StreamTest, VerifiesTheCertificateWithTheCas) {
  EXPECT_EQ(handshake_error(), "none");
  tls_.ca = test::make_certificate("other").certificate;
  EXPECT_THAT(handshake_error(), StartsWith("certificate verification failed: "));
  tls_.verify = false;
  EXPECT_EQ(handshake_error(), "none");
}

TEST_F(StreamTest, VerifiesTheServerNameOrElseTheHost) {
  tls_.server_name = "another";
  EXPECT_EQ(handshake_error(), "certificate verification failed: hostname mismatch");
  tls_.server_name = "";  // the host, which is an address
  EXPECT_EQ(handshake_error(), "certificate verification failed: IP address mismatch");
  tls_.verify = false;
  EXPECT_EQ(handshake_error(), "none");
}

TEST_F(StreamTest, ReportsAServerWithoutTls) {
  SampleSet out;
  try {
    test::Task(loop_, open(peer_, &tls_, out)).get();  // receives its own ClientHello
    ADD_FAILURE() << "the handshake has succeeded";
  } catch (const ProbeError& error) {
    EXPECT_EQ(error.reason(), Reason::tls);
    EXPECT_THAT(error.what(), StartsWith("TLS handshake: "));
  }
}

TEST(SetPeerNameTest, SendsNamesButNotAddressesAsSni) {
  using Context = std::unique_ptr<SSL_CTX, test::detail::Freeing<SSL_CTX_free>>;
  using Ssl = std::unique_ptr<SSL, test::detail::Freeing<SSL_free>>;
  const Context context(SSL_CTX_new(TLS_client_method()));
  const auto sent = [&](const std::string& name) -> std::string {
    const Ssl ssl(SSL_new(context.get()));
    set_peer_name(ssl.get(), name, true);
    const char* const found = SSL_get_servername(ssl.get(), TLSEXT_NAMETYPE_host_name);
    return found == nullptr ? "" : found;
  };
  EXPECT_EQ(sent("db.example"), "db.example");
  EXPECT_EQ(sent("192.0.2.1"), "");
  EXPECT_EQ(sent("2001:db8::1"), "");
}

}  // namespace
}  // namespace vitalsd::net
