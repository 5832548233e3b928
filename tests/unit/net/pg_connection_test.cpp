#include "probes/net/pg_connection.hpp"

#include "probes/services.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "unit/support/io_faults.hpp"
#include "unit/support/jobs.hpp"
#include "unit/support/stalled_job.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace vitalsd::net {
namespace {

using test::Endings;
using test::Fault;
using test::TlsPhase;
using test::Wire;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// ---- a server's side of the protocol ------------------------------------------------------------

std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
  return out;
}
std::string int16(int value) { return big_endian(static_cast<std::uint64_t>(value), 2); }
std::string int32(std::size_t value) { return big_endian(value, 4); }
std::string zero_ended(std::string_view text) { return std::string(text) + '\0'; }

std::string message(char type, const std::string& payload) {
  return type + int32(payload.size() + 4) + payload;
}
std::string authentication(std::size_t code, const std::string& rest = "") {
  return message('R', int32(code) + rest);
}
std::string parameter(std::string_view name, std::string_view value) {
  return message('S', zero_ended(name) + zero_ended(value));
}
std::string ready() { return message('Z', "I"); }
std::string complete(std::string_view tag) { return message('C', zero_ended(tag)); }
std::string report(char type, std::string_view severity, std::string_view sqlstate,
                   std::string_view text) {
  return message(type, 'S' + zero_ended(severity) + 'V' + zero_ended(severity) + 'C' +
                           zero_ended(sqlstate) + 'M' + zero_ended(text) + 'L' + zero_ended("123") +
                           'F' + zero_ended("postmaster.c") + 'R' + zero_ended("serve") + '\0');
}
std::string columns(const std::vector<std::string>& names) {
  std::string payload = int16(static_cast<int>(names.size()));
  for (const std::string& name : names) {
    constexpr std::size_t kText = 25;
    payload += zero_ended(name) + int32(0) + int16(0) + int32(kText) + int16(-1) +
               int32(0xffffffff) + int16(0);
  }
  return message('T', payload);
}
std::string row(const std::vector<std::optional<std::string>>& values) {
  std::string payload = int16(static_cast<int>(values.size()));
  for (const auto& value : values) {
    payload += value ? int32(value->size()) + *value : int32(0xffffffff);
  }
  return message('D', payload);
}

std::string base64(const std::string& bytes) {
  std::string out(4 * (bytes.size() / 3 + 1) + 1, '\0');
  out.resize(static_cast<std::size_t>(EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(out.data()),
      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()))));
  return out;
}
std::string hmac(const std::string& key, const std::string& text) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

constexpr std::string_view kPassword = "secret";

// RFC 5802, of which the server proves that it knows the password, and takes the client's word.
asio::awaitable<void> authenticate_by_scram(Wire& wire) {
  co_await wire.send(authentication(10, zero_ended("SCRAM-SHA-256") + '\0'));
  const std::string first = co_await wire.receive();
  const std::string client_first = first.substr(first.find(",,") + 2);
  const std::string nonce = client_first.substr(client_first.find("r=") + 2) + "server";
  const std::string salt = "a salt";
  const std::string server_first = "r=" + nonce + ",s=" + base64(salt) + ",i=2";
  co_await wire.send(authentication(11, server_first));
  const std::string second = co_await wire.receive();
  const std::size_t begin = second.find("c=");
  const std::string client_final = second.substr(begin, second.find(",p=") - begin);
  std::string salted(SHA256_DIGEST_LENGTH, '\0');
  PKCS5_PBKDF2_HMAC(kPassword.data(), static_cast<int>(kPassword.size()),
                    reinterpret_cast<const unsigned char*>(salt.data()),
                    static_cast<int>(salt.size()), 2, EVP_sha256(), static_cast<int>(salted.size()),
                    reinterpret_cast<unsigned char*>(salted.data()));
  const std::string signature =
      hmac(hmac(salted, "Server Key"), client_first + ',' + server_first + ',' + client_final);
  co_await wire.send(authentication(12, "v=" + base64(signature)));
}

