#include "probes/net/pg_errors.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

TEST(PgReasonTest, MapsSqlstates) {
  const std::vector<std::pair<std::string_view, Reason>> rows = {
      {"53300", Reason::overload},   {"53200", Reason::mismatch}, {"57P01", Reason::unready},
      {"57P02", Reason::unready},    {"57P03", Reason::unready},  {"57014", Reason::timeout},
      {"57P04", Reason::mismatch},   {"28000", Reason::auth},     {"28P01", Reason::auth},
      {"42501", Reason::permission}, {"42P01", Reason::mismatch}, {"08006", Reason::connect},
      {"3D000", Reason::mismatch},   {"", Reason::mismatch}};
  for (const auto& [sqlstate, reason] : rows) EXPECT_EQ(pg_reason(sqlstate), reason) << sqlstate;
}

TEST(PgSqlstateTest, FindsTheCodeAfterTheSeverity) {
  EXPECT_EQ(pg_sqlstate("FATAL:  53300: sorry, too many clients already"), "53300");
  EXPECT_EQ(pg_sqlstate("connection to server at \"::1\", port 5432 failed: "
                        "SCHWERWIEGEND:  28P01: Passwort-Authentifizierung fehlgeschlagen"),
            "28P01");
  EXPECT_EQ(pg_sqlstate("first:  no code: FATAL:  57P03: the database system is starting up"),
            "57P03");
}

TEST(PgSqlstateTest, IsEmptyForOtherTexts) {
  for (const std::string_view text :
       {"", ":  ", ":  5330", ":  53300", ":  53300:", ":  53300;x", ":  5330x: y", "53300: text",
        ": 53300: one blank", "could not connect: Connection refused"}) {
    EXPECT_EQ(pg_sqlstate(text), "") << text;
  }
}

TEST(PgLoginErrorTest, ClassifiesTextsWithoutSqlstate) {
  const std::vector<std::pair<std::string_view, Reason>> rows = {
      {"could not connect: Connection refused", Reason::connect},
      {"could not create socket: Too many open files", Reason::internal},
      {"server: could not fork new process: Cannot allocate memory", Reason::connect},
      {"fe_sendauth: no password supplied", Reason::auth},
      {"GSSAPI continuation error: No credentials were supplied", Reason::auth},
      {"authentication method 7 not supported", Reason::auth},
      {"channel binding required, but not supported by server", Reason::auth},
      {"server does not support SSL, but SSL was required", Reason::tls},
      {"SSL error: tlsv1 alert unknown ca", Reason::tls},
      {"root certificate file does not exist", Reason::tls},
      {"server closed the connection unexpectedly", Reason::protocol},
      {"incorrect server signature", Reason::protocol},
      {"connection to server on socket \"/run/a/.s.PGSQL.1\" failed: No such file or directory",
       Reason::connect},
      {"connection to server on socket \"/run/a/.s.PGSQL.1\" failed: Permission denied",
       Reason::config},
      // Names do not count.
      {"connection to server at \"protocol.SSL\" (::1), port 1 failed: Connection refused",
       Reason::connect},
  };
  for (const auto& [text, reason] : rows) EXPECT_EQ(pg_login_error(text).reason(), reason) << text;
}

TEST(PgLoginErrorTest, DistinguishesTheLimitsOfRoleAndDatabaseFromAFullServer) {
  const auto reason = [](const std::string& location) {
    return pg_login_error("FATAL:  53300: too many connections" + location).reason();
  };
  EXPECT_EQ(reason(""), Reason::overload);
  EXPECT_EQ(reason("\nLOCATION:  ProcArrayAdd, procarray.c:1"), Reason::overload);
  EXPECT_EQ(reason("\nLOCATION:  InitializeSessionUserId, miscinit.c:1"), Reason::permission);
  EXPECT_EQ(reason("\nLOCATION:  CheckMyDatabase, postinit.c:1"), Reason::permission);
}

TEST(PgLoginErrorTest, ClassifiesPgBouncerByItsText) {
  const auto reason = [](const std::string& text) {
    return pg_login_error("FATAL:  08P01: " + text).reason();
  };
  EXPECT_EQ(reason("password authentication failed"), Reason::auth);
  EXPECT_EQ(reason("no such user: monitor"), Reason::auth);
  EXPECT_EQ(reason("no such database: app"), Reason::mismatch);
  EXPECT_EQ(reason("pooler error"), Reason::connect);
}

TEST(PgErrorTextTest, IsOneLineWithoutTheLocation) {
  EXPECT_EQ(pg_error_text("FATAL:  a\n\tb\nLOCATION:  f, g.c:1\n"), "FATAL:  a  b");
  EXPECT_EQ(pg_error_text("text \n"), "text");
}

}  // namespace
}  // namespace vitalsd::net
