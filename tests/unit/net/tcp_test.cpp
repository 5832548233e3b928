#include "probes/net/tcp.hpp"

#include "probes/error.hpp"
#include "probes/services.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/io_faults.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/no_descriptors.hpp"
#include "unit/support/silent_address.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;
using asio::ip::udp;
using testing::AllOf;
using testing::HasSubstr;

// A name server that resolves every name to the same IPv4 addresses.
class FixedNameServer {
 public:
  explicit FixedNameServer(asio::io_context& loop)
      : socket_(loop, udp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    receive();
  }

  [[nodiscard]] std::string address() const {
    return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
  }

  std::vector<std::string> addresses;

 private:
  void receive() {
    socket_.async_receive_from(asio::buffer(query_), client_,
                               [this](const boost::system::error_code& error, std::size_t size) {
                                 if (error) return;
                                 answer(std::string(query_.data(), size));
                                 receive();
                               });
  }
  // RFC 1035, 4.1: the header and question of the query, and one record for each address.
  void answer(const std::string& query) {
    constexpr std::size_t kHeader = 12;
    const std::size_t end = query.find('\0', kHeader) + 5;
    std::string records;
    char count = 0;
    if (query[end - 3] == 1) {  // the query is for IPv4 addresses
      for (const std::string& text : addresses) {
        records += std::string("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4", 12);
        for (const auto byte : asio::ip::make_address_v4(text).to_bytes()) {
          records += static_cast<char>(byte);
        }
        ++count;
      }
    }
    const std::string header =
        query.substr(0, 2) + std::string("\x81\x80\0\1\0", 5) + count + std::string(4, '\0');
    socket_.send_to(asio::buffer(header + query.substr(kHeader, end - kHeader) + records), client_);
  }

  udp::socket socket_;
  udp::endpoint client_;
  std::array<char, 512> query_{};
};

class TcpConnectTest : public testing::Test {
 protected:
  // Optional, because a Task needs a default-constructible result.
  using Connected = std::optional<tcp::socket>;
  asio::awaitable<Connected> start(config::Endpoint endpoint) {
    co_return co_await connect(services_.environment, endpoint, IpVersion::any, out_);
  }
  // The address of the peer, or the reason and the text of the error.
  std::string connect_to(const std::string& host, std::uint16_t port) {
    try {
      const Connected socket = test::Task(loop_, start({host, port})).get();
      return socket->remote_endpoint().address().to_string();
    } catch (const ProbeError& error) {
      return std::string(reason_name(error.reason())) + ": " + error.what();
    }
  }
  tcp::acceptor listener(const std::string& address, std::uint16_t port = 0) {
    return {loop_, tcp::endpoint(asio::ip::make_address(address), port)};
  }
  // Reserves a port without listening on it.
  tcp::acceptor not_listening() {
    tcp::acceptor acceptor(loop_, tcp::v4());
    acceptor.bind({asio::ip::address_v4::loopback(), 0});
    return acceptor;
  }

  asio::io_context loop_{1};
  FixedNameServer names_{loop_};
  ProbeServices services_{loop_, {names_.address()}};
  SampleSet out_;
};

TEST_F(TcpConnectTest, ConnectsToAnAddressAndSetsTheStep) {
  const tcp::acceptor peer = listener("127.0.0.1");
  const std::uint16_t port = peer.local_endpoint().port();
  EXPECT_EQ(connect_to("127.0.0.1", port), "127.0.0.1");
  EXPECT_EQ(out_.step(), "connecting to 127.0.0.1:" + std::to_string(port));
}

TEST_F(TcpConnectTest, ReportsTheAddressThatRefuses) {
  const tcp::acceptor peer = not_listening();
  const std::string port = std::to_string(peer.local_endpoint().port());
  const std::string refusal = "connect: 127.0.0.1:" + port + ": Connection refused";
  EXPECT_EQ(connect_to("127.0.0.1", peer.local_endpoint().port()), refusal);
  names_.addresses = {"127.0.0.1"};
  EXPECT_EQ(connect_to("one.example", peer.local_endpoint().port()), refusal);
}