enum class Ssl : unsigned char { unasked, refused, accepted };

asio::awaitable<void> send_rows(Wire& wire) {
  co_await wire.send(columns({"name", "size"}));
  co_await wire.send(row({"app", "4096"}));
  co_await wire.send(row({"empty", std::nullopt}) + complete("SELECT 2"));
  co_await wire.send(columns({"on"}) + row({"t"}) + complete("SELECT 1"));
  co_await wire.send(complete("COMMIT") + ready());
}

struct Server {
  using Act = std::function<asio::awaitable<void>(Wire&)>;

  Ssl ssl = Ssl::unasked;
  SSL_CTX* tls = nullptr;
  std::string behind_ssl_answer{};
  Act authenticate;         // null: trust
  Act answer = &send_rows;  // to what is asked after BEGIN
  std::string startup{};
  std::string set{};
  std::string question{};
};

asio::awaitable<void> log_in(Wire& wire, Server& server) {
  if (server.ssl != Ssl::unasked) {
    co_await wire.receive();
    co_await wire.send((server.ssl == Ssl::accepted ? "S" : "N") + server.behind_ssl_answer);
    if (server.ssl == Ssl::accepted) co_await wire.start_tls(server.tls);
  }
  server.startup = co_await wire.receive();
  if (server.authenticate) co_await server.authenticate(wire);
  co_await wire.send(authentication(0));
  co_await wire.send(parameter("server_version", "15.4"));
  co_await wire.send(message('K', int32(1) + int32(2)) + ready());
}

asio::awaitable<void> serve(Wire& wire, Server& server) {
  co_await log_in(wire, server);
  server.set = co_await wire.receive();
  co_await wire.send(complete("BEGIN") + complete("SET") + complete("SET") + message('Z', "T"));
  server.question = co_await wire.receive();
  co_await server.answer(wire);
}

std::string cells(const std::vector<PgResult>& results) {
  std::string out;
  for (const PgResult& result : results) {
    for (int i = 0; i < result.rows(); ++i) out += std::string(result.text(i, 0)) + ' ';
  }
  return out;
}

asio::awaitable<std::string> query(const Environment& environment, const PgOptions& options,
                                   SampleSet& out) {
  PgConnection connection = co_await PgConnection::open(environment, options, out);
  const std::vector<PgResult> results =
      co_await connection.query("SELECT 1; SELECT 2", out.time_limit());
  co_return std::to_string(connection.server_version()) + ": " + cells(results);
}

// ---- what a server says -------------------------------------------------------------------------

TEST(PgReasonTest, MapsSqlstates) {
  const std::vector<std::pair<std::string_view, Reason>> rows = {
      {"53300", Reason::overload},   {"53200", Reason::mismatch}, {"57P01", Reason::unready},
      {"57P02", Reason::unready},    {"57P03", Reason::unready},  {"57014", Reason::timeout},
      {"57P04", Reason::mismatch},   {"28000", Reason::auth},     {"28P01", Reason::auth},
      {"42501", Reason::permission}, {"42P01", Reason::mismatch}, {"08006", Reason::connect},
      {"3D000", Reason::mismatch},   {"", Reason::mismatch}};
  for (const auto& [sqlstate, reason] : rows) EXPECT_EQ(pg_reason(sqlstate), reason) << sqlstate;
}

TEST(PgSqlstateTest, FindsTheCodeBehindTheSeverity) {
  EXPECT_EQ(pg_sqlstate("FATAL:  53300: sorry, too many clients already"), "53300");
  EXPECT_EQ(pg_sqlstate("connection to server at \"::1\", port 5432 failed: "
                        "SCHWERWIEGEND:  28P01: Passwort-Authentifizierung fehlgeschlagen"),
            "28P01");
  EXPECT_EQ(pg_sqlstate("first:  no code: FATAL:  57P03: the database system is starting up"),
            "57P03");
}

