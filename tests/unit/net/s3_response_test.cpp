// Responses of S3: times, pages and errors.
#include "probes/net/s3.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/net/s3_page.hpp"
#include "unit/support/readers.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using test::s3::contents;
using test::s3::error_xml;
using test::s3::page;
using testing::StartsWith;

// ---- text ---------------------------------------------------------------------------------------

TEST(IsoTimeTest, ReadsSecondsWithoutTheirFraction) {
  EXPECT_EQ(parse_iso_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_iso_time("2026-11-23T02:00:05Z"), 1795399205);
  EXPECT_EQ(parse_iso_time("2026-11-23T02:00:05.999Z"), 1795399205);
}

TEST(IsoTimeTest, RejectsOtherFormats) {
  for (const std::string_view text :
       {"", "2026-11-23", "2026-11-23T02:00:05", "2026-11-23T02:00:05+01:00",
        "2026-11-23T02:00:05Z ", "2026-11-23T02:00:05.1xZ", "2026-13-23T02:00:05Z", "yesterday"}) {
    EXPECT_EQ(parse_iso_time(text), std::nullopt) << text;
  }
}

TEST(HttpTimeTest, ReadsTheFormatOfTheDateHeaderOnly) {
  EXPECT_EQ(parse_http_time("Mon, 23 Nov 2026 02:00:05 GMT"), 1795399205);
  for (const std::string_view text : {"", "Mon, 23 Nov 2026 02:00:05", "23 Nov 2026 02:00:05 GMT",
                                      "Mon, 23 Nov 2026 02:00:05 GMT+1", "now"}) {
    EXPECT_EQ(parse_http_time(text), std::nullopt) << text;
  }
}

// ---- pages
// ---------------------------------------------------------------------------------------

std::string refusal(std::string_view xml) {
  return test::protocol_error_of([&] { parse_s3_page(xml); });
}

TEST(S3PageTest, ReadsObjectsAndTheContinuationToken) {
  const S3Page last = parse_s3_page(page(contents("db/a&amp;b", "18446744073709551615")));
  ASSERT_EQ(last.objects.size(), 1U);
  EXPECT_EQ(last.objects[0].key, "db/a&b");
  EXPECT_EQ(last.objects[0].size, 18446744073709551615U);
  EXPECT_EQ(last.objects[0].modified, 1795399205);
  EXPECT_EQ(last.continuation, "");
  const S3Page first = parse_s3_page(
      page("<IsTruncated>true</IsTruncated><NextContinuationToken>1/x==</NextContinuationToken>" +
           contents("a") + contents("b")));
  EXPECT_EQ(first.objects.size(), 2U);
  EXPECT_EQ(first.continuation, "1/x==");
  EXPECT_TRUE(parse_s3_page(page("<IsTruncated>false</IsTruncated>")).objects.empty());
}

TEST(S3PageTest, DecodesKeysOnlyIfTheResponseMarksThemAsEncoded) {
  const std::string key = contents("a%2Bb+c");
  EXPECT_EQ(parse_s3_page(page(key)).objects.at(0).key, "a%2Bb+c");
  EXPECT_EQ(parse_s3_page(page("<EncodingType>url</EncodingType>" + key)).objects.at(0).key,
            "a+b c");
}

TEST(S3PageTest, RejectsOtherDocuments) {
  EXPECT_THAT(refusal(""), StartsWith("not XML: "));
  EXPECT_THAT(refusal(page(contents("a")).substr(0, 150)), StartsWith("not XML: "));
  EXPECT_EQ(refusal("<html><body>Hello</body></html>"), "the response is not a ListBucketResult");
}

TEST(S3PageTest, RejectsMoreObjectsThanRequested) {
  std::string objects;
  for (int i = 0; i < 1000; ++i) objects += contents("a");
  EXPECT_EQ(parse_s3_page(page(objects)).objects.size(), 1000U);
  EXPECT_EQ(refusal(page(objects + contents("a"))), "the list has more objects than requested");
}

// Each needs 100 bytes in memory.
TEST(S3PageTest, RejectsTooManyElements) {
  std::string elements;
  for (int i = 0; i < 100'000; ++i) elements += "<a/>";
  EXPECT_EQ(refusal(page(elements)), "the list has too many elements");
}

TEST(S3PageTest, RejectsIncompleteObjects) {
  for (const std::string& object :
       {contents(""), contents("a", ""), contents("a", "-1"), contents("a", "7x"),
        contents("a", "18446744073709551616"), contents("a", "7", ""), contents("a", "7", "now"),
        std::string("<Contents/>")}) {
    EXPECT_EQ(refusal(page(object)), "the list has an object without a valid key, size or time")
        << object;
  }
}

TEST(S3PageTest, RejectsATruncatedListWithoutContinuationToken) {
  EXPECT_EQ(refusal(page("<IsTruncated>true</IsTruncated>")),
            "the list is truncated, but has no continuation token");
}

TEST(S3ErrorTest, PrefersTheCodeToTheStatus) {
  const std::vector<std::pair<std::string, Reason>> rows = {
      {"AccessDenied", Reason::permission},   {"SignatureDoesNotMatch", Reason::auth},
      {"InvalidAccessKeyId", Reason::auth},   {"ExpiredToken", Reason::auth},
      {"RequestTimeTooSkewed", Reason::auth}, {"NoSuchBucket", Reason::mismatch},
      {"PermanentRedirect", Reason::config},  {"SlowDown", Reason::overload},
  };
  for (const auto& [code, reason] : rows) {
    EXPECT_EQ(s3_error(500, error_xml(code)).reason(), reason) << code;
  }
  EXPECT_EQ(
      s3_error(400, "<ErrorResponse>" + error_xml("ExpiredTokenException") + "</ErrorResponse>")
          .reason(),
      Reason::auth);
}

TEST(S3ErrorTest, UsesTheStatusIfTheCodeIsUnknown) {
  const std::map<int, Reason> rows = {{301, Reason::config},     {307, Reason::config},
                                      {400, Reason::mismatch},   {401, Reason::auth},
                                      {403, Reason::permission}, {404, Reason::mismatch},
                                      {500, Reason::unready},    {503, Reason::unready}};
  for (const auto& [status, reason] : rows) {
    EXPECT_EQ(s3_error(status, "").reason(), reason) << status;
    EXPECT_EQ(s3_error(status, error_xml("Strange")).reason(), reason) << status;
    EXPECT_EQ(s3_error(status, "not XML").reason(), reason) << status;
  }
}

TEST(S3ErrorTest, ReportsStatusCodeAndMessage) {
  EXPECT_STREQ(s3_error(403, error_xml("AccessDenied", "Access Denied")).what(),
               "status 403, AccessDenied: 'Access Denied'");
  EXPECT_STREQ(s3_error(502, "<html>").what(), "status 502");
}

}  // namespace
}  // namespace vitalsd::net
