#include "probes/net/pg_auth.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using Kind = PgAuthRequest::Kind;

std::string int32(std::size_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}
std::string request(std::size_t code, std::string_view rest = "") {
  return 'R' + int32(rest.size() + 8) + int32(code) + std::string(rest);
}

TEST(PgAuthTest, RecognizesEachKindOfRequest) {
  const std::vector<std::pair<std::string, Kind>> rows = {
      {"", Kind::none},
      {request(0), Kind::none},
      {request(3), Kind::cleartext},
      {request(5, "salt"), Kind::md5},
      {request(7), Kind::other},  // GSSAPI
      {request(8, "x"), Kind::other},
      {request(9), Kind::other},  // SSPI
      {request(10, "SCRAM-SHA-256"), Kind::scram},
      {request(11, "r=a,s=b,i=4096"), Kind::scram_challenge},
      {request(12, "v=x"), Kind::none},
      {request(99), Kind::other},
      {"E", Kind::none},
      {"HTTP/1.1 400 Bad Request", Kind::none},
      {'R' + int32(3), Kind::incomplete},       // no code yet
      {'R' + int32(3) + int32(3), Kind::none},  // too short to be one
      {'R' + int32(1 << 20) + int32(3), Kind::none},
  };
  for (const auto& [bytes, kind] : rows) {
    EXPECT_EQ(read_pg_auth_request(bytes).kind, kind) << testing::PrintToString(bytes);
  }
}

TEST(PgAuthTest, ReportsTheRequiredSizeOfAnIncompleteRequest) {
  const std::string whole = request(11, "r=a,s=b,i=4096");
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const PgAuthRequest read = read_pg_auth_request(std::string_view(whole).substr(0, size));
    EXPECT_EQ(read.kind, Kind::incomplete) << size;
    EXPECT_EQ(read.needs, size < 9 ? 9 : whole.size()) << size;
  }
  EXPECT_EQ(read_pg_auth_request(whole).iterations, 4096U);
}

TEST(PgAuthTest, ReadsTheIterations) {
  const auto iterations = [](std::string_view challenge) {
    return read_pg_auth_request(request(11, challenge)).iterations;
  };
  EXPECT_EQ(iterations("r=a,s=b,i=2147483647"), 2147483647U);
  EXPECT_EQ(iterations("r=a,s=b,i=99999999999999999999999"), UINT64_MAX);
  EXPECT_EQ(iterations("r=a,s=b,i=1,i=5000000"), 5000000U);
  EXPECT_EQ(iterations("r=i=7,s=b"), 0U);
  EXPECT_EQ(iterations(""), 0U);
}

TEST(PgAuthTest, RefusesUnsafeRequests) {
  const auto refuses = [](const std::string& bytes, bool loopback = false, bool allow = false) {
    return refuse_pg_auth(read_pg_auth_request(bytes), loopback, allow).has_value();
  };
  EXPECT_TRUE(refuses(request(3)));
  EXPECT_FALSE(refuses(request(3), true));
  EXPECT_FALSE(refuses(request(3), false, true));
  EXPECT_FALSE(refuses(request(5, "salt")));
  EXPECT_TRUE(refuses(request(5, "salt") + request(3), true, true));  // two requests at once
  EXPECT_TRUE(refuses(request(7), true, true));
  EXPECT_FALSE(refuses(request(10, "SCRAM-SHA-256")));
  EXPECT_FALSE(refuses(request(11, "r=a,s=b,i=1000000")));
  EXPECT_TRUE(refuses(request(11, "r=a,s=b,i=1000001"), true, true));
  EXPECT_FALSE(refuses(request(0) + "S"));  // other messages follow AuthenticationOk
  EXPECT_FALSE(refuses(request(12, "v=x") + request(0)));
}

}  // namespace
}  // namespace vitalsd::net