TEST(PgSqlstateTest, FindsNoneInOtherTexts) {
  for (const std::string_view text :
       {"", ":  ", ":  5330", ":  53300", ":  53300:", ":  53300;x", ":  5330x: y", "53300: text",
        ": 53300: one blank", "could not connect: Connection refused"}) {
    EXPECT_EQ(pg_sqlstate(text), "") << text;
  }
}

TEST(PgEnvironmentTest, ForgetsWhatWouldChangeOurSettingsButNotThePassword) {
  setenv("PGOPTIONS", "-c search_path=x", 1);
  setenv("PGSERVICEFILE", "/nonexistent", 1);
  setenv("PGPASSWORD", "secret", 1);
  ignore_pg_environment();
  EXPECT_EQ(std::getenv("PGOPTIONS"), nullptr);
  EXPECT_EQ(std::getenv("PGSERVICEFILE"), nullptr);
  EXPECT_STREQ(std::getenv("PGPASSWORD"), "secret");
  unsetenv("PGPASSWORD");
}

// ---- the connection -----------------------------------------------------------------------------

class PgConnectionTest : public testing::Test {
 protected:
  PgConnectionTest() {
    peer_.listen();
    options_.endpoint = {"127.0.0.1", peer_.port()};
    options_.database = "app";
    options_.user = "monitor";
    options_.password = config::Secret::literal(std::string(kPassword));
    options_.sslmode = "disable";
  }

  std::string ask() {
    SampleSet out;
    out.set_time_limit(std::chrono::milliseconds(1234));
    return test::Task(loop_, query(services_.environment, options_, out)).get();
  }
  // The reason and the text of a conversation that fails.
  std::pair<Reason, std::string> failure() {
    try {
      return {Reason::internal, "none: " + ask()};
    } catch (const ProbeError& error) {
      return {error.reason(), error.what()};
    }
  }
  PgConnection open() {
    SampleSet out;
    return *test::Task(loop_, open_later(out)).get();
  }
  // A Task needs results that can be made without a value.
  asio::awaitable<std::optional<PgConnection>> open_later(SampleSet& out) {
    co_return co_await PgConnection::open(services_.environment, options_, out);
  }

  // Answers the startup, or the query, with these bytes in place of what belongs there.
  void answer_startup(std::string bytes) {
    server_.authenticate = [bytes = std::move(bytes)](Wire& wire) { return wire.send(bytes); };
  }
  void answer_query(std::string bytes) {
    server_.answer = [bytes = std::move(bytes)](Wire& wire) { return wire.send(bytes); };
  }

  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  Server server_;
  test::Peer peer_{loop_, [this](Wire& wire) { return serve(wire, server_); }};
  PgOptions options_;
};

TEST_F(PgConnectionTest, GivesOneResultForEachStatement) {
  EXPECT_EQ(ask(), "150004: app empty t ");
}

TEST_F(PgConnectionTest, NamesItselfUserAndDatabase) {
  ask();
  EXPECT_THAT(server_.startup, HasSubstr(std::string("\0user\0monitor\0", 14)));
  EXPECT_THAT(server_.startup, HasSubstr(std::string("\0database\0app\0", 14)));
  EXPECT_THAT(server_.startup, HasSubstr(std::string("\0application_name\0vitalsd\0", 26)));
}

// What a session is told by SET stays with the session, which a pooler gives to an application.
TEST_F(PgConnectionTest, AsksInATransactionOfWhichNothingStays) {
  ask();
  EXPECT_EQ(server_.set, message('Q', zero_ended("BEGIN READ ONLY; SET LOCAL statement_timeout = "
                                                 "1234; SET LOCAL search_path = pg_catalog")));
  EXPECT_EQ(server_.question, message('Q', zero_ended("SELECT 1; SELECT 2; COMMIT")));
}

asio::awaitable<void> take_password(Wire& wire, std::string request, std::string& into) {
  co_await wire.send(std::move(request));
  into = co_await wire.receive();
}

