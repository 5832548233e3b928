// The options of a bucket, and requests to a scripted server.
#include "probes/net/s3.hpp"

#include "probes/net/offload.hpp"
#include "probes/services.hpp"

#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/net/s3_page.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/io_faults.hpp"
#include "unit/support/readers.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using test::http_answer;
using test::s3::contents;
using test::s3::error_xml;
using test::s3::page;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// ---- options ------------------------------------------------------------------------------------

TEST(S3OptionsTest, DefaultToAwsWithTheBucketInTheHostName) {
  const auto [options, problems] =
      test::read_options<S3Options>("{bucket: b, region: eu-central-1}");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(options.endpoint.text(), "https://s3.eu-central-1.amazonaws.com");
  EXPECT_FALSE(options.path_style);
}

TEST(S3OptionsTest, UsePathStyleIfTheHostNameCannotContainTheBucket) {
  EXPECT_TRUE(test::read_options<S3Options>("{bucket: b.c}").first.path_style);
  EXPECT_TRUE(
      test::read_options<S3Options>("{bucket: b, endpoint: 'http://s3:9000/'}").first.path_style);
  EXPECT_FALSE(
      test::read_options<S3Options>("{bucket: b, endpoint: 'http://s3:9000', style: virtual}")
          .first.path_style);
  EXPECT_TRUE(test::read_options<S3Options>("{bucket: b, style: path}").first.path_style);
  EXPECT_EQ(
      test::read_options<S3Options>("{bucket: b, endpoint: 'http://s3/x//'}").first.endpoint.path,
      "/x");
}

TEST(S3OptionsTest, ReportInvalidCombinations) {
  EXPECT_THAT(test::read_options<S3Options>("{bucket: b, access_key: {env: A}}").second,
              HasSubstr("access_key and secret_key must be set together"));
  EXPECT_THAT(test::read_options<S3Options>("{bucket: b, session_token: {env: A}}").second,
              HasSubstr("requires access_key"));
  EXPECT_THAT(test::read_options<S3Options>("{bucket: b, endpoint: 'ftp://s3'}").second,
              HasSubstr("the scheme must be http or https"));
}

// ---- a bucket -----------------------------------------------------------------------------------

// Sets environment variables during its lifetime and unsets AWS's other variables.
class AwsEnvironment {
 public:
  explicit AwsEnvironment(const std::map<std::string, std::string>& values = {}) {
    clear();
    for (const auto& [name, value] : values) setenv(name.c_str(), value.c_str(), 1);
  }
  ~AwsEnvironment() { clear(); }
  AwsEnvironment(const AwsEnvironment&) = delete;
  AwsEnvironment& operator=(const AwsEnvironment&) = delete;

 private:
  static void clear() {
    for (const char* name :
         {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
          "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"}) {
      unsetenv(name);
    }
  }
};

class S3BucketTest : public testing::Test {
 protected:
  S3BucketTest() {
    peer_.listen();
    options_.bucket = "backups";
    options_.prefix = "db/";
    options_.region = "eu-central-1";
    options_.endpoint.scheme = "http";
    options_.endpoint.host = "127.0.0.1";
    options_.endpoint.port = peer_.port();
    options_.path_style = true;
    options_.sts_endpoint = options_.endpoint;
  }

  // The keys of all pages, or the reason and the text of the error as a run shows it.
  std::string list(S3Bucket& bucket) {
    SampleSet out;
    try {
      return test::Task(loop_, keys(bucket, out)).get();
    } catch (const ProbeError& error) {
      return std::string(reason_name(error.reason())) + ": " + out.shown(error.what());
    }
  }
  static asio::awaitable<std::string> keys(S3Bucket& bucket, SampleSet& out) {
    std::string found;
    const auto take = [&found](const S3Page& more) {
      for (const S3Object& object : more.objects) found += object.key + ' ';
    };
    co_await bucket.list(out, take);
    co_return found;
  }
  S3Bucket bucket() { return {services_.environment, options_}; }
  void use_keys() {
    options_.access_key = config::Secret::literal("AKIA");
    options_.secret_key = config::Secret::literal("secret");
  }

  // Records each request (its first line and headers) and sends the next response.
  asio::awaitable<void> serve(test::Wire& wire) {
    for (;;) {
      std::string request;
      while (!request.contains("\r\n\r\n")) request += co_await wire.receive();
      requests_.push_back(request);
      co_await wire.send(answers_.at(requests_.size() - 1));
    }
  }

  AwsEnvironment empty_environment_;
  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  std::vector<std::string> answers_;
  std::vector<std::string> requests_;
  test::Peer peer_{loop_, [this](test::Wire& wire) { return serve(wire); }};
  S3Options options_;
};

