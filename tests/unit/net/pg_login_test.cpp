#include "probes/net/pg_login.hpp"

#include "probes/error.hpp"
#include "probes/services.hpp"

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>

#include "unit/net/pg_server.hpp"
#include "unit/support/io_faults.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/awaitable.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

namespace vitalsd::net {
namespace {

using namespace test::pg;
using test::Wire;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class PgLoginTest : public PgTest {};

TEST_F(PgLoginTest, SendsUserDatabaseAndApplicationName) {
  ask();
  EXPECT_THAT(server_.startup, HasSubstr(std::string("\0user\0monitor\0", 14)));
  EXPECT_THAT(server_.startup, HasSubstr(std::string("\0database\0app\0", 14)));
  EXPECT_THAT(server_.startup, HasSubstr(std::string("\0application_name\0vitalsd\0", 26)));
}

asio::awaitable<void> take_password(Wire& wire, std::string request, std::string& into) {
  co_await wire.send(std::move(request));
  into = co_await wire.receive();
}

TEST_F(PgLoginTest, AuthenticatesWithCleartextPassword) {
  std::string password;
  server_.authenticate = [&](Wire& wire) {
    return take_password(wire, authentication(3), password);
  };
  EXPECT_EQ(ask(), "150004: app empty t ");
  EXPECT_EQ(password, message('p', c_string("secret")));
}

TEST_F(PgLoginTest, AuthenticatesWithMd5) {
  std::string password;
  server_.authenticate = [&](Wire& wire) {
    return take_password(wire, authentication(5, "salt"), password);
  };
  EXPECT_EQ(ask(), "150004: app empty t ");
  EXPECT_EQ(password, message('p', c_string("md5fa34c4308967fcc888933bdce8889b36")));
}

TEST_F(PgLoginTest, AuthenticatesWithScram) {
  server_.authenticate = &authenticate_by_scram;
  EXPECT_EQ(ask(), "150004: app empty t ");
}

// libpq would compute for hours.
TEST_F(PgLoginTest, RejectsTwoBillionIterationsOfScram) {
  server_.authenticate = [](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(authentication(10, c_string("SCRAM-SHA-256") + '\0'));
    const std::string first = co_await wire.receive();
    const std::string nonce = first.substr(first.find("r=") + 2) + "server";
    co_await wire.send(authentication(11, "r=" + nonce + ",s=" + base64("salt") + ",i=2147483647"));
    co_await wire.receive();
  };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::auth);
  EXPECT_EQ(text, "the server requests 2147483647 iterations of SCRAM; the limit is 1000000");
}

// Gives all threads of this process the usual priority.
void end_low_priority() {
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    const sched_param usual{};
    sched_setscheduler(std::stoi(thread.path().filename()), SCHED_OTHER, &usual);
  }
}

// Under TLS vitalsd cannot check the request before libpq reads it. The run ends at its deadline,
// and the loop is not blocked.
TEST_F(PgLoginTest, AbandonsAThreadThatComputesUnderTls) {
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.sslmode = "require";
  bool challenged = false;
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(authentication(10, c_string("SCRAM-SHA-256") + '\0'));
    const std::string first = co_await wire.receive();
    const std::string nonce = first.substr(first.find("r=") + 2) + "server";
    co_await wire.send(authentication(11, "r=" + nonce + ",s=" + base64("salt") + ",i=1000000"));
    challenged = true;
    co_await wire.receive();
  };
  SampleSet out;
  test::Task task(loop_, open_async(out));
  ASSERT_TRUE(
      test::run_until(loop_, [&] { return challenged && services_.connecting.busy() == 1; }));
  task.cancel();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(services_.connecting.hanging(), 1U);
  EXPECT_EQ(failure().second, "connecting to " + options_.endpoint.text() +
                                  " as monitor still hangs from an earlier run");
  // An abandoned thread has the lowest priority. On a busy machine it would take minutes.
  end_low_priority();
  EXPECT_TRUE(test::run_until(
      loop_, [&] { return services_.connecting.busy() == 0; }, std::chrono::minutes(1)));
}

// libpq would read the request into its buffer together with the "N", before vitalsd checks it.
TEST_F(PgLoginTest, RejectsARequestSentTogetherWithTheSslResponse) {
  options_.sslmode = "prefer";
  server_.ssl = Ssl::refused;
  server_.after_ssl_response = authentication(3);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the server sent more than its response to SSLRequest");
}

TEST_F(PgLoginTest, RejectsEndlessPasswordRequests) {
  bool disconnected = false;
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(authentication(5, "salt"));
    try {
      std::string messages;
      for (int i = 0; i < 5000; ++i) messages += authentication(5, "salt");
      for (;;) co_await wire.send(messages);
    } catch (const boost::system::system_error&) {
      disconnected = true;
      throw;
    }
  };
  const auto [reason, text] = failure();
  EXPECT_TRUE(reason == Reason::auth || reason == Reason::protocol) << text;
  EXPECT_TRUE(test::run_until(loop_, [&] { return disconnected; }));
}

TEST_F(PgLoginTest, RejectsEndlessParametersDuringLogin) {
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    std::string messages = authentication(0);
    for (int i = 0; i < 50'000; ++i) messages += parameter("p" + std::to_string(i), "x");
    co_await wire.send(messages);
  };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the server sent more than 65536 bytes during the login");
}

