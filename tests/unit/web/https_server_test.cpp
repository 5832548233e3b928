// The server over TLS.
#include "exporter/web/http_server.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "unit/support/certificate.hpp"
#include "unit/support/temp_directory.hpp"
#include "unit/web/http_server_fixture.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using namespace std::chrono_literals;
using asio::ip::tcp;
using Client = test::WebClient;
using Response = test::WebResponseMessage;
using test::HttpServerTest;

class HttpsServerTest : public HttpServerTest {
 protected:
  HttpsServerTest() { install(test::make_certificate("first")); }

  void install(const test::Certificate& certificate) {
    daemon.options.certificate = directory.file("tls.crt", certificate.certificate);
    daemon.options.key = directory.file("tls.key", certificate.key);
  }

  // Sends a request over TLS. Returns the common name of the server's certificate.
  std::string request(const std::optional<test::Certificate>& certificate = std::nullopt) {
    connect();  // starts the server
    asio::io_context io{1};
    asio::ssl::context context(asio::ssl::context::tls_client);
    if (certificate) {
      context.use_certificate(asio::buffer(certificate->certificate), asio::ssl::context::pem);
      context.use_private_key(asio::buffer(certificate->key), asio::ssl::context::pem);
    }
    SSL_CTX_set_max_proto_version(context.native_handle(), max_version);
    asio::ssl::stream<tcp::socket> stream(io, context);
    if (session) SSL_set_session(stream.native_handle(), session.get());
    stream.next_layer().connect({asio::ip::address_v4::loopback(), server->port()});
    stream.handshake(asio::ssl::stream_base::client);
    asio::write(stream, asio::buffer(std::string_view(
                            "GET /-/healthy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
    beast::flat_buffer buffer;
    Response response;
    http::read(stream, buffer, response);
    EXPECT_EQ(response.body(), "vitalsd is healthy.\n");
    session.reset(SSL_get1_session(stream.native_handle()));
    // Without this, OpenSSL treats the end as a truncation and the session as not resumable.
    SSL_set_shutdown(stream.native_handle(), SSL_SENT_SHUTDOWN);
    const std::unique_ptr<X509, decltype(&X509_free)> peer(
        SSL_get1_peer_certificate(stream.native_handle()), &X509_free);
    std::string name(64, '\0');
    const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName,
                                               name.data(), 64);
    return name.substr(0, static_cast<std::size_t>(size));
  }

  test::TempDirectory directory;
  int max_version = 0;  // of TLS; 0: any
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session{nullptr, &SSL_SESSION_free};
};

TEST_F(HttpsServerTest, ServesTls) { EXPECT_EQ(request(), "first"); }

TEST_F(HttpsServerTest, ClosesPlainHttpConnections) {
  Client client = connect();
  client.send("GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(client.is_closed());
}

TEST_F(HttpsServerTest, ClientsThatStillSendGetTheRefusal) {
  connect();  // starts the server
  asio::io_context io{1};
  asio::ssl::context context(asio::ssl::context::tls_client);
  asio::ssl::stream<tcp::socket> stream(io, context);
  stream.next_layer().connect({asio::ip::address_v4::loopback(), server->port()});
  stream.handshake(asio::ssl::stream_base::client);
  constexpr std::size_t kSize = std::size_t{3} << 20;
  asio::write(stream, asio::buffer("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " +
                                   std::to_string(kSize) + "\r\n\r\n" + std::string(kSize, 'x')));
  beast::flat_buffer buffer;
  Response response;
  http::read(stream, buffer, response);
  EXPECT_EQ(response.result_int(), 413U);
}

TEST_F(HttpsServerTest, ClosesSlowHandshakes) {
  daemon.options.request_timeout = 50ms;
  EXPECT_TRUE(connect().is_closed());
}

TEST_F(HttpsServerTest, LoadsACertificateThatChanged) {
  EXPECT_EQ(request(), "first");
  install(test::make_certificate("second"));
  std::filesystem::last_write_time(daemon.options.certificate,
                                   std::filesystem::file_time_type::clock::now() + 10s);
  EXPECT_EQ(request(), "second");
}

TEST_F(HttpsServerTest, LoadsACertificateThatChangedWithinASecond) {
  const auto time = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(daemon.options.certificate, time);
  std::filesystem::last_write_time(daemon.options.key, time);
  EXPECT_EQ(request(), "first");
  install(test::make_certificate("second"));
  std::filesystem::last_write_time(daemon.options.certificate, time + 1ns);
  std::filesystem::last_write_time(daemon.options.key, time + 1ns);
  EXPECT_EQ(request(), "second");
}

TEST_F(HttpsServerTest, KeepsItsCertificateIfTheFileIsAFifo) {
  EXPECT_EQ(request(), "first");
  std::filesystem::remove(daemon.options.certificate);
  ASSERT_EQ(mkfifo(daemon.options.certificate.c_str(), 0600), 0);  // without a writer
  std::filesystem::last_write_time(daemon.options.certificate,
                                   std::filesystem::file_time_type::clock::now() + 10s);
  EXPECT_EQ(request(), "first");
}

TEST_F(HttpsServerTest, KeepsItsCertificateIfTheFilesAreInvalid) {
  EXPECT_EQ(request(), "first");
  std::filesystem::remove(directory.file("tls.crt", "half a certifi"));
  EXPECT_EQ(request(), "first");
}

TEST_F(HttpsServerTest, RequiresAClientCertificateOfItsCa) {
  const test::Certificate ca = test::make_certificate("ca");
  daemon.options.client_ca = directory.file("ca.crt", ca.certificate);
  EXPECT_EQ(request(test::make_certificate("client", ca)), "first");
  EXPECT_THROW(request(), boost::system::system_error);
  EXPECT_THROW(request(test::make_certificate("untrusted")), boost::system::system_error);
}

TEST_F(HttpsServerTest, AcceptsClientsWithACertificateRepeatedly) {
  const test::Certificate ca = test::make_certificate("ca");
  const test::Certificate client = test::make_certificate("client", ca);
  daemon.options.client_ca = directory.file("ca.crt", ca.certificate);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    max_version = version;
    session.reset();
    EXPECT_EQ(request(client), "first");
    EXPECT_EQ(request(client), "first");  // with the previous session, if there is one
  }
}

TEST_F(HttpsServerTest, AcceptsSeveralClientCas) {
  const test::Certificate one = test::make_certificate("one");
  const test::Certificate two = test::make_certificate("two");
  daemon.options.client_ca = directory.file("ca.crt", one.certificate + two.certificate);
  EXPECT_EQ(request(test::make_certificate("client", one)), "first");
  session.reset();
  EXPECT_EQ(request(test::make_certificate("client", two)), "first");
}

TEST_F(HttpsServerTest, ThrowsIfItsCertificateCannotBeUsed) {
  daemon.options.key = directory.file("other.key", test::make_certificate("other").key);
  EXPECT_THROW(HttpServer(daemon.options), std::exception);
  const test::Profile rsa{.make_key = [] { return EVP_RSA_gen(2048); }};
  daemon.options.key =
      directory.file("rsa.key", test::make_certificate("rsa", std::nullopt, rsa).key);
  EXPECT_THROW(HttpServer(daemon.options), std::exception);
  daemon.options.certificate = directory.path("missing.crt");
  EXPECT_THROW(HttpServer(daemon.options), std::exception);
}

}  // namespace
}  // namespace vitalsd