// Parsing does not wait for files that hang.
TEST_F(S3BucketTest, ParsesOnAThreadOfItsOwn) {
  use_keys();
  answers_ = {http_answer(200, page(contents("db/1")))};
  S3Bucket store = bucket();
  std::mutex mount;
  std::unique_lock hanging(mount);
  std::vector<std::unique_ptr<test::Task<int>>> reads;
  for (std::size_t i = 0; i < Offload::kMaxThreads; ++i) {
    const auto read = [&mount](const StopFlag&) {
      const std::lock_guard wait(mount);
      return 0;
    };
    reads.push_back(
        std::make_unique<test::Task<int>>(loop_, services_.offload.run(std::to_string(i), read)));
  }
  EXPECT_EQ(list(store), "db/1 ");
  hanging.unlock();
  for (const auto& read : reads) EXPECT_EQ(read->get(), 0);
}

TEST_F(S3BucketTest, ReadsAllPages) {
  use_keys();
  answers_ = {http_answer(200,
                          page("<IsTruncated>true</IsTruncated>"
                               "<NextContinuationToken>a+/=</NextContinuationToken>" +
                               contents("db/1")),
                          "Date: Mon, 23 Nov 2026 02:00:04 GMT\r\n"),
              http_answer(200, page(contents("db/2")), "Date: Mon, 23 Nov 2026 02:00:05 GMT\r\n")};
  S3Bucket store = bucket();
  EXPECT_EQ(store.server_time(), std::nullopt);
  EXPECT_EQ(list(store), "db/1 db/2 ");
  EXPECT_EQ(store.server_time(), 1795399205);
  ASSERT_EQ(requests_.size(), 2U);
  EXPECT_THAT(requests_[0], StartsWith("GET /backups?encoding-type=url&list-type=2&max-keys=1000"
                                       "&prefix=db%2F HTTP/1.1\r\n"));
  EXPECT_THAT(requests_[1],
              StartsWith("GET /backups?continuation-token=a%2B%2F%3D&encoding-type=url&list-type=2"
                         "&max-keys=1000&prefix=db%2F HTTP/1.1\r\n"));
}

TEST_F(S3BucketTest, SignsWithTheConfiguredKeys) {
  use_keys();
  options_.session_token = config::Secret::literal("session");
  answers_ = {http_answer(200, page(""))};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "");
  ASSERT_EQ(requests_.size(), 1U);
  EXPECT_THAT(requests_[0], HasSubstr("Authorization: AWS4-HMAC-SHA256 Credential=AKIA/"));
  EXPECT_THAT(requests_[0], HasSubstr("/eu-central-1/s3/aws4_request"));
  EXPECT_THAT(requests_[0], HasSubstr("x-amz-security-token: session\r\n"));
  EXPECT_THAT(requests_[0], Not(HasSubstr("secret")));
}

TEST_F(S3BucketTest, TakesKeysFromTheEnvironment) {
  const AwsEnvironment environment({{"AWS_ACCESS_KEY_ID", "FROMENV"},
                                    {"AWS_SECRET_ACCESS_KEY", "x"},
                                    {"AWS_SESSION_TOKEN", "y"}});
  answers_ = {http_answer(200, page(""))};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "");
  ASSERT_EQ(requests_.size(), 1U);
  EXPECT_THAT(requests_[0], HasSubstr("Credential=FROMENV/"));
  EXPECT_THAT(requests_[0], HasSubstr("x-amz-security-token: y\r\n"));
}

TEST_F(S3BucketTest, ReportsMissingCredentials) {
  S3Bucket store = bucket();
  EXPECT_THAT(list(store), StartsWith("config: no credentials: "));
  EXPECT_TRUE(requests_.empty());
}

TEST_F(S3BucketTest, ReportsErrorResponses) {
  use_keys();
  answers_ = {http_answer(403, error_xml("AccessDenied")),
              http_answer(404, error_xml("NoSuchBucket")), http_answer(200, "<html/>")};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "permission: status 403, AccessDenied");
  EXPECT_EQ(list(store), "mismatch: status 404, NoSuchBucket");
  EXPECT_EQ(list(store), "protocol: the response is not a ListBucketResult");
}

TEST_F(S3BucketTest, RejectsSeveralCodings) {
  use_keys();
  const std::string body = page(contents("db/1"));
  answers_ = {http_answer(200, body, "Content-Encoding: gzip, gzip\r\n"),
              http_answer(200, body, "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n")};
  S3Bucket store = bucket();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(list(store), "protocol: the body has 2 content codings; only one is supported");
  }
}

TEST_F(S3BucketTest, ConcealsKeysThatAnErrorQuotes) {
  use_keys();
  options_.session_token = config::Secret::literal("session");
  answers_ = {http_answer(403, error_xml("InvalidAccessKeyId", "AKIA, secret, session"))};
  S3Bucket configured = bucket();
  EXPECT_EQ(list(configured), "auth: status 403, InvalidAccessKeyId: '***, ***, ***'");
  options_.access_key = options_.secret_key = options_.session_token = {};
  const AwsEnvironment environment({{"AWS_ACCESS_KEY_ID", "FROMENV"},
                                    {"AWS_SECRET_ACCESS_KEY", "hunter22"},
                                    {"AWS_SESSION_TOKEN", "token of the session"}});
  answers_.push_back(
      http_answer(403, error_xml("InvalidToken", "FROMENV, hunter22, token of the session")));
  S3Bucket from_environment = bucket();
  EXPECT_EQ(list(from_environment), "auth: status 403, InvalidToken: '***, ***, ***'");
}

