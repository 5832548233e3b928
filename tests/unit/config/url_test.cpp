#include "config/url.hpp"

#include "config/scalar.hpp"
#include "config/socket_url.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/scalar.hpp"
#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

TEST(Url, HasParts) {
  const Url url = *Scalar<Url>::parse("https://api.example:8443/health/ready?a=b%20c&d#top");
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.user, "");
  EXPECT_EQ(url.host, "api.example");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.path, "/health/ready");
  EXPECT_EQ(url.query, "a=b%20c&d");
}

TEST(Url, DecodesUserAndPassword) {
  const Url url = *Scalar<Url>::parse("postgresql://moni%40tor:p%3Aw%2F%25@db/vcci");
  EXPECT_EQ(url.user, "moni@tor");
  EXPECT_EQ(url.password, "p:w/%");
  EXPECT_EQ(url.port, 0);
}

TEST(Url, KeepsThePathEncoded) {
  EXPECT_EQ(Scalar<Url>::parse("http://h/a%2Fb/%C3%A9")->path, "/a%2Fb/%C3%A9");
}

TEST(Url, ShowsNoCredentialsAndNoFragment) {
  EXPECT_EQ(shown<Url>("redis://user:secret@[::1]:6379/0?x=y#z"), "redis://[::1]:6379/0?x=y");
  EXPECT_EQ(shown<Url>("http://h"), "http://h");
}

TEST(Url, RequiresAHost) {
  for (const char* text : {"file:///etc/passwd", "http://:80/", "mailto:a@b"}) {
    EXPECT_EQ(error_of<Url>(text), "the URL has no host");
  }
}

TEST(SocketUrl, MayHaveAPathOrNothingAsItsHost) {
  const auto host = [](std::string_view text) { return Scalar<SocketUrl>::parse(text)->host; };
  EXPECT_EQ(host("postgresql://u@%2Frun%2Fpostgresql/db"), "/run/postgresql");
  EXPECT_EQ(host("postgresql://u@%2frun%2Fa%20b:5433/db"), "/run/a b");
  EXPECT_EQ(host("postgresql:///db?host=/run/postgresql"), "");
  EXPECT_EQ(host("postgresql://u:p@/db"), "");
  EXPECT_EQ(host("postgresql://u@:5433/db"), "");
  EXPECT_EQ(host("unix:///run/redis/redis.sock?db=1"), "");
  EXPECT_EQ(host("redis://u@[::1]:6379/0"), "::1");
}

TEST(SocketUrl, IsOtherwiseAUrl) {
  EXPECT_EQ(error_of<SocketUrl>("redis://:hunter/2@cache/0"),
            "the URL has no host: write / in a user name or a password as %2F");
  EXPECT_EQ(error_of<SocketUrl>("postgresql://u@run%2Fpostgresql/db"),
            "the host of the URL is not a valid name or address");
  EXPECT_EQ(error_of<SocketUrl>("postgresql://u@%2Frun:99999/db"),
            "the port of the URL must be a number between 1 and 65535");
  EXPECT_EQ(error_of<SocketUrl>("postgresql://u@%2Frun%00/db"),
            "the host of the URL contains a zero byte");
  EXPECT_EQ(error_of<Url>("http://%2Frun/"), "the host of the URL is not a valid name or address");
  EXPECT_EQ(error_of<SocketUrl>("host=/run/postgresql user=monitor password=hush"),
            "not a URL: instead of KEY=VALUE write postgresql://USER@/DATABASE?host=/DIRECTORY");
}

TEST(Url, RefusesInvalidPorts) {
  for (const char* text : {"http://h:0/", "http://h:/", "http://h:65536/", "http://h:99999999999/",
                           "http://127.0.0.1:88736/", "http://[::1]:88736/",
                           "postgres://u:p@h:88736/db", "redis://h:71915/0", "http://h:0080/",
                           "http://127.0.0.1:23l00/", "postgresql://u@h1:1,h2:2/db"}) {
    EXPECT_EQ(error_of<Url>(text), "the port of the URL must be a number between 1 and 65535")
        << text;
  }
}

TEST(Url, RefusesInvalidHosts) {
  EXPECT_EQ(Scalar<Url>::parse("http://db_1.example/")->host, "db_1.example");
  EXPECT_EQ(Scalar<Url>::parse("http://[fe80::1]/")->host, "fe80::1");
  for (const char* text : {"http://a%20b/", "http://%31.example/", "postgresql://u@h1,h2/db",
                           "http://a;b/", "http://[v1.x]/"}) {
    EXPECT_EQ(error_of<Url>(text), "the host of the URL is not a valid name or address") << text;
  }
  for (const char* text : {"http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]:80/x?[%]"}) {
    EXPECT_EQ(error_of<Url>(text),
              "the host of the URL has a zone: must be an address without '%' and a zone");
  }
  EXPECT_EQ(Scalar<Url>::parse("http://h/?q=%5B1%5D")->query, "q=%5B1%5D");
}