TEST_F(PgConnectionTest, AuthenticatesByPassword) {
  std::string password;
  server_.authenticate = [&](Wire& wire) {
    return take_password(wire, authentication(3), password);
  };
  EXPECT_EQ(ask(), "150004: app empty t ");
  EXPECT_EQ(password, message('p', zero_ended("secret")));
}

TEST_F(PgConnectionTest, AuthenticatesByMd5) {
  std::string password;
  server_.authenticate = [&](Wire& wire) {
    return take_password(wire, authentication(5, "salt"), password);
  };
  EXPECT_EQ(ask(), "150004: app empty t ");
  EXPECT_EQ(password, message('p', zero_ended("md5fa34c4308967fcc888933bdce8889b36")));
}

TEST_F(PgConnectionTest, AuthenticatesByScram) {
  server_.authenticate = &authenticate_by_scram;
  EXPECT_EQ(ask(), "150004: app empty t ");
}

// Hours of computing, for which the loop stood still.
TEST_F(PgConnectionTest, RefusesTwoBillionRoundsOfScram) {
  server_.authenticate = [](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(authentication(10, zero_ended("SCRAM-SHA-256") + '\0'));
    const std::string first = co_await wire.receive();
    const std::string nonce = first.substr(first.find("r=") + 2) + "server";
    co_await wire.send(authentication(11, "r=" + nonce + ",s=" + base64("salt") + ",i=2147483647"));
    co_await wire.receive();
  };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::auth);
  EXPECT_EQ(text, "the server asks for 2147483647 rounds of SCRAM; the limit is 1000000");
}

// Under TLS nobody sees it before libpq does: the run is given up, and the loop goes on.
TEST_F(PgConnectionTest, GivesUpAServerThatKeepsLibpqComputingUnderTls) {
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.sslmode = "require";
  bool asked = false;
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(authentication(10, zero_ended("SCRAM-SHA-256") + '\0'));
    const std::string first = co_await wire.receive();
    const std::string nonce = first.substr(first.find("r=") + 2) + "server";
    co_await wire.send(authentication(11, "r=" + nonce + ",s=" + base64("salt") + ",i=2000000"));
    asked = true;
    co_await wire.receive();
  };
  SampleSet out;
  test::Task task(loop_, open_later(out));
  ASSERT_TRUE(test::run_until(loop_, [&] { return asked && services_.connecting.busy() == 1; }));
  task.cancel();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(services_.connecting.hanging(), 1U);
  EXPECT_EQ(failure().second, "connecting to " + options_.endpoint.text() +
                                  " as monitor still hangs from an earlier run");
  // At the lowest priority, beside whatever else the machine has to do.
  constexpr auto kLong = std::chrono::minutes(1);
  EXPECT_TRUE(test::run_until(loop_, [&] { return services_.connecting.busy() == 0; }, kLong));
}

// libpq would have the request in its buffer before we see it, behind the "N" that it reads alone.
TEST_F(PgConnectionTest, AnswersNoRequestThatComesBeforeItHasSaidWhoItIs) {
  options_.sslmode = "prefer";
  server_.ssl = Ssl::refused;
  server_.behind_ssl_answer = authentication(3);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the server sent more than its answer to SSLRequest");
}

TEST_F(PgConnectionTest, EndsAServerThatAsksForThePasswordAgainAndAgain) {
  bool stopped = false;
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(authentication(5, "salt"));
    try {
      std::string many;
      for (int i = 0; i < 5000; ++i) many += authentication(5, "salt");
      for (;;) co_await wire.send(many);
    } catch (const boost::system::system_error&) {
      stopped = true;
      throw;
    }
  };
  const auto [reason, text] = failure();
  EXPECT_TRUE(reason == Reason::auth || reason == Reason::protocol) << text;
  EXPECT_TRUE(test::run_until(loop_, [&] { return stopped; }));
}

TEST_F(PgConnectionTest, EndsAServerThatReportsParametersWithoutEnd) {
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    std::string many = authentication(0);
    for (int i = 0; i < 50'000; ++i) many += parameter("p" + std::to_string(i), "x");
    co_await wire.send(many);
  };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the server sent more than 65536 bytes before it was ready");
}

