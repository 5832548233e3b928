// Tests fetch_certificate() through kind `certificate`.
#include "probes/certificate/handshake.hpp"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/certificate.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using asio::ip::tcp;

// A TLS server on the test's loop. It may send something in clear text before the handshake.
class TlsServer {
 public:
  using Preface = std::function<asio::awaitable<void>(tcp::socket&)>;

  TlsServer(asio::io_context& loop, const test::Certificate& certificate, Preface preface = {})
      : state_(std::make_shared<State>(tcp::acceptor(loop, {asio::ip::address_v4::loopback(), 0}),
                                       std::move(preface))) {
    SSL_CTX_set_security_level(state_->context.native_handle(), 0);  // for weak certificates
    state_->context.use_certificate_chain(asio::buffer(certificate.certificate));
    state_->context.use_private_key(asio::buffer(certificate.key), asio::ssl::context::pem);
    asio::co_spawn(loop, serve(state_), asio::detached);
  }
  ~TlsServer() { state_->acceptor.close(); }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  [[nodiscard]] std::string endpoint() const {
    return "127.0.0.1:" + std::to_string(state_->acceptor.local_endpoint().port());
  }
  void require_client_certificate() {
    state_->context.set_verify_mode(asio::ssl::verify_peer |
                                    asio::ssl::verify_fail_if_no_peer_cert);
  }

 private:
  struct State {
    tcp::acceptor acceptor;
    Preface preface;
    asio::ssl::context context{asio::ssl::context::tls_server};
  };

  static asio::awaitable<void> serve(std::shared_ptr<State> state) {
    while (state->acceptor.is_open()) {
      try {
        tcp::socket socket = co_await state->acceptor.async_accept(asio::use_awaitable);
        if (state->preface) co_await state->preface(socket);
        asio::ssl::stream<tcp::socket> tls(std::move(socket), state->context);
        co_await tls.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
        char byte = 0;
        co_await tls.async_read_some(asio::buffer(&byte, 1), asio::use_awaitable);
      } catch (const boost::system::system_error&) {
        continue;  // a failed handshake, a closed connection, or the end of the test
      }
    }
  }

  std::shared_ptr<State> state_;
};

class HandshakeTest : public testing::Test {
 protected:
  test::Observation observe(const std::string& endpoint, const std::string& more = "") {
    return fixture.observe("certificate", "endpoint: '" + endpoint + '\'' + more);
  }
  [[nodiscard]] std::string trusting(const test::Certificate& root, const std::string& more = "") {
    return ", tls: {ca: '" + directory.file("ca.pem", root.certificate) + '\'' + more + '}';
  }

  // Sends the greeting, then a response to each expected line.
  static TlsServer::Preface speech(std::string greeting,
                                   std::vector<std::pair<std::string, std::string>> turns) {
    return [=](tcp::socket& socket) -> asio::awaitable<void> {
      co_await asio::async_write(socket, asio::buffer(greeting), asio::use_awaitable);
      for (const auto& [expected, answer] : turns) {
        std::string line;
        co_await asio::async_read_until(socket, asio::dynamic_buffer(line), "\r\n",
                                        asio::use_awaitable);
        EXPECT_EQ(line, expected + "\r\n");
        co_await asio::async_write(socket, asio::buffer(answer), asio::use_awaitable);
      }
    };
  }

  test::ProbeFixture fixture;
  test::TempDirectory directory;
  test::Certificate ca = test::make_certificate("test CA");
  test::Certificate certificate = test::make_certificate("shop.example", ca);
};

TEST_F(HandshakeTest, AcceptsACertificateThatVerifies) {
  const TlsServer server(fixture.loop, certificate);
  const test::Observation run =
      observe(server.endpoint(), trusting(ca, ", server_name: shop.example"));
  EXPECT_EQ(run.failure(), "");
  const test::Labels source = {{"source", server.endpoint()}};
  EXPECT_EQ(run.value("cert_verified", source), 1);
  EXPECT_EQ(run.count("cert_verify_fault"), 0U);
  const auto expiry =
      run.value("cert_expiry_timestamp", {{"cn", "shop.example"}, {"source", server.endpoint()}});
  EXPECT_TRUE(expiry);
  EXPECT_EQ(run.value("cert_chain_expiry_timestamp", source), expiry);
}

