#include "probes/net/redis_connection.hpp"

#include "probes/services.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "unit/support/io_faults.hpp"
#include "unit/support/jobs.hpp"
#include "unit/support/stalled_job.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using test::Endings;
using test::Fault;
using test::TlsPhase;
using testing::HasSubstr;
using Kind = RedisReply::Kind;

// ---- errors -------------------------------------------------------------------------------------

TEST(RedisErrorTest, MapsCodesToReasons) {
  const std::vector<std::pair<std::string, Reason>> rows = {
      {"NOAUTH Authentication required.", Reason::auth},
      {"WRONGPASS invalid username-password pair or user is disabled.", Reason::auth},
      {"ERR invalid password", Reason::auth},
      {"ERR Client sent AUTH, but no password is set", Reason::auth},
      {"ERR AUTH <password> called without any password configured for the default user",
       Reason::auth},
      {"NOPERM this user has no permissions to run the 'info' command", Reason::permission},
      {"LOADING Redis is loading the dataset in memory", Reason::unready},
      {"MASTERDOWN Link with MASTER is down", Reason::unready},
      {"BUSY Redis is busy running a script.", Reason::unready},
      {"ERR max number of clients reached", Reason::overload},
      {"ERR unknown command 'INFO'", Reason::mismatch},
      {"LOADINGS", Reason::mismatch},
      {"", Reason::mismatch},
  };
  for (const auto& [text, reason] : rows) {
    const ProbeError error = redis_error(text);
    EXPECT_EQ(error.reason(), reason) << text;
    EXPECT_EQ(error.what(), text);
  }
}

// ---- the connection -----------------------------------------------------------------------------

// The server for the fault tests. Each piece of a reply is a separate step.
asio::awaitable<void> serve(test::Wire& wire) {
  std::string command = co_await wire.receive();
  if (command != "*3\r\n$4\r\nAUTH\r\n$7\r\nmonitor\r\n$6\r\nsecret\r\n") co_return;
  co_await wire.send("+OK\r\n");
  command = co_await wire.receive();
  if (command != "*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n") co_return;
  co_await wire.send("+OK\r\n");
  co_await wire.receive();
  co_await wire.send("$20\r\nused_memory:");
  co_await wire.send("4096\r\nx:\r\n");
  co_await wire.receive();
  co_await wire.send("*3\r\n$6\r\nmaster\r\n");
  co_await wire.send(":7\r\n*0\r\n");
}

class RedisConnectionTest : public testing::Test {
 protected:
  // The error of a client whose server sends the same reply to every command.
  std::string failure_of(std::string reply, Reason reason, RedisOptions options = {}) {
    test::Peer peer(loop_, [&reply](test::Wire& wire) { return answer(wire, reply); });
    peer.listen();
    options.endpoint = {"127.0.0.1", peer.port()};
    SampleSet out;
    try {
      test::Task(loop_, ask(services_.environment, options, out)).get();
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), reason) << reason_name(error.reason());
      return error.what();
    }
    return "none";
  }
  static asio::awaitable<void> answer(test::Wire& wire, const std::string& reply) {
    for (;;) {
      co_await wire.receive();
      co_await wire.send(reply);
    }
  }
  static asio::awaitable<std::string> ask(const Environment& environment,
                                          const RedisOptions& options, SampleSet& out) {
    RedisConnection connection = co_await RedisConnection::open(environment, options, out);
    std::vector<std::string> words = {"PING"};
    const RedisReply reply = co_await connection.expect(std::move(words), Kind::text);
    co_return reply.text;
  }

  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
};

TEST_F(RedisConnectionTest, ReportsErrorReplies) {
  EXPECT_EQ(failure_of("-NOAUTH Authentication required.\r\n", Reason::auth),
            "NOAUTH Authentication required.");
  EXPECT_EQ(failure_of("-LOADING wait\r\n", Reason::unready), "LOADING wait");
  RedisOptions with_password;
  with_password.password = config::Secret::literal("secret");
  EXPECT_EQ(failure_of("-WRONGPASS no\r\n", Reason::auth, with_password),
            "the server rejects AUTH: WRONGPASS");
  EXPECT_EQ(
      failure_of("-ERR AUTH <password> called without any password configured for the default "
                 "user\r\n",
                 Reason::auth, with_password),
      "a password is configured, but the server has none");
}

// With `rename-command AUTH ""` the server quotes user and password.
TEST_F(RedisConnectionTest, DoesNotRepeatTheReplyToAuth) {
  RedisOptions options;
  options.user = "monitor";
  options.password = config::Secret::literal("pw1");
  EXPECT_EQ(failure_of("-ERR unknown command 'AUTH', with args beginning with: 'monitor' 'pw1'\r\n",
                       Reason::mismatch, options),
            "the server rejects AUTH: ERR");
  EXPECT_EQ(failure_of("-pw1\r\n", Reason::mismatch, options), "the server rejects AUTH");
  EXPECT_EQ(failure_of(":1\r\n", Reason::protocol, options),
            "the reply to AUTH has an unexpected type");
}

TEST_F(RedisConnectionTest, ReportsAReplyOfAnUnexpectedType) {
  EXPECT_EQ(failure_of(":1\r\n", Reason::protocol), "the reply to PING has an unexpected type");
  RedisOptions with_database;
  with_database.database = 2;
  EXPECT_EQ(failure_of("*0\r\n", Reason::protocol, with_database),
            "the reply to SELECT has an unexpected type");
}

