#include "probes/net/pg_connection.hpp"

#include "probes/error.hpp"
#include "probes/services.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <tuple>

#include "unit/net/pg_server.hpp"
#include "unit/support/io_faults.hpp"
#include "unit/support/jobs.hpp"
#include "unit/support/stalled_job.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace test::pg;
using test::Wire;

class PgConnectionTest : public PgTest {};

// The server and its clients use a Unix socket.
class PgUnixSocketTest : public PgTest {
 protected:
  PgUnixSocketTest() { options_.endpoint = {directory_.path("."), 5432}; }

  asio::awaitable<int> relay() {
    co_await acceptor_.async_accept(client_, asio::use_awaitable);
    co_await tcp_.async_connect({asio::ip::address_v4::loopback(), peer_.port()},
                                asio::use_awaitable);
    asio::co_spawn(loop_, copy(client_, tcp_), asio::detached);
    co_await copy(tcp_, client_);
    co_return 0;
  }

 private:
  static asio::awaitable<void> copy(auto& from, auto& to) {
    std::string bytes(std::size_t{64} << 10, '\0');
    boost::system::error_code error;
    while (!error) {
      std::size_t size = 0;
      std::tie(error, size) =
          co_await from.async_read_some(asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
      if (error) break;
      std::tie(error, std::ignore) = co_await asio::async_write(
          to, asio::buffer(bytes, size), asio::as_tuple(asio::use_awaitable));
    }
    to.close(error);
    from.close(error);
  }

  test::TempDirectory directory_;
  asio::local::stream_protocol::acceptor acceptor_{loop_, directory_.path(".s.PGSQL.5432")};
  asio::local::stream_protocol::socket client_{loop_};
  asio::ip::tcp::socket tcp_{loop_};
};

TEST_F(PgConnectionTest, ReturnsOneResultForEachStatement) {
  EXPECT_EQ(ask(), "150004: app empty t ");
}

// A plain SET would outlast the transaction, and a pooler gives the session to other clients.
TEST_F(PgConnectionTest, RunsQueriesInATransactionWithLocalSettings) {
  ask();
  EXPECT_EQ(server_.settings,
            message('Q', c_string("BEGIN READ ONLY; SET LOCAL statement_timeout = "
                                  "1234; SET LOCAL search_path = pg_catalog")));
  EXPECT_EQ(server_.query, message('Q', c_string("SELECT 1; SELECT 2; COMMIT")));
}

TEST_F(PgConnectionTest, RejectsEndlessParametersInAResponse) {
  std::string messages;
  for (int i = 0; i < 400'000; ++i) messages += parameter("p" + std::to_string(i), "x");
  respond_to_query(messages);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the response takes too long to parse");
}

TEST_F(PgConnectionTest, RejectsTooManyRows) {
  std::string rows = columns({"a"});
  for (int i = 0; i < 20'001; ++i) rows += row({"x"});
  respond_to_query(rows + complete("SELECT 20001") + complete("COMMIT") + ready());
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the response has more than 20000 rows for one statement");
}

// Regression: bytes that libpq left unread were counted again before each read.
TEST_F(PgUnixSocketTest, CountsEachByteOfAResponseOnce) {
  std::string rows = columns({"a"});
  for (int i = 0; i < 1500; ++i) rows += row({std::string(4000, 'x')});
  respond_to_query(rows + complete("SELECT 1500") + complete("COMMIT") + ready());
  test::Task<int> relaying(loop_, relay());
  EXPECT_EQ(ask().size(), std::string("150004: ").size() + 1500 * 4001);
  EXPECT_EQ(relaying.get(), 0);
}

TEST_F(PgConnectionTest, ReportsAQueryErrorOnOneLine) {
  respond_to_query(columns({"a"}) + row({"x"}) +
                   report('E', "ERROR", "42501", "permission denied\nfor view") + ready());
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::permission);
  EXPECT_EQ(text, "ERROR:  permission denied for view");
}

TEST_F(PgConnectionTest, ReportsTheStatementTimeoutAsTimeout) {
  respond_to_query(report('E', "ERROR", "57014", "canceling statement due to statement timeout") +
                   ready());
  EXPECT_EQ(failure().first, Reason::timeout);
}

TEST_F(PgConnectionTest, ReportsAServerShutdownAsUnready) {
  respond_to_query(report('E', "FATAL", "57P01", "terminating connection"));
  EXPECT_EQ(failure().first, Reason::unready);
}

TEST_F(PgConnectionTest, ReportsAMalformedResponse) {
  respond_to_query("\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13");
  const auto [reason, text] = failure();
  EXPECT_TRUE(reason == Reason::protocol || reason == Reason::connect) << text;
}

TEST_F(PgConnectionTest, RejectsAResponseLargerThan16Mebibytes) {
  const std::string rows = row({std::string(std::size_t{1} << 20, 'x')});
  std::string bytes = columns({"a"});
  for (int i = 0; i < 17; ++i) bytes += rows;
  respond_to_query(bytes);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the response is larger than 16777216 bytes");
}

TEST_F(PgConnectionTest, IgnoresNotices) {
  respond_to_query(report('N', "WARNING", "01000", "there is a transaction") +
                   complete("SELECT 0") + complete("COMMIT") + ready());
  testing::internal::CaptureStderr();
  EXPECT_EQ(ask(), "150004: ");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(PgConnectionTest, DetectsThatTheServerHasClosedTheConnection) {
  server_.respond = [](Wire& wire) { return wire.drain(); };
  const PgConnection idle = open();
  EXPECT_FALSE(idle.hung_up());
  peer_.hang_up();
  EXPECT_TRUE(test::run_until(loop_, [&] { return idle.hung_up(); }));
}

TEST_F(PgConnectionTest, ReadsNumbersAndBooleansFromText) {
  respond_to_query(columns({"n"}) + row({"1.5e3"}) + row({"-7"}) + row({std::nullopt}) + row({""}) +
                   row({"12 kB"}) + row({"t"}) + row({"f"}) + complete("SELECT 7") +
                   complete("COMMIT") + ready());
  PgConnection connection = open();
  const auto results =
      test::Task(loop_, connection.query("SELECT n", std::chrono::seconds(1))).get();
  const PgResult& result = results.at(0);
  ASSERT_EQ(result.rows(), 7);
  EXPECT_EQ(result.number(0, 0), 1500);
  EXPECT_EQ(result.number(1, 0), -7);
  for (const int row : {2, 3, 4, 5}) EXPECT_EQ(result.number(row, 0), std::nullopt);
  EXPECT_EQ(result.text(2, 0), "");
  EXPECT_EQ(result.text(4, 0), "12 kB");
  EXPECT_TRUE(result.is_true(5, 0));
  EXPECT_FALSE(result.is_true(6, 0));
  EXPECT_FALSE(result.is_true(2, 0));
}

// ---- statements of the user ---------------------------------------------------------------------

using Answer = std::expected<PgResult, PgRefusal>;

asio::awaitable<std::optional<Answer>> ask_one(PgConnection& connection) {
  using std::chrono_literals::operator""ms;
  co_return co_await connection.ask("SELECT n", 1234ms, 123ms, "pg_catalog, public, pg_temp");
}

std::string parsed_and_bound() { return message('1', "") + message('2', ""); }

TEST_F(PgConnectionTest, AsksBehindASavepointWithALockTimeout) {
  std::string end;
  server_.respond = [&](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(parsed_and_bound() + columns({"n"}) + row({"7"}) + complete("SELECT 1") +
                       message('Z', "T"));
    end = co_await wire.receive();
    co_await wire.send(complete("ROLLBACK") + complete("COMMIT") + ready());
  };
  PgConnection connection = open();
  const auto answer = test::Task(loop_, ask_one(connection)).get();
  EXPECT_EQ(answer.value()->text(0, 0), "7");
  EXPECT_EQ(server_.settings,
            message('Q', c_string("BEGIN READ ONLY; SET LOCAL statement_timeout = 1234; SET LOCAL "
                                  "search_path = pg_catalog, public, pg_temp; SET LOCAL "
                                  "lock_timeout = 123; SAVEPOINT vitalsd")));
  EXPECT_EQ(server_.query.front(), 'P');  // the extended protocol: one statement
  EXPECT_EQ(end, message('Q', c_string("ROLLBACK TO SAVEPOINT vitalsd; COMMIT")));
  EXPECT_FALSE(connection.hung_up());
}

TEST_F(PgConnectionTest, CanStillBeUsedAfterARefusal) {
  server_.respond = [](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(message('E', 'S' + c_string("ERROR") + 'V' + c_string("ERROR") + 'C' +
                                        c_string("42703") + 'M' + c_string("no column\nn") + 'H' +
                                        c_string("Use m.") + 'P' + c_string("8") + '\0') +
                       message('Z', "E"));
    co_await wire.receive();
    co_await wire.send(complete("ROLLBACK") + complete("COMMIT") + ready());
    co_await wire.drain();
  };
  PgConnection connection = open();
  const auto answer = test::Task(loop_, ask_one(connection)).get();
  ASSERT_FALSE(answer->has_value());
  EXPECT_EQ(answer->error().sqlstate, "42703");
  EXPECT_EQ(answer->error().text, "ERROR: no column n (Use m.)");
  EXPECT_EQ(answer->error().position, 8U);
  EXPECT_FALSE(connection.hung_up());
}

TEST_F(PgConnectionTest, ReportsTheLastWordsOfALostConnection) {
  server_.respond = [](Wire& wire) {
    return wire.send(report('E', "FATAL", "57P01", "terminating connection"));
  };
  PgConnection connection = open();
  try {
    test::Task(loop_, ask_one(connection)).get();
    FAIL() << "no error";
  } catch (const ProbeError& error) {
    EXPECT_EQ(error.reason(), Reason::unready);
    EXPECT_STREQ(error.what(), "FATAL:  terminating connection");
  }
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

TEST(PgConnectionDeadlineTest, TimesOutIfTheServerStopsResponding) {
  test::JobFixture fixture;
  ProbeServices services(fixture.loop, {});
  Server server;
  test::Peer peer(fixture.loop, [&server](Wire& wire) { return serve(wire, server); });
  constexpr std::size_t kRow = 9;
  const auto conversation = [&](std::uint16_t port, SampleSet& out) {
    return query_at(services.environment, port, out);
  };
  EXPECT_EQ(test::run_with_stall(fixture, peer, kRow, conversation),
            "timeout: no response within 50ms while connecting to 127.0.0.1:" +
                std::to_string(peer.port()));
}

}  // namespace
}  // namespace vitalsd::net