TEST_F(HandshakeTest, PublishesTheDateIfVerificationFails) {
  const TlsServer server(fixture.loop, certificate);
  const auto expect_fault = [&](const test::Observation& run, const std::string& fault) {
    EXPECT_EQ(run.value("cert_verified", {{"source", server.endpoint()}}), 0) << fault;
    EXPECT_EQ(run.value("cert_verify_fault", {{"source", server.endpoint()}, {"fault", fault}}), 1)
        << fault << run.text();
    EXPECT_EQ(run.count("cert_expiry_timestamp"), 1U);
    EXPECT_EQ(run.reason(), "mismatch");
    EXPECT_FALSE(run.threw());
  };
  expect_fault(observe(server.endpoint(), trusting(ca, ", server_name: other.example")),
               "wrong_host");
  expect_fault(observe(server.endpoint(), trusting(ca)), "wrong_host");  // the address
  const test::Certificate other = test::make_certificate("another CA");
  expect_fault(observe(server.endpoint(), trusting(other, ", server_name: shop.example")),
               "untrusted");
}

// An intermediate certificate is judged, whether or not the chain verifies.
TEST_F(HandshakeTest, JudgesTheWholeChain) {
  const test::Certificate middle =
      test::make_certificate("middle", ca, {.digest = EVP_sha1(), .begins = test::kDay / 2});
  test::Certificate leaf = test::make_certificate("shop.example", middle);
  leaf.certificate += middle.certificate;
  const TlsServer server(fixture.loop, leaf);
  for (const std::string& more : {trusting(ca), std::string(", tls: {verify: false}")}) {
    const test::Observation run = observe(server.endpoint(), more);
    EXPECT_NEAR(run.reading("not_yet_valid", "middle, " + server.endpoint()).value_or(0),
                test::kDay / 2, 60);
    EXPECT_EQ(run.reading("not_yet_valid", "shop.example, " + server.endpoint()), 0);
    EXPECT_EQ(run.reading("weak", "middle, " + server.endpoint() + " (signed with SHA-1)"), 1);
    EXPECT_EQ(run.count("cert_expiry_timestamp"), 1U);
  }
}

TEST_F(HandshakeTest, PublishesTheDatesOfIssuers) {
  const test::Certificate middle =
      test::make_certificate("middle", ca, {.expires = 3 * test::kDay, .is_authority = true});
  test::Certificate leaf = test::make_certificate("shop.example", middle);
  leaf.certificate += middle.certificate;
  const TlsServer server(fixture.loop, leaf);
  const test::Observation run =
      observe(server.endpoint(), trusting(ca, ", server_name: shop.example"));
  const auto date = [&](const std::string& name, const std::string& cn) {
    return run.value(name, {{"cn", cn}, {"source", server.endpoint()}}).value_or(0);
  };
  EXPECT_EQ(date("cert_issuer_expiry_timestamp", "middle"),
            date("cert_expiry_timestamp", "shop.example") + 2 * test::kDay);
  EXPECT_EQ(date("cert_issuer_not_before_timestamp", "middle"),
            date("cert_issuer_expiry_timestamp", "middle") - 4 * test::kDay);
  EXPECT_EQ(run.count("cert_issuer_expiry_timestamp"), 2U);  // with the root
}

// Servers may also send certificates that no client needs.
TEST_F(HandshakeTest, JudgesIssuersOnly) {
  const auto weak = [](const std::string& name, const test::Certificate& issuer) {
    return test::make_certificate(name, issuer, {.digest = EVP_sha1()});
  };
  const test::Certificate middle = weak("middle", ca);
  test::Certificate leaf = test::make_certificate("shop.example", middle);
  leaf.certificate += weak("useless", ca).certificate + middle.certificate + ca.certificate;
  const TlsServer server(fixture.loop, leaf);
  const test::Observation run = observe(server.endpoint(), ", tls: {verify: false}");
  EXPECT_EQ(run.reading("weak", "middle, " + server.endpoint() + " (signed with SHA-1)"), 1);
  EXPECT_EQ(run.count("cert_issuer_expiry_timestamp"), 0U);
}

TEST_F(HandshakeTest, DetectsASelfSignedCertificate) {
  const TlsServer server(fixture.loop, ca);
  const test::Certificate other = test::make_certificate("another CA");
  const test::Observation run = observe(server.endpoint(), trusting(other));
  EXPECT_EQ(
      run.value("cert_verify_fault", {{"source", server.endpoint()}, {"fault", "self_signed"}}), 1);
}