TEST_F(PgConnectionTest, EndsAQueryWhoseAnswerIsParametersWithoutEnd) {
  std::string many;
  for (int i = 0; i < 400'000; ++i) many += parameter("p" + std::to_string(i), "x");
  answer_query(many);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the answer takes too long to be read");
}

TEST_F(PgConnectionTest, RefusesMoreRowsThanItCanMean) {
  std::string rows = columns({"a"});
  for (int i = 0; i < 20'001; ++i) rows += row({"x"});
  answer_query(rows + complete("SELECT 20001") + complete("COMMIT") + ready());
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the answer has more than 20000 rows for one statement");
}

// GSSAPI would look the server's name up by the system's resolver, which may hang.
TEST_F(PgConnectionTest, RefusesToAuthenticateByGssapi) {
  std::string answer;
  server_.authenticate = [&](Wire& wire) { return take_password(wire, authentication(7), answer); };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::auth);
  EXPECT_EQ(text, "the server asks for a way of authentication that vitalsd does not know");
  EXPECT_EQ(answer, "");
}

// It comes in pieces, and is judged as a whole.
TEST_F(PgConnectionTest, ReadsARequestThatComesByteByByte) {
  server_.authenticate = [](Wire& wire) -> asio::awaitable<void> {
    for (const char byte : authentication(7)) co_await wire.send(std::string(1, byte));
  };
  EXPECT_EQ(failure().first, Reason::auth);
}

TEST_F(PgConnectionTest, TakesNoOtherServerThanOneThatKnowsThePasswordWhereItIsToldTo) {
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

TEST_F(PgConnectionTest, RefusesAServerThatDoesNotKnowThePasswordByScram) {
  server_.authenticate = &authenticate_by_scram;
  options_.password = config::Secret::literal("another");
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol) << text;
}

TEST_F(PgConnectionTest, ReportsAuthWhenThereIsNoPassword) {
  server_.authenticate = &authenticate_by_scram;
  options_.password = {};
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::auth);
  EXPECT_THAT(text, HasSubstr("no password supplied"));
}

TEST_F(PgConnectionTest, ReportsAPasswordThatCannotBeReadBeforeItConnects) {
  options_.password = config::Secret::file("/nonexistent/password");
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::config);
  EXPECT_THAT(text, HasSubstr("/nonexistent/password"));
  EXPECT_EQ(server_.startup, "");
}

TEST_F(PgConnectionTest, ReportsWhyALogInIsRefusedOnOneLine) {
  answer_startup(report('E', "FATAL", "53300", "sorry, too many clients\nalready"));
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::overload);
  EXPECT_THAT(text, AllOf(HasSubstr("FATAL:  53300: sorry, too many clients already"),
                          Not(HasSubstr("\n")), Not(HasSubstr("postmaster.c"))));
}

TEST_F(PgConnectionTest, ReportsWhyAQueryIsRefusedOnOneLine) {
  answer_query(columns({"a"}) + row({"x"}) +
               report('E', "ERROR", "42501", "permission denied\nfor view") + ready());
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::permission);
  EXPECT_EQ(text, "ERROR:  permission denied for view");
}

TEST_F(PgConnectionTest, ReportsOurOwnStatementTimeoutAsTimeout) {
  answer_query(report('E', "ERROR", "57014", "canceling statement due to statement timeout") +
               ready());
  EXPECT_EQ(failure().first, Reason::timeout);
}

TEST_F(PgConnectionTest, ReportsAServerThatIsShutDownAsUnready) {
  answer_query(report('E', "FATAL", "57P01", "terminating connection"));
  EXPECT_EQ(failure().first, Reason::unready);
}

TEST_F(PgConnectionTest, ReportsAServerThatIsNotPostgres) {
  answer_startup("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_NE(text, "");
}

TEST_F(PgConnectionTest, ReportsAMessageThatDoesNotBelongToALogIn) {
  answer_startup(authentication(0) + complete("SELECT 0") + ready());
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol) << text;
}

