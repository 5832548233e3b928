#include "probes/net/unix_socket.hpp"

#include "probes/error.hpp"
#include "probes/net/pg_options.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "unit/net/pg_server.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;
using namespace test::pg;
using test::Wire;
using testing::HasSubstr;
using Local = asio::local::stream_protocol;

// Connects a Unix socket to a port of this machine.
class Relay {
 public:
  Relay(asio::io_context& loop, const std::string& path, std::uint16_t port)
      : acceptor_(std::make_shared<Local::acceptor>(loop, Local::endpoint(path))) {
    asio::co_spawn(loop, accept(acceptor_, port), asio::detached);
  }
  ~Relay() { acceptor_->close(); }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

 private:
  static asio::awaitable<void> accept(std::shared_ptr<Local::acceptor> acceptor,
                                      std::uint16_t port) {
    try {
      for (;;) {
        const auto executor = acceptor->get_executor();
        const auto client =
            std::make_shared<Local::socket>(co_await acceptor->async_accept(asio::use_awaitable));
        const auto server = std::make_shared<asio::ip::tcp::socket>(executor);
        co_await server->async_connect({asio::ip::address_v4::loopback(), port},
                                       asio::use_awaitable);
        asio::co_spawn(executor, pump(client, server), asio::detached);
        asio::co_spawn(executor, pump(server, client), asio::detached);
      }
    } catch (const boost::system::system_error&) {
      co_return;  // the acceptor is closed
    }
  }
  template <class From, class To>
  static asio::awaitable<void> pump(std::shared_ptr<From> from, std::shared_ptr<To> to) {
    std::array<char, 16 * 1024> buffer{};
    try {
      for (;;) {
        const std::size_t size =
            co_await from->async_read_some(asio::buffer(buffer), asio::use_awaitable);
        co_await asio::async_write(*to, asio::buffer(buffer, size), asio::use_awaitable);
      }
    } catch (const boost::system::system_error&) {
      boost::system::error_code ignored;
      to->close(ignored);
    }
  }

  std::shared_ptr<Local::acceptor> acceptor_;
};

class PgUnixTest : public PgTest {
 protected:
  PgUnixTest() { options_.endpoint = {directory_.path(""), 5432}; }

  test::TempDirectory directory_;
  Relay relay_{loop_, directory_.path(".s.PGSQL.5432"), peer_.port()};
};

TEST_F(PgUnixTest, ConnectsAndSendsAPassword) {
  server_.authenticate = [](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send(authentication(3));
    EXPECT_THAT(co_await wire.receive(), HasSubstr("secret"));
  };
  EXPECT_EQ(ask(), "150004: app empty t ");
}

TEST_F(PgUnixTest, ReportsAMissingSocket) {
  options_.endpoint.port = 5433;
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::connect);
  EXPECT_THAT(text, HasSubstr(".s.PGSQL.5433\" failed: No such file or directory"));
}

TEST_F(PgUnixTest, RejectsEndlessParametersDuringLogin) {
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    std::string messages = authentication(0);
    for (int i = 0; i < 50'000; ++i) messages += parameter("p" + std::to_string(i), "x");
    co_await wire.send(messages);
  };
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_EQ(text, "the server sent more than 65536 bytes during the login");
}

TEST_F(PgUnixTest, RejectsALargeResponse) {
  std::string rows = columns({"name"});
  for (int i = 0; i < 20; ++i) rows += row({std::string(1 << 20, 'x')});
  respond_to_query(rows);
  const auto [reason, text] = failure();
  EXPECT_EQ(reason, Reason::protocol);
  EXPECT_THAT(text, HasSubstr("is larger than 16777216 bytes"));
}

TEST_F(PgUnixTest, WaitsForTheRestOfARequest) {
  server_.authenticate = [](Wire& wire) -> asio::awaitable<void> {
    for (const char byte : authentication(7)) co_await wire.send(std::string(1, byte));
  };
  EXPECT_EQ(failure().first, Reason::auth);

  bool sent = false;
  server_.authenticate = [&](Wire& wire) -> asio::awaitable<void> {
    co_await wire.send("R");
    sent = true;
    co_await wire.receive();
  };
  SampleSet out;
  auto opening = test::Task(loop_, open_async(out));
  ASSERT_TRUE(test::run_until(loop_, [&] { return sent; }));
  test::run_for(loop_, 25ms);
  loop_.restart();
  EXPECT_LT(loop_.run_for(250ms), 200U) << "handlers";
  opening.cancel();
  EXPECT_THROW(opening.get(), boost::system::system_error);
}

TEST(UnixReason, IsUnknownWithoutPermission) {
  const auto reason = [](boost::system::errc::errc_t error) {
    return unix_reason(make_error_code(error));
  };
  EXPECT_EQ(reason(boost::system::errc::permission_denied), Reason::config);
  EXPECT_EQ(reason(boost::system::errc::no_such_file_or_directory), Reason::connect);
  EXPECT_EQ(reason(boost::system::errc::connection_refused), Reason::connect);
}

}  // namespace
}  // namespace vitalsd::net