TEST_F(HandshakeTest, SkipsVerificationIfConfigured) {
  const TlsServer server(fixture.loop, certificate);
  const test::Observation run = observe(server.endpoint(), ", tls: {verify: false}");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("cert_verified"), 0U);
  EXPECT_EQ(run.count("cert_expiry_timestamp"), 1U);
}

TEST_F(HandshakeTest, ReadsTheCertificateOfAServerThatRequiresAClientCertificate) {
  TlsServer server(fixture.loop, certificate);
  server.require_client_certificate();
  const test::Observation run =
      observe(server.endpoint(), trusting(ca, ", server_name: shop.example"));
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("cert_verified", {{"source", server.endpoint()}}), 1);
}

TEST_F(HandshakeTest, RequestsTlsInEachProtocol) {
  const std::vector<std::pair<std::string, TlsServer::Preface>> protocols = {
      {"smtp",
       speech("220-mail\r\n220 ready\r\n",
              {{"EHLO vitalsd", "250-mail\r\n250 STARTTLS\r\n"}, {"STARTTLS", "220 go\r\n"}})},
      {"ftp", speech("220 ftp\r\n", {{"AUTH TLS", "234 go\r\n"}})},
      {"imap", speech("* OK imap\r\n", {{"a STARTTLS", "a OK go\r\n"}})},
      {"pop3", speech("+OK pop\r\n", {{"STLS", "+OK go\r\n"}})},
      {"postgres", [](tcp::socket& socket) -> asio::awaitable<void> {
         std::array<char, 8> request{};
         co_await asio::async_read(socket, asio::buffer(request), asio::use_awaitable);
         EXPECT_EQ(std::string(request.data(), request.size()),
                   std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8));
         co_await asio::async_write(socket, asio::buffer("S", 1), asio::use_awaitable);
       }}};
  for (const auto& [name, preface] : protocols) {
    const TlsServer server(fixture.loop, certificate, preface);
    const test::Observation run = observe(
        server.endpoint(), ", starttls: " + name + trusting(ca, ", server_name: shop.example"));
    EXPECT_EQ(run.failure(), "") << name;
    EXPECT_EQ(run.value("cert_verified", {{"source", server.endpoint()}}), 1) << name;
  }
}

TEST_F(HandshakeTest, AcceptsResponsesOfSeveralLines) {
  using Turns = std::vector<std::pair<std::string, std::string>>;
  struct Case {
    std::string protocol, greeting;
    Turns turns;
  };
  const std::string capability = "* CAPABILITY IMAP4rev1 STARTTLS\r\n";
  std::string many;
  for (int i = 0; i < 99; ++i) many += "* " + std::to_string(i) + " EXISTS\r\n";
  for (const Case& test_case : std::vector<Case>{
           {"imap", "* OK [CAPABILITY IMAP4rev1] hi\r\n", {{"a STARTTLS", "a OK go\r\n"}}},
           {"imap", "* OK hi\r\n", {{"a STARTTLS", capability + "a OK go\r\n"}}},
           {"imap", "* OK hi\r\n" + capability, {{"a STARTTLS", "a OK go\r\n"}}},
           {"imap", "* OK hi\r\n", {{"a STARTTLS", many + "a OK go\r\n"}}},
           {"imap", "* PREAUTH hi\r\n", {{"a STARTTLS", "a OK go\r\n"}}},
           {"imap", "* ok hi\r\n", {{"a STARTTLS", "a ok go\r\n"}}},
           {"ftp",
            "220-Welcome\r\nto\r\nour server since 2009\r\n 220 files\r\n220 ftp\r\n",
            {{"AUTH TLS", "234-Well,\r\n220 is not the end\r\n234 go\r\n"}}},
           {"smtp",
            "220-mail\r\n220-no spam\r\n220 ready\r\n",
            {{"EHLO vitalsd", "250-mail\r\n250-PIPELINING\r\n250 STARTTLS\r\n"},
             {"STARTTLS", "220-well,\r\n220 go\r\n"}}}}) {
    const TlsServer server(fixture.loop, certificate, speech(test_case.greeting, test_case.turns));
    const test::Observation run =
        observe(server.endpoint(),
                ", starttls: " + test_case.protocol + trusting(ca, ", server_name: shop.example"));
    EXPECT_EQ(run.failure(), "") << test_case.protocol << ": " << test_case.greeting;
  }
}

