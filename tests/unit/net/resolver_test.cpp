#include "probes/net/resolver.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/loop.hpp"
#include "unit/support/no_descriptors.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using asio::ip::udp;

// A name server on loopback. It responds with NXDOMAIN to unknown names, and can hold back its
// responses.
class NameServer {
 public:
  explicit NameServer(asio::io_context& loop)
      : socket_(loop, udp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    receive();
  }

  [[nodiscard]] std::string address() const {
    return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
  }

  std::map<std::string, std::vector<asio::ip::address_v4>> names;
  std::uint32_t time_to_live = 60;
  std::map<std::string, int> asked;  // queries for IPv4 addresses

  bool drops_v6 = false;  // queries for IPv6 addresses
  void hold_responses() { holding_ = true; }
  void release_responses() {
    holding_ = false;
    for (const auto& [query, client] : std::exchange(held_, {})) respond(query, client);
  }

 private:
  static constexpr std::size_t kHeader = 12;
  static constexpr char kTypeA = 1;

  void receive() {
    socket_.async_receive_from(asio::buffer(buffer_), client_,
                               [this](const boost::system::error_code& error, std::size_t size) {
                                 if (error) return;
                                 const std::string query(buffer_.data(), size);
                                 if (holding_)
                                   held_.emplace_back(query, client_);
                                 else
                                   respond(query, client_);
                                 receive();
                               });
  }

  // RFC 1035, 4.1: a header, the question, and one answer for each address.
  void respond(const std::string& query, const udp::endpoint& client) {
    std::string name;
    std::size_t at = kHeader;
    while (query[at] != 0) {
      const auto length = static_cast<std::size_t>(query[at]);
      name += (name.empty() ? "" : ".") + query.substr(at + 1, length);
      at += length + 1;
    }
    const bool wants_a = query[at + 2] == kTypeA;
    if (drops_v6 && !wants_a) return;
    const std::string question = query.substr(kHeader, at + 5 - kHeader);
    const auto known = names.find(name);
    if (wants_a) ++asked[name];
    std::string records;
    if (wants_a && known != names.end()) {
      for (const auto& address : known->second) {
        records += std::string("\xc0\x0c\0\1\0\1", 6);  // the question's name, A, IN
        for (const int shift : {24, 16, 8, 0}) records += static_cast<char>(time_to_live >> shift);
        records += std::string("\0\4", 2);
        for (const auto byte : address.to_bytes()) records += static_cast<char>(byte);
      }
    }
    const char count = static_cast<char>(records.size() / 16);
    const char code = known == names.end() ? 3 : 0;  // NXDOMAIN
    const std::string header = query.substr(0, 2) + "\x81" + static_cast<char>(0x80 | code) +
                               std::string("\0\1\0", 3) + count + std::string(4, '\0');
    socket_.send_to(asio::buffer(header + question + records), client);
  }

  udp::socket socket_;
  udp::endpoint client_;
  std::array<char, 512> buffer_{};
  bool holding_ = false;
  std::vector<std::pair<std::string, udp::endpoint>> held_;
};

const auto kDb = asio::ip::make_address_v4("10.0.0.1");
const auto kOther = asio::ip::make_address_v4("10.0.0.2");

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() { server.names["db.example"] = {kDb, kOther}; }
  ~ResolverTest() override { wheel.stop(); }

  test::Task<Addresses> resolve(const std::string& host, IpVersion version = IpVersion::any) {
    return {loop, resolver.resolve(host, version)};
  }
  std::string error_of(test::Task<Addresses> task, Reason expected = Reason::dns) {
    try {
      task.get();
    } catch (const ProbeError& e) {
      EXPECT_EQ(e.reason(), expected);
      return e.what();
    }
    return "none";
  }

  asio::io_context loop{1};
  TimerWheel wheel{loop};
  NameServer server{loop};
  Resolver resolver{loop, wheel, {server.address()}};
};

TEST_F(ResolverTest, ReturnsAddressesUnchanged) {
  EXPECT_EQ(resolve("192.0.2.7").get(), Addresses{asio::ip::make_address("192.0.2.7")});
  EXPECT_EQ(resolve("2001:db8::1").get(), Addresses{asio::ip::make_address("2001:db8::1")});
  EXPECT_TRUE(server.asked.empty());
}

TEST_F(ResolverTest, ResolvesAName) {
  Addresses addresses = resolve("db.example").get();
  std::ranges::sort(addresses);
  EXPECT_EQ(addresses, (Addresses{kDb, kOther}));
}