TEST(Url, RefusesZeroBytesInCredentials) {
  for (const char* text : {"redis://u:a%00b@h/", "redis://a%00b@h/"}) {
    EXPECT_EQ(error_of<Url>(text),
              "the user name or the password of the URL contains a zero byte: remove %00");
  }
}

TEST(ResolveUrl, AppliesTheRulesOfConfiguredUrls) {
  const Url base = *Scalar<Url>::parse("http://h:8080/a/b");
  EXPECT_EQ(resolve_url(base, "../c?d")->text(), "http://h:8080/c?d");
  EXPECT_EQ(resolve_url(base, "https://other:443/")->text(), "https://other:443/");
  EXPECT_EQ(resolve_url(base, "//[::1]:1/")->text(), "http://[::1]:1/");
  for (const char* location :
       {"http://127.0.0.1:88736/", "http://h:0/", "http://h:/", "http://h:23l00/", "//h:88736/",
        "//h1:1,h2:2/", "http://a%20b/", "http://a,b/", "http://[fe80::1%25eth0]/", "ftp://h/"}) {
    EXPECT_FALSE(resolve_url(base, location)) << location;
  }
}

TEST(ResolveUrl, ReadsALocationAsBrowsersDo) {
  const Url base = *Scalar<Url>::parse("http://h:8080/a/b?c");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/my page", "http://h:8080/my%20page"},
      {"my page?q=a b", "http://h:8080/a/my%20page?q=a%20b"},
      {"/café?q=é", "http://h:8080/caf%C3%A9?q=%C3%A9"},
      {"/caf\xe9", "http://h:8080/caf%E9"},  // Latin-1
      {"/a|b{c}[d]\"e\"<f>^g`", "http://h:8080/a%7Cb%7Bc%7D%5Bd%5D%22e%22%3Cf%3E%5Eg%60"},
      {"?ids[]=1&f={\"a\":1}|2", "http://h:8080/a/b?ids%5B%5D=1&f=%7B%22a%22:1%7D%7C2"},
      {"/100%", "http://h:8080/100%25"},
      {"/%zz%2", "http://h:8080/%25zz%252"},
      {"/%20é", "http://h:8080/%20%C3%A9"},  // already encoded
      {"\\login\\in?a\\b", "http://h:8080/login/in?a%5Cb"},
      {"https://other/a b", "https://other/a%20b"},
      {"//other:81?a b", "http://other:81?a%20b"},
      {"http://[::1]:1/[x]", "http://[::1]:1/%5Bx%5D"},
      {"/login?next=http://[fe80::1%25eth0]/",
       "http://h:8080/login?next=http://%5Bfe80::1%25eth0%5D/"},
      {"/a#b c", "http://h:8080/a"},
      {"#[top]", "http://h:8080/a/b?c"},
  };
  for (const auto& [location, target] : cases) {
    const auto resolved = resolve_url(base, location);
    EXPECT_EQ(resolved ? resolved->text() : "", target) << location;
  }
  using namespace std::string_view_literals;
  for (const std::string_view location :
       {"/a\rb"sv, "/a\nb"sv, "/a\0b"sv, "/a\tb"sv, "/a\x7f"sv, "/\x1b[31m"sv, "http://a b/"sv,
        "http://é.example/"sv, "http://a|b/"sv, "http://[fe80::1%eth0]/x"sv, "http://h%/"sv,
        "\\\\a b\\c"sv, "javascript:alert(1)"sv, "http://u:p[q@h/"sv}) {
    EXPECT_FALSE(resolve_url(base, location)) << location;
  }
}

TEST(Url, ReportsTheFirstInvalidCharacter) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"http://u:secret@h/ x", "character 19 is ' ', write it as %20"},
      {"http://h/caf\u00e9/a|b", "character 13 is '\u00e9', write it as %C3%A9"},
      {"http://h/a[1]", "character 11 is '[', write it as %5B"},
      {"http://u:secret@h/%zz", "character 19 is '%', write it as %25"},
      {"http://h/a\n", "character 11 is '\\x0a', write it as %0A"},
      {"http://h/a#b#c", "character 13 is '#', write it as %23"},
      {"http://h\u00f6st/x|", "character 9 is '\u00f6', which is not allowed in a host"},
      {"http://a b/", "character 9 is ' ', which is not allowed in a host"},
      // The place only, because the text may be a secret.
      {"http://u:s\u00e9cr|t@h/",
       "character 11 must be percent-encoded: write % and two hexadecimal digits"},
      {"http://u:100%@h/",
       "character 13 must be percent-encoded: write % and two hexadecimal digits"},
      {"http://u:a]b@h/",
       "character 11 must be percent-encoded: write % and two hexadecimal digits"},
      {"http://h/?token=a^b",
       "character 18 must be percent-encoded: write % and two hexadecimal digits"},
  };
  for (const auto& [text, what] : cases) {
    EXPECT_EQ(error_of<Url>(text), "not a valid URL: " + what);
  }
}