TEST_F(PgConnectionTest, ReportsAnAnswerThatMakesNoSense) {
  answer_query("\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13");
  const auto [reason, text] = failure();
  EXPECT_TRUE(reason == Reason::protocol || reason == Reason::connect) << text;
}

TEST_F(PgConnectionTest, RefusesAnAnswerOfMoreThan16Mebibytes) {
  const std::string rows = row({std::string(std::size_t{1} << 20, 'x')});
  std::string bytes = columns({"a"});
  for (int i = 0; i < 17; ++i) bytes += rows;
  answer_query(bytes);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the answer is larger than 16777216 bytes");
}

TEST_F(PgConnectionTest, PassesOverNotices) {
  answer_query(report('N', "WARNING", "01000", "there is a transaction") + complete("SELECT 0") +
               complete("COMMIT") + ready());
  testing::internal::CaptureStderr();
  EXPECT_EQ(ask(), "150004: ");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(PgConnectionTest, ReportsTlsFailureWhenTheServerRefusesIt) {
  server_.ssl = Ssl::refused;
  options_.sslmode = "require";
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::tls);
  EXPECT_THAT(text, HasSubstr("server does not support SSL"));
}

TEST_F(PgConnectionTest, VerifiesTheServersCertificateOnlyWhereItIsAskedTo) {
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

TEST_F(PgConnectionTest, HoldsTheCertificateAgainstTheNameThatItIsGiven) {
  const test::TempDirectory directory;
  const test::Certificate certificate = test::make_certificate("peer");
  const test::ServerContext context = test::server_context(certificate);
  server_.ssl = Ssl::accepted;
  server_.tls = context.get();
  options_.sslmode = "verify-full";
  options_.tls.ca = directory.file("ca.pem", certificate.certificate);
  EXPECT_EQ(failure().first, Reason::tls);  // it is not that of 127.0.0.1
  options_.tls.server_name = "peer";
  EXPECT_EQ(ask(), "150004: app empty t ");
}

TEST_F(PgConnectionTest, KnowsWhenTheServerHasHungUp) {
  server_.answer = [](Wire& wire) { return wire.drain(); };
  const PgConnection idle = open();
  EXPECT_FALSE(idle.hung_up());
  peer_.hang_up();
  EXPECT_TRUE(test::run_until(loop_, [&] { return idle.hung_up(); }));
}

TEST_F(PgConnectionTest, ReadsNumbersAndTruthOfTextCells) {
  answer_query(columns({"n"}) + row({"1.5e3"}) + row({"-7"}) + row({std::nullopt}) + row({""}) +
               row({"12 kB"}) + row({"t"}) + row({"f"}) + complete("SELECT 7") +
               complete("COMMIT") + ready());
  PgConnection connection = open();
  const auto results =
      test::Task(loop_, connection.query("SELECT n", std::chrono::seconds(1))).get();
  const PgResult& result = results.at(0);
  ASSERT_EQ(result.rows(), 7);
  EXPECT_EQ(result.number(0, 0), 1500);
  EXPECT_EQ(result.number(1, 0), -7);
  for (const int no_number : {2, 3, 4, 5}) EXPECT_EQ(result.number(no_number, 0), std::nullopt);
  EXPECT_EQ(result.text(2, 0), "");
  EXPECT_EQ(result.text(4, 0), "12 kB");
  EXPECT_TRUE(result.is_true(5, 0));
  EXPECT_FALSE(result.is_true(6, 0));
  EXPECT_FALSE(result.is_true(2, 0));
}

asio::awaitable<std::string> query_at(const Environment& environment, std::uint16_t port,
                                      SampleSet& out) {
  PgOptions options;
  options.endpoint = {"127.0.0.1", port};
  options.database = "app";
  options.user = "monitor";
  options.sslmode = "disable";
  co_return co_await query(environment, options, out);
}

TEST(PgConnectionDeadlineTest, EndsARunWhoseServerFallsSilent) {
  test::JobFixture house;
  ProbeServices services(house.loop, {});
  Server server;
  test::Peer peer(house.loop, [&server](Wire& wire) { return serve(wire, server); });
  constexpr std::size_t kRow = 9;
  const auto conversation = [&](std::uint16_t port, SampleSet& out) {
    return query_at(services.environment, port, out);
  };
  EXPECT_EQ(test::run_with_stall(house, peer, kRow, conversation),
            "timeout: no response within 50ms while connecting to 127.0.0.1:" +
                std::to_string(peer.port()));
}

// ---- faults at each step ------------------------------------------------------------------------

class PgConnectionFaults : public testing::TestWithParam<std::tuple<Fault, Ssl>> {
 protected:
  PgConnectionFaults() {
    server_.ssl = std::get<Ssl>(GetParam());
    server_.tls = context_.get();
    server_.authenticate = &authenticate_by_scram;
    options_.database = "app";
    options_.user = "monitor";
    options_.password = config::Secret::literal(std::string(kPassword));
    switch (server_.ssl) {
      case Ssl::unasked:
        options_.sslmode = "disable";
        break;
      case Ssl::refused:
        options_.sslmode = "prefer";
        break;
      case Ssl::accepted:
        options_.sslmode = "require";
        break;
    }
  }

  asio::awaitable<std::string> converse(std::uint16_t port, SampleSet& out) {
    options_.endpoint = {"127.0.0.1", port};
    return query(services_.environment, options_, out);
  }

  // What a fault may be reported as.
  static Endings endings(Fault fault, TlsPhase phase) {
    if (fault == Fault::refuse) return {Reason::connect};
    if (phase == TlsPhase::begins) return {Reason::tls};
    // libpq tells an end and a reset apart, but not always from a server that makes no sense.
    Endings endings = {Reason::connect, Reason::protocol};
    if (phase != TlsPhase::none) endings.insert(Reason::tls);
    return endings;
  }

  test::ServerContext context_ = test::server_context(test::make_certificate("peer"));
  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  Server server_;
  test::Peer peer_{loop_, [this](Wire& wire) { return serve(wire, server_); }};
  PgOptions options_;
};

TEST_P(PgConnectionFaults, EndWellAtEachStep) {
  const Fault fault = std::get<Fault>(GetParam());
  const bool with_tls = server_.ssl == Ssl::accepted;
  std::size_t stride = 1;
  if (fault == Fault::cut && server_.ssl != Ssl::unasked) stride = with_tls ? 61 : 7;
  const auto conversation = [this](std::uint16_t port, SampleSet& out) {
    // A thread that was given up takes a moment to come back.
    test::run_until(loop_, [this] { return services_.connecting.busy() == 0; });
    return converse(port, out);
  };
  const std::size_t steps = test::fail_each_step(peer_, fault, conversation, &endings, stride);
  RecordProperty("steps", static_cast<int>(steps));
  // A connection accepted, five messages read, twelve pieces written, and what TLS takes.
  if (fault == Fault::cut) {
    EXPECT_GE(steps * stride, with_tls ? 1500U : 300U);
  } else if (fault != Fault::refuse) {
    EXPECT_GE(steps, with_tls ? 22U : 18U);
  }
}

std::string case_name(const testing::TestParamInfo<std::tuple<Fault, Ssl>>& info) {
  constexpr std::array<std::string_view, 3> kNames = {"plain", "tls_refused", "tls"};
  const auto ssl = static_cast<std::size_t>(std::get<Ssl>(info.param));
  return std::string(test::fault_name(std::get<Fault>(info.param))) + '_' +
         std::string(kNames.at(ssl));
}
INSTANTIATE_TEST_SUITE_P(All, PgConnectionFaults,
                         testing::Combine(testing::ValuesIn(test::kFaults),
                                          testing::Values(Ssl::unasked, Ssl::refused,
                                                          Ssl::accepted)),
                         case_name);

}  // namespace
}  // namespace vitalsd::net