TEST_F(ResolverTest, UsesOneFamilyIfTheServerDropsQueriesForTheOther) {
  const auto local = asio::ip::make_address_v4("127.0.0.1");  // there is a route to it anywhere
  server.names["db.example"] = {local};
  server.drops_v6 = true;
  const auto start = test::Clock::now();
  EXPECT_EQ(resolve("db.example").get(), Addresses{local});
  EXPECT_LT(test::Clock::now() - start, std::chrono::seconds(2));  // c-ares would wait for 5 s
  EXPECT_EQ(resolve("db.example").get(), Addresses{local});        // from the cache
}

TEST_F(ResolverTest, QueriesOneVersionOnly) {
  server.drops_v6 = true;
  const auto start = test::Clock::now();
  EXPECT_EQ(resolve("db.example", IpVersion::v4).get().size(), 2U);
  EXPECT_LT(test::Clock::now() - start, std::chrono::milliseconds(250));
  // The result has a cache entry of its own.
  server.drops_v6 = false;
  EXPECT_TRUE(error_of(resolve("db.example", IpVersion::v6)).starts_with("db.example: "));
  EXPECT_EQ(server.asked["db.example"], 1);
}

TEST_F(ResolverTest, RefusesAnAddressOfTheOtherVersion) {
  EXPECT_EQ(resolve("192.0.2.7", IpVersion::v4).get().size(), 1U);
  EXPECT_EQ(resolve("2001:db8::1", IpVersion::v6).get().size(), 1U);
  EXPECT_EQ(error_of(resolve("192.0.2.7", IpVersion::v6)),
            "192.0.2.7: not an address of the configured IP version");
  EXPECT_EQ(error_of(resolve("2001:db8::1", IpVersion::v4)),
            "2001:db8::1: not an address of the configured IP version");
}

TEST_F(ResolverTest, SendsOneQueryForAllWaiters) {
  auto first = resolve("db.example");
  auto second = resolve("db.example");
  EXPECT_EQ(first.get().size(), 2U);
  EXPECT_EQ(second.get().size(), 2U);
  EXPECT_EQ(server.asked["db.example"], 1);
}

TEST_F(ResolverTest, CachesResults) {
  resolve("db.example").get();
  server.names["db.example"] = {kOther};
  EXPECT_EQ(resolve("db.example").get().size(), 2U);
  EXPECT_EQ(server.asked["db.example"], 1);
}

TEST_F(ResolverTest, QueriesAgainWhenTheCacheEntryExpires) {
  server.time_to_live = 0;  // still cached for a second
  resolve("db.example").get();
  server.names["db.example"] = {kOther};
  EXPECT_TRUE(test::run_until(loop, [&] { return resolve("db.example").get().size() == 1; }));
}

TEST_F(ResolverTest, ReportsWhyANameDoesNotResolve) {
  EXPECT_EQ(error_of(resolve("nothing.example")), "nothing.example: domain name not found");
  server.names["empty.example"] = {};
  EXPECT_TRUE(error_of(resolve("empty.example")).starts_with("empty.example: "));
}

TEST_F(ResolverTest, DoesNotCacheFailures) {
  EXPECT_NE(error_of(resolve("new.example")), "none");
  server.names["new.example"] = {kDb};
  EXPECT_EQ(resolve("new.example").get(), Addresses{kDb});
}

TEST_F(ResolverTest, CancelsOneWaiterOnly) {
  server.hold_responses();
  auto first = resolve("db.example");
  auto second = resolve("db.example");
  test::settle(loop);
  first.cancel();
  EXPECT_THROW(first.get(), boost::system::system_error);
  EXPECT_FALSE(second.done());
  server.release_responses();
  EXPECT_EQ(second.get().size(), 2U);
}

TEST_F(ResolverTest, QueriesNewServersAfterAReload) {
  NameServer other(loop);
  other.names["db.example"] = {kOther};
  resolve("db.example").get();
  resolver.set_servers({other.address()});
  EXPECT_EQ(resolve("db.example").get(), Addresses{kOther});  // the cache is cleared
}

TEST_F(ResolverTest, FailsPendingQueriesWhenServersAreReplaced) {
  server.hold_responses();
  auto task = resolve("db.example");
  test::settle(loop);
  NameServer other(loop);
  resolver.set_servers({other.address()});
  EXPECT_TRUE(error_of(std::move(task), Reason::internal).starts_with("db.example: "));
}

TEST_F(ResolverTest, NeedsADescriptor) {
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
  resolve("nothing.example");
  const test::NoDescriptors none;
  EXPECT_EQ(error_of(resolve("db.example"), Reason::internal),
            "db.example: no file descriptor is left");
}

}  // namespace
}  // namespace vitalsd::net
