// Kinds with a name of two addresses, of which the first drops packets. http_client_addresses_test
// and tcp_test have the same for the other kinds.
#include "unit/support/silent_address.hpp"

#include <string>
#include <utility>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/kinds.hpp"
#include <boost/asio/awaitable.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

struct Case {
  std::string kind;
  std::string target;    // options; PORT is replaced
  std::string greeting;  // by which the server refuses the client
  std::string reason;    // of the failure that follows
};

class SilentFirstAddress : public testing::TestWithParam<Case> {};

TEST_P(SilentFirstAddress, TheSecondIsReached) {
  const Case& each = GetParam();
  test::ProbeFixture fixture;
  fixture.hosts["two.example"] = {test::SilentAddress::kSilent, test::SilentAddress::kLive};
  test::SilentAddress addresses(fixture.loop);
  const test::Conversation server(std::move(addresses.live()),
                                  [&](test::Line& line) -> asio::awaitable<void> {
                                    co_await line.write(each.greeting);
                                    co_await line.discard_input();
                                  });
  std::string options = each.target;
  options.replace(options.find("PORT"), 4, std::to_string(server.port()));
  const test::Observation run = fixture.observe(each.kind, options);
  EXPECT_EQ(run.reason(), each.reason) << run.failure();
  EXPECT_GT(server.accepted(), 0);
}

// PostgreSQL's ErrorResponse: each field has a letter and ends with a zero byte.
std::string postgres_error(const std::string& sqlstate) {
  const std::string fields = std::string("SFATAL") + '\0' + "C" + sqlstate + '\0' + "Mno" + '\0';
  return std::string("E\0\0\0", 4) + static_cast<char>(4 + fields.size() + 1) + fields + '\0';
}

const std::vector<Case> kCases = {
    {"redis", "url: 'redis://two.example:PORT'",
     "-LOADING its data\r\n-LOADING its data\r\n",  // to both INFO commands
     "unready"},
    {"postgres", "url: 'postgresql://u@two.example:PORT/db?sslmode=disable'",
     postgres_error("28P01"), "auth"},
    {"certificate", "endpoint: 'two.example:PORT', starttls: smtp", "554 no\r\n", "mismatch"},
};
INSTANTIATE_TEST_SUITE_P(All, SilentFirstAddress, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.kind; });

}  // namespace
}  // namespace vitalsd