TEST(Url, SuggestsTheEncodingForAPassword) {
  const std::string number = "write # in a user name or a password as %23";
  for (const char* text : {"postgresql://u:se#cret@h/db", "redis://:se#cret@h", "http://u#v:w@h/",
                           "http://u:12#cret@h/", "http://u:s#c ret@h/", "redis://:#@h"}) {
    const std::string error = error_of<Url>(text);
    EXPECT_TRUE(error.ends_with(": " + number)) << error;
    EXPECT_FALSE(error.contains("cret")) << error;
  }
  EXPECT_EQ(error_of<Url>("postgresql://u:se/cret@h/db"),
            "the port of the URL must be a number between 1 and 65535: write / in a user name or a "
            "password as %2F");
  EXPECT_EQ(error_of<Url>("redis://:se?cret@h/0"),
            "the URL has no host: write ? in a user name or a password as %3F");
  for (const char* text : {"http://u:se%23cret@h/", "http://h/#a@b", "http://u@h#top", "http://h#a",
                           "http://h:80/@user", "http://h?mail=a@b"}) {
    EXPECT_TRUE(Scalar<Url>::parse(text)) << text;
  }
}

// The URL is valid, with another host than its author means.
TEST(Url, SuggestsTheEncodingForAPasswordWithAValidStart) {
  const std::string slash =
      "the host of the URL ends at '/', and an '@' follows: write / in a user name or a password "
      "as %2F, or the '@' as %40";
  for (const char* text :
       {"postgresql://u:SECRETp@ss/SECRETw@h:5432/d", "http://u:12/SECRETpw@127.0.0.1:1/",
        "http://u:12/SECRETpw@h:1/", "http://u:12/SECRETpw@10.0.0.1", "redis://u:12/SECRETpw@h/0",
        "https://u:SECRETp@ss/SECRETw@h"}) {
    EXPECT_EQ(error_of<Url>(text), slash) << text;
    EXPECT_EQ(error_of<SocketUrl>(text), slash) << text;
  }
  for (const char* text : {"http://u:12?SECRETpw@127.0.0.1:1/", "http://u:p@ss?SECRETw@h/"}) {
    const std::string error = error_of<Url>(text);
    EXPECT_TRUE(error.contains("write ? in a user name or a password as %3F")) << error;
    EXPECT_FALSE(error.contains("SECRET")) << error;
  }
  for (const char* text :
       {"https://host/@user", "https://host/a@b", "http://h:80/a@b", "http://u:p@h/@user",
        "http://h:80/?mail=a@b", "http://u:p@h/x?mail=a@b", "http://[::1]:80/a@b",
        "http://h:80/a@b/c", "postgresql://u:p@h/d?user=a@b", "unix:///run/redis@1.sock"}) {
    EXPECT_TRUE(Scalar<SocketUrl>::parse(text)) << text;
  }
}

TEST(Url, ReportsTheValidFormWithoutTheText) {
  for (const char* text : {"", "/x", "//h/x", "1http://h/"}) {
    EXPECT_EQ(error_of<Url>(text), "not a valid URL: must have the form https://host.example/path");
  }
  for (const char* text : {"api.example", "api.example/x", "localhost:80/x", "10.0.0.1:80?x=y"}) {
    EXPECT_EQ(error_of<Url>(text),
              "the URL has no scheme: it must start with one, such as https://");
  }
  EXPECT_EQ(error_of<SocketUrl>("cache:6379"),
            "the URL has no scheme: it must start with one, such as redis:// or postgresql://");
}

TEST(Url, NamesAVariableThatNobodyExpands) {
  for (const auto& [text, variable] : std::initializer_list<std::pair<const char*, const char*>>{
           {"https://$HOST/x", "$HOST"},
           {"https://${host}/x", "${host}"},
           {"https://h:${PORT}/x", "${PORT}"},
           {"https://h/${A_1}", "${A_1}"},
           {"https://u:$SECRET@$HOST/x", "$HOST"}}) {
    EXPECT_EQ(error_of<Url>(text),
              "vitalsd does not expand '" + std::string(variable) + "': write its value");
  }
  EXPECT_EQ(Scalar<Url>::parse("https://u:$SECRET@h/$X?$Y")->path, "/$X");  // valid characters
}

TEST(PercentEncode, KeepsUnreservedCharactersAndEncodesAllOthers) {
  EXPECT_EQ(percent_encode("AZaz09-._~"), "AZaz09-._~");
  EXPECT_EQ(percent_encode("a b+c&d=e%f/"), "a%20b%2Bc%26d%3De%25f%2F");
  EXPECT_EQ(percent_encode("\xc3\xbc\n"), "%C3%BC%0A");
}

TEST(PercentDecode, DecodesEveryEncodedByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_decode("a%2bb%2Bc"), "a+b+c");
}

TEST(PercentDecode, KeepsPlusAndInvalidEncodings) {
  for (const std::string_view text : {"a+b", "%", "%4", "%zz", "%4z", "100%", "%-1", "%+1"}) {
    EXPECT_EQ(percent_decode(text), text);
  }
  EXPECT_EQ(percent_decode("%%41"), "%A");
}

}  // namespace
}  // namespace vitalsd::config
