#include "config/scalar.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

template <class T>
std::string error_of(std::string_view text) {
  const auto parsed = Scalar<T>::parse(text);
  return parsed ? "accepted" : parsed.error();
}

// What is read and shown again, or the error.
template <class T>
std::string shown(std::string_view text) {
  const auto parsed = Scalar<T>::parse(text);
  return parsed ? std::string(Scalar<T>::show(*parsed)) : parsed.error();
}

TEST(Text, IsTakenAsItIs) {
  EXPECT_EQ(*Scalar<std::string>::parse("  007 ~ 'x' "), "  007 ~ 'x' ");
  EXPECT_EQ(Scalar<std::string>::show("a b"), "a b");
}

TEST(Bool, IsTrueOrFalseOnly) {
  EXPECT_EQ(*Scalar<bool>::parse("true"), true);
  EXPECT_EQ(*Scalar<bool>::parse("false"), false);
  for (const char* text : {"True", "yes", "on", "1", ""}) {
    EXPECT_EQ(error_of<bool>(text), config::quoted(text) + " is neither true nor false");
  }
}

TEST(WholeNumber, IsDecimal) {
  EXPECT_EQ(*Scalar<std::int64_t>::parse("0"), 0);
  EXPECT_EQ(*Scalar<std::int64_t>::parse("-12"), -12);
  EXPECT_EQ(*Scalar<std::int64_t>::parse("9223372036854775807"),
            std::numeric_limits<std::int64_t>::max());
  for (const char* text : {"", "-", "+1", "1.0", "1e3", "0x10", "1_000", " 1", "1 "}) {
    EXPECT_NE(error_of<std::int64_t>(text), "accepted") << text;
  }
}

TEST(WholeNumber, RefusesWhatYamlReadsAsOctal) {
  EXPECT_EQ(error_of<std::int64_t>("010"), "'010' has a leading zero: numbers are decimal");
  EXPECT_EQ(error_of<std::int64_t>("-010"), "'010' has a leading zero: numbers are decimal");
}

TEST(WholeNumber, SaysWhenItIsTooLarge) {
  EXPECT_EQ(error_of<std::int64_t>("9223372036854775808"), "'9223372036854775808' is too large");
  EXPECT_EQ(error_of<std::int64_t>("99999999999999999999"), "'99999999999999999999' is too large");
}

TEST(Number, HasNoExponentAndIsFinite) {
  EXPECT_EQ(*Scalar<double>::parse("-0.25"), -0.25);
  EXPECT_EQ(shown<double>("1000"), "1000");
  for (const char* text : {"", "1e3", "inf", "nan", "0x1p3", "1,5", "1.5.2", "1.5 "}) {
    EXPECT_EQ(error_of<double>(text), config::quoted(text) + " is not a decimal number");
  }
}

TEST(Duration, TakesUnitsLargestFirst) {
  EXPECT_EQ(*Scalar<Duration>::parse("500ms"), Duration(500));
  EXPECT_EQ(*Scalar<Duration>::parse("1h30m"), Duration(5'400'000));
  EXPECT_EQ(*Scalar<Duration>::parse("24h"), Duration(86'400'000));
  EXPECT_EQ(*Scalar<Duration>::parse("0s"), Duration(0));
}

TEST(Duration, SaysHowToWriteOne) {
  constexpr const char* kExample = ": write for example 500ms, 30s, 5m, 24h or 30d";
  EXPECT_EQ(error_of<Duration>(""), std::string("a duration is missing") + kExample);
  EXPECT_EQ(error_of<Duration>("30"), std::string("'30' has no unit") + kExample);
  EXPECT_EQ(error_of<Duration>("1h30"), std::string("'1h30' has no unit") + kExample);
  for (const char* text : {"s", "-5s", "1.5h", "30 s", "30S", "30sec"}) {
    EXPECT_EQ(error_of<Duration>(text), config::quoted(text) + " is not a duration" + kExample);
  }
  EXPECT_EQ(error_of<Duration>("030s"), "'030' has a leading zero: numbers are decimal");
}

TEST(Duration, TakesEachUnitOnceLargestFirst) {
  for (const char* text : {"30m1h", "1h1h"}) {
    EXPECT_EQ(error_of<Duration>(text),
              config::quoted(text) + " is not a duration: the larger unit comes first, once");
  }
}

