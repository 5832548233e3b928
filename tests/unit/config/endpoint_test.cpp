#include "config/endpoint.hpp"

#include "config/scalar.hpp"

#include <string>
#include <string_view>

#include "unit/support/scalar.hpp"
#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

TEST(Endpoint, HasAHostAndAPort) {
  EXPECT_EQ(*Scalar<Endpoint>::parse("db_1.example:5432"), (Endpoint{"db_1.example", 5432}));
  EXPECT_EQ(*Scalar<Endpoint>::parse("10.0.0.1:1"), (Endpoint{"10.0.0.1", 1}));
  EXPECT_EQ(*Scalar<Endpoint>::parse("h:65535"), (Endpoint{"h", 65535}));
}

TEST(Endpoint, KeepsIpv6AddressesInBrackets) {
  EXPECT_EQ(*Scalar<Endpoint>::parse("[fe80::1]:443"), (Endpoint{"fe80::1", 443}));
  EXPECT_EQ(shown<Endpoint>("[::ffff:10.0.0.1]:80"), "[::ffff:10.0.0.1]:80");
  EXPECT_EQ(error_of<Endpoint>("[db]:80"),
            "'[db]:80' is not a valid endpoint: the brackets must contain an IPv6 address");
  EXPECT_EQ(error_of<Endpoint>("[]:80"),
            "'[]:80' is not a valid endpoint: the brackets must contain an IPv6 address");
  EXPECT_NE(error_of<Endpoint>("::1:80"), "accepted");
}

TEST(Endpoint, ReportsTheValidForm) {
  constexpr const char* kForm = ": must be host:port, for example db.example:5432";
  for (const char* text : {"", "db", "db:", "[::1]"}) {
    EXPECT_EQ(error_of<Endpoint>(text), quoted(text) + " has no port" + kForm);
  }
  for (const char* text : {":80", "db:80/x", "a b:80", "user@db:80", "dbé:80"}) {
    EXPECT_EQ(error_of<Endpoint>(text), quoted(text) + " is not a valid endpoint" + kForm);
  }
  EXPECT_EQ(error_of<Endpoint>("http://db:80"), std::string("'http://db:80' is a URL") + kForm);
  EXPECT_EQ(error_of<Endpoint>("$DB:80"), "vitalsd does not expand '$DB': write its value");
  for (const std::string port :
       {"0", "65536", "http", "0443", "-1", "+1", "99999999999999999999"}) {
    EXPECT_EQ(error_of<Endpoint>("db:" + port),
              config::quoted(port) + " is not a valid port: must be a number between 1 and 65535");
  }
}

}  // namespace
}  // namespace vitalsd::config
