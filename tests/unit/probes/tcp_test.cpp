#include <string>

#include "unit/support/conversation.hpp"
#include "unit/support/kinds.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

class TcpTest : public testing::Test {
 protected:
  static asio::awaitable<void> serve(test::Line& line) { co_await line.discard_input(); }

  test::ProbeFixture fixture;
};

TEST_F(TcpTest, ConnectsAndClosesTheConnection) {
  bool closed_by_probe = false;
  const test::Conversation peer(fixture.loop, [&](test::Line& line) -> asio::awaitable<void> {
    try {
      co_await line.discard_input();
    } catch (const boost::system::system_error&) {
      closed_by_probe = true;
    }
  });
  const test::Observation run = fixture.observe("tcp", "endpoint: '" + peer.endpoint() + '\'');
  EXPECT_EQ(run.failure(), "");
  ASSERT_TRUE(run.value("probe_tcp_connect_duration_seconds"));
  EXPECT_GE(*run.value("probe_tcp_connect_duration_seconds"), 0);
  EXPECT_TRUE(fixture.until([&] { return closed_by_probe; }));
}

TEST_F(TcpTest, ConnectsToAnIpv6Literal) {
  if (!test::has_ipv6()) GTEST_SKIP() << "there is no ::1";
  const test::Conversation peer(fixture.loop, serve, asio::ip::address_v6::loopback());
  const auto probe = fixture.make("tcp", "endpoint: '" + peer.endpoint() + '\'');
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(probe->target(), peer.endpoint());
  EXPECT_TRUE(probe->endpoint().starts_with("[::1]:"));
}

TEST_F(TcpTest, ReportsAConnectionFailure) {
  const test::ClosedPort closed;
  const std::string endpoint = closed.endpoint();
  const test::Observation run = fixture.observe("tcp", "endpoint: '" + endpoint + '\'');
  EXPECT_EQ(run.failure(), "connect: " + endpoint + ": Connection refused");
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.count("probe_tcp_connect_duration_seconds"), 0U);  // omitted, not zero
}

TEST_F(TcpTest, ReportsThatANameDoesNotResolve) {
  const test::Observation run = fixture.observe("tcp", "endpoint: 'nowhere.invalid:80'");
  EXPECT_EQ(run.reason(), "dns");
  EXPECT_TRUE(run.failure().contains("nowhere.invalid")) << run.failure();
  EXPECT_EQ(run.names().size(), 0U);
}

}  // namespace
}  // namespace vitalsd