// GSSAPI would resolve the server's name with the system's resolver, which may block.
TEST_F(PgLoginTest, RejectsGssapi) {
  std::string response;
  server_.authenticate = [&](Wire& wire) {
    return take_password(wire, authentication(7), response);
  };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::auth);
  EXPECT_EQ(text, "the server requests an authentication method that vitalsd does not support");
  EXPECT_EQ(response, "");
}

// Under TLS libpq sees the request first, and tries on a thread. The server is up.
TEST_F(PgLoginTest, DoesNotAuthenticateByGssapiUnderTls) {
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.sslmode = "require";
  server_.authenticate = [](Wire& wire) { return wire.send(authentication(7)); };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::auth) << text;
}

TEST_F(PgLoginTest, ReadsARequestThatArrivesByteByByte) {
  server_.authenticate = [](Wire& wire) -> asio::awaitable<void> {
    for (const char byte : authentication(7)) co_await wire.send(std::string(1, byte));
  };
  EXPECT_EQ(failure().first, Reason::auth);
}

TEST_F(PgLoginTest, DoesNotSendThePasswordIfChannelBindingIsRequired) {
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.sslmode = "require";
  options_.channel_binding = "require";
  std::string password;
  server_.authenticate = [&](Wire& wire) {
    return take_password(wire, authentication(3), password);
  };
  EXPECT_EQ(failure().first, Reason::auth);
  EXPECT_EQ(password, "");
}

TEST_F(PgLoginTest, RejectsAScramServerThatDoesNotKnowThePassword) {
  server_.authenticate = &authenticate_by_scram;
  options_.password = config::Secret::literal("another");
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol) << text;
}

TEST_F(PgLoginTest, ReportsAuthIfNoPasswordIsSet) {
  server_.authenticate = &authenticate_by_scram;
  options_.password = {};
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::auth);
  EXPECT_THAT(text, HasSubstr("no password supplied"));
}

TEST_F(PgLoginTest, ReadsThePasswordBeforeItConnects) {
  options_.password = config::Secret::file("/nonexistent/password");
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::config);
  EXPECT_THAT(text, HasSubstr("/nonexistent/password"));
  EXPECT_EQ(server_.startup, "");
}

TEST_F(PgLoginTest, ReportsALoginErrorOnOneLine) {
  respond_to_startup(report('E', "FATAL", "53300", "sorry, too many clients\nalready"));
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::overload);
  EXPECT_THAT(text, AllOf(HasSubstr("FATAL:  53300: sorry, too many clients already"),
                          Not(HasSubstr("\n")), Not(HasSubstr("postmaster.c"))));
}

TEST_F(PgLoginTest, ReportsAServerThatIsNotPostgres) {
  respond_to_startup("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_NE(text, "");
}

TEST_F(PgLoginTest, ReportsAnUnexpectedMessageDuringLogin) {
  respond_to_startup(authentication(0) + complete("SELECT 0") + ready());
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol) << text;
}

TEST_F(PgLoginTest, ReportsTlsIfTheServerRefusesTls) {
  server_.ssl = Ssl::refused;
  options_.sslmode = "require";
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::tls);
  EXPECT_THAT(text, HasSubstr("server does not support SSL"));
}

TEST_F(PgLoginTest, VerifiesTheCertificateOnlyIfConfigured) {
  const test::TempDirectory directory;
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.tls.ca = directory.file("other.pem", test::make_certificate("other").certificate);
  options_.sslmode = "require";
  EXPECT_EQ(ask(), "150004: app empty t ");
  options_.sslmode = "verify-ca";
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::tls);
  EXPECT_THAT(text, HasSubstr("certificate verify failed"));
  options_.tls.ca = directory.file("ca.pem", certificate.certificate);
  EXPECT_EQ(ask(), "150004: app empty t ");
}

TEST_F(PgLoginTest, VerifiesTheConfiguredServerName) {
  const test::TempDirectory directory;
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.sslmode = "verify-full";
  options_.tls.ca = directory.file("ca.pem", certificate.certificate);
  EXPECT_EQ(failure().first, Reason::tls);  // the certificate is not for 127.0.0.1
  options_.tls.server_name = "peer";
  EXPECT_EQ(ask(), "150004: app empty t ");
}

// A database must not be reported as down because a file of vitalsd is missing or unusable.
TEST_F(PgLoginTest, DoesNotAttributeAnUnusableFileToTheServer) {
  const test::TempDirectory directory;
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.sslmode = "verify-ca";
  options_.tls.ca = "/nonexistent/ca.pem";
  EXPECT_EQ(failure(), std::pair(Reason::config, std::string("cannot read /nonexistent/ca.pem: "
                                                             "No such file or directory")));
  options_.sslmode = "require";  // does not read the CA
  options_.tls.certificate = directory.file("client.pem", certificate.certificate);
  options_.tls.key = directory.file("key.pem", test::make_certificate("other").key);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::config);
  EXPECT_THAT(text, HasSubstr(options_.tls.certificate));
  options_.tls.key = directory.file("key.pem", certificate.key);  // others can read it
  EXPECT_EQ(ask(), "150004: app empty t ");
}

}  // namespace
}  // namespace vitalsd::net