TEST_F(HandshakeTest, ReportsUnexpectedResponsesOfAnImapServer) {
  const auto failure = [&](const std::string& greeting, const std::string& answer) {
    std::vector<std::pair<std::string, std::string>> turns;
    if (!answer.empty()) turns.emplace_back("a STARTTLS", answer);
    const TlsServer server(fixture.loop, certificate, speech(greeting, turns));
    return observe(server.endpoint(), ", starttls: imap").failure();
  };
  EXPECT_EQ(failure("* BYE full\r\n", ""), "mismatch: unexpected greeting: '* BYE full'");
  EXPECT_EQ(failure("* OK hi\r\n", "* 1 EXISTS\r\na BAD what?\r\n"),
            "mismatch: unexpected response to STARTTLS: 'a BAD what?'");
  EXPECT_EQ(failure("* OK hi\r\n", "* BYE shutdown\r\n"),
            "mismatch: unexpected response to STARTTLS: '* BYE shutdown'");
  std::string endless;
  for (int i = 0; i < 200; ++i) endless += "* 1 EXISTS\r\n";
  EXPECT_EQ(failure("* OK hi\r\n", endless),
            "protocol: the server sent a response of more than 100 lines");
}

TEST_F(HandshakeTest, ReportsAServerThatRejectsTheRequestForTls) {
  const TlsServer smtp(
      fixture.loop, certificate,
      speech("220 ready\r\n", {{"EHLO vitalsd", "250 mail\r\n"}, {"STARTTLS", "502 what?\r\n"}}));
  EXPECT_EQ(observe(smtp.endpoint(), ", starttls: smtp").failure(),
            "mismatch: unexpected response to STARTTLS: '502 what?'");
  const TlsServer postgres(
      fixture.loop, certificate, [](tcp::socket& socket) -> asio::awaitable<void> {
        co_await asio::async_write(socket, asio::buffer("N", 1), asio::use_awaitable);
      });
  EXPECT_EQ(observe(postgres.endpoint(), ", starttls: postgres").failure(),
            "mismatch: the server does not support TLS");
}

TEST_F(HandshakeTest, LimitsTheLengthOfResponses) {
  const TlsServer line(fixture.loop, certificate, speech(std::string(10'000, 'x'), {}));
  EXPECT_EQ(observe(line.endpoint(), ", starttls: imap").failure(),
            "protocol: the server sent a line of more than 4096 bytes");
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += "220-more\r\n";
  const TlsServer answer(fixture.loop, certificate, speech(lines, {}));
  EXPECT_EQ(observe(answer.endpoint(), ", starttls: smtp").failure(),
            "protocol: the server sent a response of more than 100 lines");
}

TEST_F(HandshakeTest, ReportsAServerWithoutTls) {
  const TlsServer server(fixture.loop, certificate, speech("SSH-2.0-OpenSSH_9.2\r\n", {}));
  const test::Observation run = observe(server.endpoint());
  EXPECT_EQ(run.reason(), "tls");
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.names().size(), 0U);
}

TEST(VerifyFaultTest, EachFaultHasAName) {
  std::set<std::string_view> names;
  for (const VerifyFault fault :
       {VerifyFault::expired, VerifyFault::not_yet_valid, VerifyFault::self_signed,
        VerifyFault::untrusted, VerifyFault::wrong_host, VerifyFault::other}) {
    names.insert(fault_name(fault));
  }
  EXPECT_EQ(names.size(), 6U);
  EXPECT_FALSE(names.contains(""));
}

// ---- through a proxy ----------------------------------------------------------------------------

class ProxyTest : public HandshakeTest {
 protected:
  // A proxy that is the target itself: it sends `response` to CONNECT, then performs the handshake.
  TlsServer::Preface proxy(std::string response) {
    return [this, response](tcp::socket& socket) -> asio::awaitable<void> {
      connect.clear();
      co_await asio::async_read_until(socket, asio::dynamic_buffer(connect), "\r\n\r\n",
                                      asio::use_awaitable);
      co_await asio::async_write(socket, asio::buffer(response), asio::use_awaitable);
    };
  }
  test::Observation observe_through(const TlsServer& server, const std::string& endpoint,
                                    const std::string& more = "") {
    return observe(endpoint, ", proxy: 'http://scout@" + server.endpoint() +
                                 "', proxy_password: {file: '" +
                                 directory.file("password", "secret") + "'}" + more);
  }

  std::string connect;  // the last request
};

TEST_F(ProxyTest, IsAskedForTheEndpoint) {
  const TlsServer server(fixture.loop, certificate, proxy("HTTP/1.1 200 OK\r\nX: y\r\n\r\n"));
  const test::Observation run = observe_through(server, "shop.example:443", trusting(ca));
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("cert_verified", {{"source", "shop.example:443"}}), 1);
  EXPECT_EQ(connect,
            "CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n"
            "User-Agent: vitalsd\r\nProxy-Authorization: Basic c2NvdXQ6c2VjcmV0\r\n\r\n");
  observe_through(server, "[fd00::1]:443", trusting(ca));
  EXPECT_TRUE(connect.starts_with("CONNECT [fd00::1]:443 HTTP/1.1\r\n")) << connect;
}

// The first bytes of the target may arrive together with the response.
TEST_F(ProxyTest, PassesTheGreetingOn) {
  const TlsServer::Preface tunnel = proxy("HTTP/1.0 200 OK\r\n\r\n220 shop ESMTP\r\n");
  const TlsServer::Preface smtp =
      speech("", {{"EHLO vitalsd", "250 shop\r\n"}, {"STARTTLS", "220 go\r\n"}});
  const TlsServer server(fixture.loop, certificate,
                         [&](tcp::socket& socket) -> asio::awaitable<void> {
                           co_await tunnel(socket);
                           co_await smtp(socket);
                         });
  const test::Observation run =
      observe_through(server, "shop.example:25", trusting(ca) + ", starttls: smtp");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("cert_verified", {{"source", "shop.example:25"}}), 1);
}

