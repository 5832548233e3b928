#include "probes/net/pg_options.hpp"

#include <cstdlib>
#include <string>
#include <string_view>

#include <boost/asio/ip/address.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

std::string value_of(const PgParameters& parameters, std::string_view keyword) {
  for (int i = 0; parameters.keywords()[i] != nullptr; ++i) {
    if (parameters.keywords()[i] == keyword) return parameters.values()[i];
  }
  return "missing";
}

TEST(PgParametersTest, HaveOneHostEntryForEachAddress) {
  PgOptions options;
  options.endpoint = {"db", 5432};
  const std::string password;
  const Addresses addresses = {boost::asio::ip::make_address("10.0.0.1"),
                               boost::asio::ip::make_address("2001:db8::1")};
  const PgParameters parameters(options, password, addresses);
  EXPECT_EQ(value_of(parameters, "host"), "db,db");
  EXPECT_EQ(value_of(parameters, "hostaddr"), "10.0.0.1,2001:db8::1");
  options.tls.server_name = "name";
  EXPECT_EQ(value_of(PgParameters(options, password, addresses), "host"), "name,name");
}

TEST(PgParametersTest, HaveTheDirectoryOfAUnixSocket) {
  PgOptions options;
  options.endpoint = {"/run/postgresql", 5433};
  const std::string password;
  const PgParameters parameters(options, password, {});
  EXPECT_EQ(value_of(parameters, "host"), "/run/postgresql");
  EXPECT_EQ(value_of(parameters, "hostaddr"), "");
  EXPECT_EQ(value_of(parameters, "port"), "5433");
  EXPECT_EQ(pg_socket(options.endpoint), "/run/postgresql/.s.PGSQL.5433");
}

TEST(PgParametersTest, HaveACaFileOnlyIfSslmodeVerifies) {
  PgOptions options;
  options.tls.ca = "/ca.pem";
  const std::string password;
  options.sslmode = "require";
  EXPECT_EQ(value_of(PgParameters(options, password, {}), "sslrootcert"), "/nonexistent");
  options.sslmode = "verify-ca";
  EXPECT_EQ(value_of(PgParameters(options, password, {}), "sslrootcert"), "/ca.pem");
}

TEST(PgEnvironmentTest, IsRemovedExceptForThePassword) {
  setenv("PGOPTIONS", "-c search_path=x", 1);
  setenv("PGSERVICEFILE", "/nonexistent", 1);
  setenv("PGPASSWORD", "secret", 1);
  ignore_pg_environment();
  EXPECT_EQ(std::getenv("PGOPTIONS"), nullptr);
  EXPECT_EQ(std::getenv("PGSERVICEFILE"), nullptr);
  EXPECT_STREQ(std::getenv("PGPASSWORD"), "secret");
  unsetenv("PGPASSWORD");
}

}  // namespace
}  // namespace vitalsd::net