TEST(Duration, IsAtMostTenYears) {
  EXPECT_EQ(shown<Duration>("3660d"), "3660d");
  EXPECT_EQ(error_of<Duration>("3660d1ms"), "'3660d1ms' is over ten years");
  EXPECT_EQ(error_of<Duration>("18446744073709551615w"),
            "'18446744073709551615w' is over ten years");
  EXPECT_EQ(error_of<Duration>("99999999999999999999s"), "'99999999999999999999' is too large");
}

TEST(Duration, ShowsWhatItReads) {
  for (const char* text : {"0s", "500ms", "30s", "1h30m", "24h", "48h", "7d", "1m1s", "3d4h5ms"}) {
    EXPECT_EQ(shown<Duration>(text), text);
  }
  EXPECT_EQ(shown<Duration>("2w"), "14d");
  EXPECT_EQ(shown<Duration>("90s"), "1m30s");
}

TEST(Size, HasDecimalAndBinaryUnits) {
  EXPECT_EQ(Scalar<Bytes>::parse("512B")->value, 512U);
  EXPECT_EQ(Scalar<Bytes>::parse("10kB")->value, 10'000U);
  EXPECT_EQ(Scalar<Bytes>::parse("1KiB")->value, 1'024U);
  EXPECT_EQ(Scalar<Bytes>::parse("3GB")->value, 3'000'000'000U);
  EXPECT_EQ(Scalar<Bytes>::parse("2TiB")->value, std::uint64_t{2} << 40);
}

TEST(Size, SaysHowToWriteOne) {
  constexpr const char* kExample = ": write for example 512B, 10kB, 1MiB or 5GB";
  EXPECT_EQ(error_of<Bytes>("1024"), std::string("'1024' has no unit") + kExample);
  for (const char* text : {"", "GB", "-1B", "1.5GiB", "1 GB", "1gb", "1K", "1Mib"}) {
    EXPECT_EQ(error_of<Bytes>(text), config::quoted(text) + " is not a size" + kExample);
  }
  EXPECT_EQ(error_of<Bytes>("08B"), "'08' has a leading zero: numbers are decimal");
}

TEST(Size, FitsSixtyThreeBits) {
  EXPECT_EQ(Scalar<Bytes>::parse("8388607TiB")->value, 8'388'607ULL << 40);
  EXPECT_EQ(error_of<Bytes>("8388608TiB"), "'8388608TiB' is too large");
}

TEST(Size, IsShownInTheLargestWholeUnit) {
  for (const char* text : {"0B", "1B", "1KiB", "3kB", "1536MiB", "5GB"}) {
    EXPECT_EQ(shown<Bytes>(text), text);
  }
  EXPECT_EQ(shown<Bytes>("1024KiB"), "1MiB");
}

TEST(Ratio, IsAPercentageOrAFraction) {
  EXPECT_EQ(Scalar<Ratio>::parse("80%")->value, 0.8);
  EXPECT_EQ(Scalar<Ratio>::parse("0.8")->value, 0.8);
  EXPECT_EQ(Scalar<Ratio>::parse("100%")->value, 1);
  EXPECT_EQ(shown<Ratio>("0.125"), "12.5%");
}

TEST(Ratio, SaysHowToWriteOne) {
  for (const char* text : {"", "%", "80 %", "much", "80%%"}) {
    EXPECT_EQ(error_of<Ratio>(text),
              config::quoted(text) + " is not a ratio: write for example 80% or 0.8");
  }
  for (const char* text : {"80", "101%", "-1%", "-0.1"}) {
    EXPECT_EQ(error_of<Ratio>(text),
              config::quoted(text) + " is not a ratio between 0 and 1 (0% and 100%)");
  }
}

TEST(Endpoint, IsAHostAndAPort) {
  EXPECT_EQ(*Scalar<Endpoint>::parse("db_1.example:5432"), (Endpoint{"db_1.example", 5432}));
  EXPECT_EQ(*Scalar<Endpoint>::parse("10.0.0.1:1"), (Endpoint{"10.0.0.1", 1}));
  EXPECT_EQ(*Scalar<Endpoint>::parse("h:65535"), (Endpoint{"h", 65535}));
}

TEST(Endpoint, KeepsIpv6AddressesInBrackets) {
  EXPECT_EQ(*Scalar<Endpoint>::parse("[fe80::1]:443"), (Endpoint{"fe80::1", 443}));
  EXPECT_EQ(shown<Endpoint>("[::ffff:10.0.0.1]:80"), "[::ffff:10.0.0.1]:80");
  EXPECT_EQ(error_of<Endpoint>("[db]:80"), "'[db]:80' is not an address in brackets");
  EXPECT_EQ(error_of<Endpoint>("[]:80"), "'[]:80' is not an address in brackets");
  EXPECT_NE(error_of<Endpoint>("::1:80"), "accepted");
}

TEST(Endpoint, SaysHowToWriteOne) {
  constexpr const char* kExample = ": write host:port, for example db.example:5432";
  for (const char* text : {"", "db", "db:", "[::1]"}) {
    EXPECT_EQ(error_of<Endpoint>(text), config::quoted(text) + " has no port" + kExample);
  }
  for (const char* text : {":80", "http://db:80", "a b:80", "user@db:80", "dbé:80"}) {
    EXPECT_EQ(error_of<Endpoint>(text),
              config::quoted(text) + " is not a host and a port" + kExample);
  }
  EXPECT_EQ(error_of<Endpoint>("db:0"), "'0' is not a port (1 to 65535)");
  EXPECT_EQ(error_of<Endpoint>("db:65536"), "'65536' is not a port (1 to 65535)");
  EXPECT_EQ(error_of<Endpoint>("db:http"), "'http' is not a decimal number");
  EXPECT_EQ(error_of<Endpoint>("db:0443"), "'0443' has a leading zero: numbers are decimal");
}

TEST(Url, ComesInParts) {
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

TEST(Url, IsShownWithoutCredentialsAndFragment) {
  EXPECT_EQ(shown<Url>("redis://user:secret@[::1]:6379/0?x=y#z"), "redis://[::1]:6379/0?x=y");
  EXPECT_EQ(shown<Url>("http://h"), "http://h");
}

TEST(Url, NamesAHost) {
  for (const char* text : {"file:///etc/passwd", "http://:80/", "mailto:a@b"}) {
    EXPECT_EQ(error_of<Url>(text), "this URL names no host");
  }
}

TEST(Url, HasARealPortIfAny) {
  for (const char* text : {"http://h:0/", "http://h:/", "http://h:65536/", "http://h:99999999999/",
                           "http://127.0.0.1:88736/", "http://[::1]:88736/",
                           "postgres://u:p@h:88736/db", "redis://h:71915/0", "http://h:0080/",
                           "http://127.0.0.1:23l00/", "postgresql://u@h1:1,h2:2/db"}) {
    EXPECT_EQ(error_of<Url>(text), "the port of this URL is not one (1 to 65535)") << text;
  }
}

TEST(Url, HasAHostAsAnEndpointHas) {
  EXPECT_EQ(Scalar<Url>::parse("http://db_1.example/")->host, "db_1.example");
  EXPECT_EQ(Scalar<Url>::parse("http://[fe80::1]/")->host, "fe80::1");
  for (const char* text : {"http://a%20b/", "http://%31.example/", "postgresql://u@h1,h2/db",
                           "http://a;b/", "http://[v1.x]/"}) {
    EXPECT_EQ(error_of<Url>(text), "the host of this URL is neither a name nor an address") << text;
  }
  for (const char* text : {"http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]:80/x?[%]"}) {
    EXPECT_EQ(error_of<Url>(text), "the host of this URL has a zone: only plain addresses work");
  }
  EXPECT_EQ(Scalar<Url>::parse("http://h/?q=%5B1%5D")->query, "q=%5B1%5D");
}

TEST(Url, HoldsNoZeroByteInItsCredentials) {
  for (const char* text : {"redis://u:a%00b@h/", "redis://a%00b@h/"}) {
    EXPECT_EQ(error_of<Url>(text), "user or password of this URL hold a zero byte");
  }
}

TEST(ResolveUrl, TakesWhatAUrlOfTheConfigurationMayBe) {
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

TEST(ResolveUrl, TakesALocationAsBrowsersDo) {
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
      {"/%20é", "http://h:8080/%20%C3%A9"},  // what is encoded stays so
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

TEST(Url, SaysWhichCharacterCannotBeThere) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"http://u:secret@h/ x", "character 19 is ' ': write %20"},
      {"http://h/caf\u00e9/a|b", "character 13 is '\u00e9': write %C3%A9"},
      {"http://h/a[1]", "character 11 is '[': write %5B"},
      {"http://u:secret@h/%zz", "character 19 is '%': write %25"},
      {"http://h/a\n", "character 11 is '\\x0a': write %0A"},
      {"http://h/a#b#c", "character 13 is '#': write %23"},
      {"http://h\u00f6st/x|", "character 9 is '\u00f6', which no host has"},
      {"http://a b/", "character 9 is ' ', which no host has"},
      // Secrets: no more than the place.
      {"http://u:s\u00e9cr|t@h/",
       "character 11 has to be percent-encoded, as % and two hex digits"},
      {"http://u:100%@h/", "character 13 has to be percent-encoded, as % and two hex digits"},
      {"http://u:a]b@h/", "character 11 has to be percent-encoded, as % and two hex digits"},
      {"http://h/?token=a^b", "character 18 has to be percent-encoded, as % and two hex digits"},
  };
  for (const auto& [text, what] : cases) {
    EXPECT_EQ(error_of<Url>(text), "this is not a URL: " + what);
  }
}

TEST(Url, SaysHowAPasswordIsWritten) {
  const std::string number = "in a user or a password, write # as %23";
  for (const char* text : {"postgresql://u:se#cret@h/db", "redis://:se#cret@h", "http://u#v:w@h/",
                           "http://u:12#cret@h/", "http://u:s#c ret@h/", "redis://:#@h"}) {
    const std::string error = error_of<Url>(text);
    EXPECT_TRUE(error.ends_with(": " + number)) << error;
    EXPECT_FALSE(error.contains("cret")) << error;
  }
  EXPECT_EQ(
      error_of<Url>("postgresql://u:se/cret@h/db"),
      "the port of this URL is not one (1 to 65535): in a user or a password, write / as %2F");
  EXPECT_EQ(error_of<Url>("redis://:se?cret@h/0"),
            "this URL names no host: in a user or a password, write ? as %3F");
  for (const char* text : {"http://u:se%23cret@h/", "http://h/#a@b", "http://u@h#top", "http://h#a",
                           "http://h:80/@user", "http://h?mail=a@b"}) {
    EXPECT_TRUE(Scalar<Url>::parse(text)) << text;
  }
}

TEST(Url, IsNotRepeatedInAnError) {
  for (const char* text : {"", "api.example/x", "1http://h/"}) {
    EXPECT_EQ(error_of<Url>(text),
              "this is not a URL: write for example https://host.example/path");
  }
}

TEST(Quoted, EscapesControlCharacters) {
  EXPECT_EQ(config::quoted("a\nb\x1b[31m\x7f"), "'a\\x0ab\\x1b[31m\\x7f'");
  EXPECT_EQ(config::quoted("é"), "'é'");
}

TEST(Quoted, HidesCredentials) {
  EXPECT_EQ(config::quoted("http://u:p@h/x"), "'http://***@h/x'");
  EXPECT_EQ(config::quoted("http://u:p/w@x@h/"), "'http://***@h/'");
  EXPECT_EQ(config::quoted("see http://token@h"), "'see http://***@h'");
  EXPECT_EQ(config::quoted("u:p@h:80"), "'***@h:80'");
  EXPECT_EQ(config::quoted("http://u:" + std::string(100, 'p') + "@h"), "'http://***@h'");
  for (const char* text : {"user@h:80", "a@b http://h", "error: no @ here", "http://h/", "a:b"}) {
    EXPECT_EQ(config::quoted(text), "'" + std::string(text) + "'");
  }
}

TEST(Quoted, HidesThePasswordOfAUrlWhereAnythingElseIsExpected) {
  for (const char* text :
       {"postgres://u:secret@h", "postgres://u:secret@h:1/db", "postgres://u:secret@h:1",
        "http://u:se/secret@h:1/", "u:secret@h:1", "u:secret@h/x", "[secret]://u:secret@h:1"}) {
    for (const std::string& error :
         {error_of<Endpoint>(text), error_of<Url>(text), error_of<bool>(text),
          error_of<std::int64_t>(text), error_of<std::int64_t>("-" + std::string(text)),
          error_of<double>(text), error_of<Duration>(text), error_of<Bytes>(text),
          error_of<Ratio>(text)}) {
      EXPECT_FALSE(error.contains("u:")) << error;
      EXPECT_FALSE(error.contains("secret@")) << error;
    }
  }
  EXPECT_EQ(error_of<Endpoint>("redis://u:secret@h:6379/0"),
            "'redis://***@h:6379/0' is not a host and a port: write host:port, for example "
            "db.example:5432");
}

TEST(Quoted, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(config::quoted(std::string(80, 'x')), "'" + std::string(80, 'x') + "'");
  EXPECT_EQ(config::quoted(std::string(81, 'x')), "'" + std::string(80, 'x') + "…'");
  EXPECT_EQ(config::quoted(std::string(79, 'x') + "éé"), "'" + std::string(79, 'x') + "…'");
}

}  // namespace
}  // namespace vitalsd::config