TEST_F(ProxyTest, IsNamedByErrors) {
  const std::vector<std::pair<std::string, std::string>> refusals = {
      {"HTTP/1.1 407 No\r\n\r\n",
       "config: the proxy AT refuses the request: status 407, it does not accept the user of proxy "
       "with proxy_password, or basic authentication"},
      {"HTTP/1.1 503 No\r\n\r\n", "internal: the proxy AT refuses the request: status 503"},
      {"SSH-2.0-OpenSSH\r\n\r\n", "internal: the proxy AT: the response to CONNECT is not HTTP/1"},
      {"HTTP/1.1 2\r\n\r\n", "internal: the proxy AT: the response to CONNECT is not HTTP/1"},
      {std::string(20'000, 'x'), "internal: the proxy AT: the response to CONNECT is too long"},
  };
  for (const auto& [response, expected] : refusals) {
    const TlsServer server(fixture.loop, certificate, proxy(response));
    std::string text = expected;
    if (const std::size_t at = text.find("AT"); at != std::string::npos) {
      text.replace(at, 2, server.endpoint());
    }
    EXPECT_EQ(observe_through(server, "shop.example:443").failure(), text);
  }
  const test::ClosedPort closed;
  EXPECT_EQ(observe("shop.example:443", ", proxy: 'http://" + closed.endpoint() + '\'').failure(),
            "internal: the proxy " + closed.endpoint() + ": Connection refused");
}

// The steps are in the failure of a run that ends at its deadline.
TEST_F(ProxyTest, IsNamedByTheStepsInTheTunnel) {
  const auto silent = [](test::Line& line) -> asio::awaitable<void> {
    co_await test::read_http(line);
    co_await line.write("HTTP/1.1 200 OK\r\n\r\n");
    co_await line.discard_input();
  };
  const test::Conversation server(fixture.loop, silent);
  const std::vector<std::pair<std::string, std::string>> steps = {
      {"", "performing the TLS handshake with shop.example:25"},
      {", starttls: smtp", "requesting TLS from shop.example:25"}};
  for (const auto& [more, expected] : steps) {
    const auto probe =
        fixture.make("certificate", "endpoint: 'shop.example:25', proxy: 'http://" +
                                        server.endpoint() + '\'' + more + trusting(ca));
    SampleSet set;
    const auto run = [](Probe& it, SampleSet& out) -> asio::awaitable<int> {
      co_await it.observe(out);
      co_return 0;
    };
    test::Task<int> task(fixture.loop, run(*probe, set));
    const std::string step = expected + " through the proxy " + server.endpoint();
    EXPECT_TRUE(fixture.until([&] { return set.step() == step; })) << set.step();
    EXPECT_EQ(set.late(), Reason::timeout);
    task.cancel();
    EXPECT_TRUE(fixture.until([&] { return task.done(); }));
  }
}

}  // namespace
}  // namespace vitalsd