TEST_F(RedisConnectionTest, ReportsAReplyThatIsNotRedis) {
  EXPECT_THAT(failure_of("HTTP/1.1 400 Bad Request\r\n\r\n", Reason::protocol),
              HasSubstr("not RESP2: "));
}

TEST_F(RedisConnectionTest, ReadsThePasswordBeforeItConnects) {
  RedisOptions options;
  options.password = config::Secret::file("/nonexistent/password");
  EXPECT_THAT(failure_of("+OK\r\n", Reason::config, options), HasSubstr("/nonexistent/password"));
}

TEST_F(RedisConnectionTest, ReportsTlsIfTheServerDoesNotUseTls) {
  RedisOptions options;
  options.tls.emplace();
  EXPECT_THAT(failure_of("-ERR Protocol error\r\n", Reason::tls, options),
              HasSubstr("TLS handshake: the server does not use TLS on this port"));
}

// It sends an alert in the clear.
TEST_F(RedisConnectionTest, ReportsAServerThatExpectsTls) {
  EXPECT_THAT(failure_of("\x15\x03\x01", Reason::protocol),
              HasSubstr("the server uses TLS on this port: use rediss://"));
}

asio::awaitable<std::string> ping(const Environment& environment, std::uint16_t port,
                                  SampleSet& out) {
  RedisOptions options;
  options.endpoint = {"127.0.0.1", port};
  RedisConnection connection = co_await RedisConnection::open(environment, options, out);
  std::vector<std::string> words = {"PING"};
  const RedisReply reply = co_await connection.expect(std::move(words), Kind::text);
  co_return reply.text;
}
asio::awaitable<void> pong(test::Wire& wire) {
  co_await wire.receive();
  co_await wire.send("+PONG\r\n");
}

TEST(RedisConnectionDeadlineTest, TimesOutIfTheServerStopsResponding) {
  test::JobFixture fixture;
  ProbeServices services(fixture.loop, {});
  test::Peer peer(fixture.loop, &pong);
  constexpr std::size_t kReply = 2;
  const auto conversation = [&](std::uint16_t port, SampleSet& out) {
    return ping(services.environment, port, out);
  };
  EXPECT_EQ(test::run_with_stall(fixture, peer, kReply, conversation),
            "timeout: no response within 50ms while connecting to 127.0.0.1:" +
                std::to_string(peer.port()));
}

// ---- faults at each step ------------------------------------------------------------------------

class RedisConnectionFaults : public testing::TestWithParam<std::tuple<Fault, bool>> {
 protected:
  asio::awaitable<std::string> converse(std::uint16_t port, SampleSet& out) {
    RedisOptions options;
    options.endpoint = {"127.0.0.1", port};
    if (with_tls_) {
      options.tls.emplace();
      options.tls->ca = certificate_.certificate;
      options.tls->server_name = "peer";
    }
    options.user = "monitor";
    options.password = config::Secret::literal("secret");
    options.database = 2;
    RedisConnection connection =
        co_await RedisConnection::open(services_.environment, options, out);
    std::vector<std::string> info = {"INFO", "memory"};
    const RedisReply memory = co_await connection.expect(std::move(info), Kind::text);
    std::vector<std::string> role = {"ROLE"};
    const RedisReply master = co_await connection.ask(std::move(role));
    co_return memory.text + master.items.at(0).text + std::to_string(master.items.at(1).integer);
  }

  // The allowed reasons for a fault.
  static Endings endings(Fault fault, TlsPhase phase) {
    if (fault == Fault::refuse) return {Reason::connect};
    if (phase == TlsPhase::begins) return {Reason::tls};
    // The client notices the RST when it writes a command or reads a reply.
    Endings endings = {Reason::protocol};
    if (fault == Fault::reset) endings.insert(Reason::connect);
    if (phase == TlsPhase::finishes) endings.insert(Reason::tls);
    return endings;
  }

  const bool with_tls_ = std::get<bool>(GetParam());
  test::Certificate certificate_ = test::make_certificate("peer");
  test::ServerContext context_ = test::server_context(certificate_);
  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  test::Peer peer_{loop_, &serve, with_tls_ ? context_.get() : nullptr};
};

TEST_P(RedisConnectionFaults, AreReportedAtEachStep) {
  const Fault fault = std::get<Fault>(GetParam());
  const std::size_t stride = with_tls_ && fault == Fault::cut ? 41 : 1;
  const auto conversation = [this](std::uint16_t port, SampleSet& out) {
    return converse(port, out);
  };
  const std::size_t steps = test::fail_each_step(peer_, fault, conversation, &endings, stride);
  RecordProperty("steps", static_cast<int>(steps));
  // One connection accepted, four commands read, six writes; the handshake has three steps.
  if (fault == Fault::cut) {
    EXPECT_GE(steps, with_tls_ ? 20U : 60U);
  } else if (fault != Fault::refuse) {
    EXPECT_GE(steps, with_tls_ ? 14U : 11U);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RedisConnectionFaults,
                         testing::Combine(testing::ValuesIn(test::kFaults), testing::Bool()),
                         [](const auto& info) {
                           return std::string(test::fault_name(std::get<Fault>(info.param))) +
                                  (std::get<bool>(info.param) ? "_tls" : "_plain");
                         });

}  // namespace
}  // namespace vitalsd::net
