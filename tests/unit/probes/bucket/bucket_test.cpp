#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using testing::HasSubstr;

const test::Labels kWhere = {{"bucket", "data"}, {"prefix", "in/"}};

class BucketTest : public testing::Test {
 protected:
  // A bucket whose pages have one object of 100 bytes each. The token is the number of the page.
  test::Conversation::Script script() {
    return [this](test::Line& line) -> asio::awaitable<void> {
      for (;;) {
        const test::HttpCall call = co_await test::read_http(line);
        targets.push_back(call.target);
        co_await line.write(answer(call.target));
      }
    };
  }
  std::string answer(const std::string& target) {
    if (!refusal.empty()) return http_answer(403, "<Error><Code>" + refusal + "</Code></Error>");
    if (is_empty) return http_answer(200, "<ListBucketResult/>");
    const std::string name = "continuation-token=";
    const std::size_t at = target.find(name);
    const int page = at == std::string::npos ? 1 : std::stoi(target.substr(at + name.size()));
    if (page == bad_page) return http_answer(400, "<Error><Code>InvalidArgument</Code></Error>");
    std::string body =
        "<Contents><Key>k</Key><LastModified>2026-11-23T02:00:05Z</LastModified><Size>100</Size>"
        "</Contents>";
    if (page < pages) {
      body += "<IsTruncated>true</IsTruncated><NextContinuationToken>" + std::to_string(page + 1) +
              "</NextContinuationToken>";
    }
    return http_answer(200, "<ListBucketResult>" + body + "</ListBucketResult>");
  }
  [[nodiscard]] std::string options(const std::string& more = "") const {
    return "s3: {bucket: data, prefix: in/, access_key: AKIA, secret_key: hush, endpoint: "
           "'http://" +
           peer.endpoint() + "'}" + more;
  }
  std::string problems(const std::string& options) {
    try {
      fixture.make("bucket", options);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  test::ProbeFixture fixture;
  bool is_empty = false;
  int pages = 3;
  int bad_page = 0;
  std::string refusal;
  std::vector<std::string> targets;
  test::Conversation peer{fixture.loop, script()};
};

TEST_F(BucketTest, ListsOneObject) {
  const test::Observation run = fixture.observe("bucket", options());
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.names(), std::set<std::string>{"vitalsd_probe_selected_objects"});
  ASSERT_EQ(targets.size(), 1U);
  EXPECT_EQ(targets[0], "/data?encoding-type=url&list-type=2&max-keys=1&prefix=in%2F");
  refusal = "AccessDenied";
  EXPECT_EQ(fixture.observe("bucket", options()).reason(), "permission");
}

TEST_F(BucketTest, ReportsAPrefixThatMatchesNothing) {
  const test::Labels scope = {{"scope", "prefix in/"}};
  const test::Observation some = fixture.observe("bucket", options());
  EXPECT_EQ(some.value("vitalsd_probe_selected_objects", scope), 1);
  EXPECT_EQ(some.reading("unmatched"), 0);
  is_empty = true;
  const test::Observation none = fixture.observe("bucket", options());
  EXPECT_EQ(none.failure(), "");
  EXPECT_EQ(none.value("vitalsd_probe_selected_objects", scope), 0);
  EXPECT_EQ(none.reading("unmatched", "prefix in/ (matches nothing)"), 1);
}

TEST_F(BucketTest, CountsAllObjects) {
  const auto probe = fixture.make("bucket", options(", quota: 400B"));
  EXPECT_EQ(probe->target(), "s3://data/in/");
  test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("s3_objects", kWhere), 3);
  EXPECT_EQ(run.value("s3_objects_size_sum_bytes", kWhere), 300);
  EXPECT_EQ(run.value("vitalsd_bucket_usage_complete", kWhere), 1);
  EXPECT_EQ(run.value("vitalsd_bucket_usage_pages", kWhere), 3);
  EXPECT_EQ(run.value("vitalsd_bucket_quota_bytes", kWhere), 400);
  EXPECT_EQ(run.count("vitalsd_bucket_usage_timestamp_seconds"), 1U);
  EXPECT_EQ(run.reading("quota"), 0.75);
  // The count stays until the next one.
  const std::size_t asked = targets.size();
  run = fixture.observe(*probe);
  EXPECT_EQ(targets.size(), asked + 1);
  EXPECT_EQ(run.value("s3_objects", kWhere), 3);
}

TEST_F(BucketTest, ShowsNoIncompleteCountAsTheWhole) {
  pages = 1000;
  test::Observation run = fixture.observe("bucket", options(", usage: true, max_pages: 2"));
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("s3_objects"), 0U);
  EXPECT_EQ(run.count("s3_objects_size_sum_bytes"), 0U);
  EXPECT_EQ(run.value("vitalsd_bucket_usage_complete", kWhere), 0);
  EXPECT_EQ(run.value("vitalsd_bucket_usage_pages", kWhere), 2);
  run = fixture.observe("bucket", options(", quota: 1KiB, max_pages: 2"));
  EXPECT_EQ(run.reading("quota"), std::nullopt);
  EXPECT_THAT(run.failure(),
              HasSubstr("config: cannot check the quota: there are more than max_pages (2)"));
  // 200 bytes exceed the quota of 150, whatever the rest of the objects adds.
  run = fixture.observe("bucket", options(", quota: 150B, max_pages: 2"));
  EXPECT_EQ(run.failure(), "");
  EXPECT_GT(run.reading("quota").value_or(0), 1);
}

TEST_F(BucketTest, KeepsTheFailureOfACountUntilTheNextOne) {
  bad_page = 2;
  const auto probe = fixture.make("bucket", options(", usage: true"));
  for (int i = 0; i < 2; ++i) {
    const test::Observation run = fixture.observe(*probe);
    EXPECT_FALSE(run.threw());
    EXPECT_EQ(run.failure(), "mismatch: counting: status 400, InvalidArgument");
  }
  EXPECT_EQ(targets.size(), 4U);  // the second run did not count
}

TEST_F(BucketTest, InheritsTheCount) {
  const auto old = fixture.make("bucket", options(", quota: 400B"));
  fixture.observe(*old);
  const auto successor = fixture.make("bucket", options(", quota: 600B"));
  successor->inherit(*old);
  const std::size_t asked = targets.size();
  EXPECT_EQ(fixture.observe(*successor).reading("quota"), 0.5);
  EXPECT_EQ(targets.size(), asked + 1);
  const auto limited = fixture.make("bucket", options(", quota: 600B, max_pages: 1"));
  limited->inherit(*successor);
  EXPECT_EQ(fixture.observe(*limited).reading("quota"), std::nullopt);
}

TEST_F(BucketTest, RefusesInvalidOptions) {
  EXPECT_THAT(problems("max_pages: 3"), HasSubstr("required key 's3' is missing"));
  EXPECT_THAT(problems(options(", max_pages: 3")), HasSubstr("requires quota or usage: true"));
  EXPECT_THAT(problems(options(", quota: 1GiB, usage: false")), HasSubstr("requires usage: true"));
  EXPECT_THAT(problems(options(", quota: 0B")), HasSubstr("must be more than 0"));
  EXPECT_EQ(problems(options(", quota: 1GiB, usage_interval: 6h")), "");
}

}  // namespace
}  // namespace vitalsd