TEST_F(TcpConnectTest, ReportsALackOfDescriptorsAsInternal) {
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
  const tcp::acceptor peer = not_listening();
  names_.addresses = {"127.0.0.1", "127.0.0.2"};
  const std::array<const char*, 2> hosts = {"two.example", "127.0.0.1"};
  // Afterwards the name is cached and needs no socket, and UBSan, which uses descriptors, has
  // checked the types.
  for (const char* host : hosts) connect_to(host, peer.local_endpoint().port());
  const test::NoDescriptors none;
  for (const char* host : hosts) {
    EXPECT_THAT(connect_to(host, peer.local_endpoint().port()),
                AllOf(testing::StartsWith("internal: "), HasSubstr("Too many open files")));
  }
}

TEST(LocalShortageTest, IsRecognizedByItsText) {
  EXPECT_TRUE(mentions_local_shortage("could not create socket: Too many open files"));
  EXPECT_TRUE(mentions_local_shortage("connect failed: No buffer space available"));
  EXPECT_FALSE(mentions_local_shortage("connection to 10.0.0.1 failed: Connection refused"));
  // EADDRNOTAVAIL means that no local address can reach the target, as long as ports are free.
  EXPECT_FALSE(mentions_local_shortage("could not connect: Cannot assign requested address"));
  EXPECT_FALSE(is_local_shortage(EADDRNOTAVAIL));
}

TEST_F(TcpConnectTest, ReportsANameThatDoesNotResolve) {
  EXPECT_THAT(connect_to("none.example", 1), testing::StartsWith("dns: none.example: "));
  EXPECT_EQ(out_.step(), "resolving none.example");
}

TEST_F(TcpConnectTest, TriesTheNextAddressAtOnceWhenOneRefuses) {
  const tcp::acceptor peer = listener("127.0.0.3");
  names_.addresses = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
  services_.resolver.set_servers({names_.address()});
  auto connecting = test::Task(loop_, start({"three.example", peer.local_endpoint().port()}));
  EXPECT_TRUE(test::run_until(loop_, [&] { return out_.step().starts_with("connecting"); }));
  services_.wheel.stop();  // so the delay between attempts never ends
  EXPECT_EQ(connecting.get()->remote_endpoint().address().to_string(), "127.0.0.3");
}

TEST_F(TcpConnectTest, ReportsAllAddressesIfEachRefuses) {
  const tcp::acceptor peer = not_listening();
  const std::string port = std::to_string(peer.local_endpoint().port());
  names_.addresses = {"127.0.0.1", "127.0.0.2"};
  EXPECT_THAT(connect_to("two.example", peer.local_endpoint().port()),
              AllOf(testing::StartsWith("connect: "),
                    HasSubstr("127.0.0.1:" + port + ": Connection refused"), HasSubstr("; "),
                    HasSubstr("127.0.0.2:" + port + ": Connection refused")));
}

class SilentAddress : public TcpConnectTest {
 protected:
  // Resolves the name once, so that it is cached and needs no socket afterwards.
  void resolve_to(std::vector<std::string> addresses) {
    names_.addresses = std::move(addresses);
    test::Task(loop_, services_.resolver.resolve("two.example")).get();
  }

  test::SilentAddress peers_{loop_};
};

TEST_F(SilentAddress, DelaysTheNextAttemptBy250Milliseconds) {
  resolve_to({"127.0.0.2", "127.0.0.1"});
  const std::ptrdiff_t descriptors = test::open_descriptors();
  const auto start = test::Clock::now();
  EXPECT_EQ(connect_to("two.example", peers_.port()), "127.0.0.1");
  EXPECT_GE(test::Clock::now() - start, 250ms);
  // The pending attempt is cancelled.
  EXPECT_TRUE(test::run_until(loop_, [&] { return test::open_descriptors() == descriptors; }));
}

TEST_F(SilentAddress, ClosesAllSocketsWhenCancelled) {
  resolve_to({"127.0.0.2", "127.0.0.3"});
  const std::ptrdiff_t descriptors = test::open_descriptors();
  auto connecting = test::Task(loop_, start({"two.example", peers_.port()}));
  EXPECT_TRUE(test::run_until(loop_, [&] { return out_.step().starts_with("connecting"); }));
  connecting.cancel();
  ASSERT_TRUE(test::run_until(loop_, [&] { return connecting.done(); }));
  EXPECT_THROW(connecting.get(), boost::system::system_error);
  EXPECT_TRUE(test::run_until(loop_, [&] { return test::open_descriptors() == descriptors; }));
}

}  // namespace
}  // namespace vitalsd::net