std::string assumed(std::string_view expires) {
  return "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
         "<AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>x</SecretAccessKey>"
         "<SessionToken>t</SessionToken><Expiration>" +
         std::string(expires) +
         "</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
         "</AssumeRoleWithWebIdentityResponse>";
}

class S3WebIdentityTest : public S3BucketTest {
 protected:
  [[nodiscard]] std::string service() const {
    return "the token service 127.0.0.1:" + std::to_string(options_.sts_endpoint->port);
  }

  test::TempDirectory directory_;
  AwsEnvironment environment_{{{"AWS_WEB_IDENTITY_TOKEN_FILE", directory_.file("token", "jwt+/=")},
                               {"AWS_ROLE_ARN", "arn:aws:iam::1:role/reader"}}};
};

TEST_F(S3WebIdentityTest, ReusesAssumedCredentials) {
  answers_ = {http_answer(200, assumed("2999-01-01T00:00:00Z")), http_answer(200, page("")),
              http_answer(200, page(""))};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "");
  EXPECT_EQ(list(store), "");
  ASSERT_EQ(requests_.size(), 3U);
  EXPECT_THAT(requests_[0], StartsWith("POST / HTTP/1.1\r\n"));
  EXPECT_THAT(requests_[0], HasSubstr("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Freader"));
  EXPECT_THAT(requests_[0], HasSubstr("&RoleSessionName=vitalsd&WebIdentityToken=jwt%2B%2F%3D"));
  EXPECT_THAT(requests_[1], HasSubstr("Credential=ASSUMED/"));
  EXPECT_THAT(requests_[2], HasSubstr("Credential=ASSUMED/"));
}

TEST_F(S3WebIdentityTest, AssumesTheRoleAgainBeforeTheCredentialsExpire) {
  answers_ = {http_answer(200, assumed("2001-01-01T00:00:00Z")), http_answer(200, page("")),
              http_answer(200, assumed("2999-01-01T00:00:00Z")), http_answer(200, page(""))};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "");
  EXPECT_EQ(list(store), "");
  EXPECT_EQ(requests_.size(), 4U);
}

TEST_F(S3WebIdentityTest, AssumesTheRoleAgainAfterAnAuthError) {
  answers_ = {http_answer(200, assumed("2999-01-01T00:00:00Z")),
              http_answer(403, error_xml("ExpiredToken")),
              http_answer(200, assumed("2999-01-01T00:00:00Z")), http_answer(200, page(""))};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "auth: status 403, ExpiredToken");
  EXPECT_EQ(list(store), "");
  EXPECT_EQ(requests_.size(), 4U);
}

// The store has not been asked, so its state is unknown.
TEST_F(S3WebIdentityTest, ReportsErrorsOfTheTokenService) {
  answers_ = {
      http_answer(400, "<ErrorResponse>" + error_xml("InvalidIdentityToken") + "</ErrorResponse>"),
      http_answer(503, ""), http_answer(200, "<AssumeRoleWithWebIdentityResponse/>"),
      http_answer(200, assumed("soon")),
      http_answer(200, assumed("2999-01-01T00:00:00Z"),
                  "Content-Encoding: gzip, gzip, gzip, gzip\r\n")};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "config: " + service() + ": status 400, InvalidIdentityToken");
  EXPECT_EQ(list(store), "internal: " + service() + ": status 503");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(list(store), "internal: " + service() + ": the response has no valid credentials");
  }
  EXPECT_EQ(list(store),
            "internal: " + service() + ": the body has 4 content codings; only one is supported");
}

TEST_F(S3WebIdentityTest, ReportsATokenServiceThatIsDown) {
  options_.sts_endpoint->port = 1;
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "internal: " + service() + ": Connection refused");
}

TEST_F(S3WebIdentityTest, ConcealsTokensThatAnErrorQuotes) {
  answers_ = {http_answer(400, "<ErrorResponse>" + error_xml("InvalidIdentityToken", "jwt+/=") +
                                   "</ErrorResponse>"),
              http_answer(200, assumed("2999-01-01T00:00:00Z")),
              http_answer(403, error_xml("ExpiredToken", "ASSUMED"))};
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "config: " + service() + ": status 400, InvalidIdentityToken: '***'");
  EXPECT_EQ(list(store), "auth: status 403, ExpiredToken: '***'");
}

TEST_F(S3WebIdentityTest, ReportsAMissingRole) {
  unsetenv("AWS_ROLE_ARN");
  S3Bucket store = bucket();
  EXPECT_EQ(list(store), "config: AWS_ROLE_ARN is not set");
}

}  // namespace
}  // namespace vitalsd::net
