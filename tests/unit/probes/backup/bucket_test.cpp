#include "probes/net/cpu_time.hpp"
#include "probes/net/s3.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "unit/probes/backup/backup_series.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/temp_directory.hpp"
#include "unit/support/turns.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::kLast;
using test::objects;

class BackupBucket : public testing::Test {
 protected:
  static std::string object(const std::string& key, std::size_t size, const std::string& time) {
    return "<Contents><Key>" + key + "</Key><LastModified>" + time + "</LastModified><Size>" +
           std::to_string(size) + "</Size></Contents>";
  }
  static std::string page(const std::string& objects, const std::string& next = "") {
    return "<?xml version=\"1.0\"?><ListBucketResult>" +
           (next.empty() ? "<IsTruncated>false</IsTruncated>"
                         : "<IsTruncated>true</IsTruncated><NextContinuationToken>" + next +
                               "</NextContinuationToken>") +
           objects + "</ListBucketResult>";
  }

  asio::awaitable<void> serve(test::Line& line) {
    for (;;) {
      const test::HttpCall call = co_await test::read_http(line);
      targets.push_back(call.target);
      std::string body = page_one;
      if (call.target.contains("continuation-token=")) body = page_two;
      if (nth_page) body = nth_page(targets.size());
      co_await line.write("HTTP/1.1 " + std::to_string(status) + " Scripted\r\nDate: " + date +
                          "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  }
  std::unique_ptr<Probe> make(const std::string& more = "") {
    const std::string secret = "{file: '" + directory.file("secret", "hush") + "'}";
    return fixture.make("backup", "s3: {bucket: b, prefix: db/, endpoint: 'http://" +
                                      peer.endpoint() + "', access_key: " + secret +
                                      ", secret_key: " + secret + '}' + more);
  }
  test::Observation observe(const std::string& more = "") { return fixture.observe(*make(more)); }

  test::ProbeFixture fixture;
  test::TempDirectory directory;
  std::string page_one = page("");
  std::string page_two = page("");
  std::function<std::string(std::size_t)> nth_page;  // instead of both
  std::string date = "Wed, 03 Jan 2024 00:00:00 GMT";
  int status = 200;
  std::vector<std::string> targets;
  test::Conversation peer{fixture.loop, [this](test::Line& line) { return serve(line); }};
};

constexpr double kNewYear2024 = 1704067200;

TEST_F(BackupBucket, FindsTheNewestByTheServersClock) {
  page_one = page(object("db/1.gz", 10, "2024-01-01T00:00:00.000Z") +
                  object("db/2.gz", 20, "2024-01-02T00:00:00.000Z") +
                  object("db/0.gz", 30, "2023-12-31T00:00:00.000Z"));
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value(kLast), kNewYear2024 + 86'400);
  EXPECT_EQ(run.value("backup_newest_size_bytes"), 20);
  EXPECT_EQ(objects(run, "good"), 3);
  EXPECT_EQ(run.reading("age", "db/2.gz"), 86'400);
}

TEST_F(BackupBucket, ReadsAllPages) {
  page_one = page(object("db/1.gz", 10, "2024-01-01T00:00:00Z"), "next/one=");
  page_two = page(object("db/2.gz", 20, "2024-01-02T00:00:00Z"));
  const test::Observation run = observe();
  EXPECT_EQ(objects(run, "good"), 2);
  EXPECT_EQ(run.value(kLast), kNewYear2024 + 86'400);
  ASSERT_EQ(targets.size(), 2U);
  EXPECT_TRUE(targets[1].contains("continuation-token=next%2Fone%3D")) << targets[1];
}

TEST_F(BackupBucket, MatchesTheNameAfterThePrefix) {
  page_one = page(object("db/a.gz", 1, "2024-01-01T00:00:00Z") +
                  object("db/old/b.gz", 1, "2024-01-02T00:00:00Z") +
                  object("db/", 1, "2024-01-02T00:00:00Z") +
                  object("db/c.txt", 1, "2024-01-02T00:00:00Z") +
                  object("db/empty.gz", 0, "2024-01-02T00:00:00Z"));
  const test::Observation run = observe(", pattern: 'a*.gz'");
  EXPECT_EQ(run.value(kLast), kNewYear2024);
  EXPECT_EQ(objects(run, "good"), 1);
  EXPECT_EQ(objects(run, "unmatched"), 4);
}

TEST_F(BackupBucket, PublishesZeroIfThereIsNoBackup) {
  const test::Observation run = observe();
  EXPECT_EQ(run.value(kLast), 0);
  EXPECT_EQ(run.reason(), "mismatch");
  EXPECT_FALSE(run.threw());
}

TEST_F(BackupBucket, IgnoresObjectsFromTheFuture) {
  page_one = page(object("db/1.gz", 10, "2024-01-02T00:00:00.000Z") +
                  object("db/2.gz", 20, "2999-01-01T00:00:00.000Z"));
  const std::string failure =
      "mismatch: 'db/2.gz' is dated more than a day in the future and does not count as a backup";
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), failure);
  EXPECT_EQ(run.value(kLast), kNewYear2024 + 86'400);
  EXPECT_EQ(run.value("backup_newest_size_bytes"), 10);
  EXPECT_EQ(objects(run, "good"), 1);
  EXPECT_EQ(objects(run, "from_future"), 1);
  // A store whose clock is in the future.
  date = "Tue, 01 Jan 2999 00:00:00 GMT";
  EXPECT_EQ(observe().failure(), failure);
  page_one = page(object("db/2.gz", 20, "2999-01-01T00:00:00.000Z"));
  const test::Observation alone = observe();
  EXPECT_EQ(alone.failure(), failure);
  EXPECT_EQ(alone.value(kLast), 0);
}

TEST_F(BackupBucket, ToleratesClocksThatDifferByLessThanADay) {
  page_one = page(object("db/1.gz", 10, "2024-01-03T23:00:00.000Z"));
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value(kLast), kNewYear2024 + 2 * 86'400 + 23 * 3600);
}

TEST_F(BackupBucket, RejectsAnObjectWithoutSize) {
  page_one = page(
      "<Contents><Key>db/1.gz</Key><LastModified>2024-01-01T00:00:00Z</LastModified>"
      "<Size></Size></Contents>");
  EXPECT_EQ(observe().failure(),
            "protocol: the list has an object without a valid key, size or time");
}

TEST_F(BackupBucket, PublishesNothingIfItCannotList) {
  status = 403;
  page_one = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
  const test::Observation refused = observe();
  EXPECT_EQ(refused.reason(), "permission");
  EXPECT_TRUE(refused.threw());
  EXPECT_EQ(refused.names().size(), 0U);
  EXPECT_FALSE(refused.text().contains("hush")) << refused.text();
  status = 200;
  page_one = "<html>";
  EXPECT_EQ(observe().reason(), "protocol");
}

// The newest backup may be on the missing page.
TEST_F(BackupBucket, PublishesNothingIfAPageIsMissing) {
  page_one = page(object("db/1.gz", 10, "2024-01-01T00:00:00Z"), "next");
  page_two = "<html>";
  const test::Observation run = observe();
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.names().size(), 0U);
}

// ---- a directory for each backup ----------------------------------------------------------------

TEST_F(BackupBucket, AddsUpTheObjectsOfADirectory) {
  page_one = page(object("db/1/base/a", 10, "2024-01-01T00:00:00Z") +
                      object("db/1/meta.json", 5, "2024-01-01T00:00:05Z") +
                      object("db/2/a", 20, "2024-01-02T00:00:00Z"),
                  "next");
  page_two = page(object("db/2/meta.json", 7, "2024-01-02T01:00:00Z") +
                  object("db/3/a", 30, "2024-01-02T02:00:00Z") +
                  object("db/4/", 0, "2024-01-02T02:00:00Z") +
                  object("db/index", 30, "2024-01-02T02:00:00Z") +
                  object("db/wal/a/meta.json", 30, "2024-01-02T02:00:00Z"));
  const std::string layout = ", layout: directories, pattern: '[0-9]'";
  const test::Observation run = observe(layout + ", marker: meta.json");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value(kLast), kNewYear2024 + 25 * 3600);
  EXPECT_EQ(run.value("backup_newest_size_bytes"), 27);
  EXPECT_EQ(run.reading("age", "db/2"), 23 * 3600);
  EXPECT_EQ(objects(run, "good"), 2);
  EXPECT_EQ(objects(run, "incomplete"), 2);
  EXPECT_EQ(objects(run, "unmatched"), 1);
  const test::Observation unmarked = observe(layout);
  EXPECT_EQ(unmarked.value(kLast), kNewYear2024 + 26 * 3600);
  EXPECT_EQ(objects(unmarked, "too_small"), 1);  // the "folder"
}

// Without a marker, the only sign of an upload in progress.
TEST_F(BackupBucket, IgnoresADirectoryThatChangedRecently) {
  page_one = page(object("db/1/a", 10, "2024-01-01T00:00:00Z") +
                  object("db/2/a", 20, "2024-01-02T00:00:00Z") +
                  object("db/2/b", 20, "2024-01-02T23:59:30Z"));
  const test::Observation run = observe(", layout: directories");
  EXPECT_EQ(run.value(kLast), kNewYear2024);
  EXPECT_EQ(objects(run, "being_written"), 1);
  EXPECT_EQ(objects(observe(", layout: directories, settle: 20s"), "good"), 2);
  EXPECT_THROW(observe(", settle: 20s"), std::runtime_error);
}

TEST_F(BackupBucket, LimitsTheNumberOfDirectories) {
  nth_page = [](std::size_t n) {
    std::string objects;
    for (std::size_t i = 1000 * n; i < 1000 * (n + 1); ++i) {
      objects += object("db/" + std::to_string(i) + "/a", 1, "2024-01-01T00:00:00Z");
    }
    return page(objects, "next");
  };
  EXPECT_EQ(observe(", layout: directories").failure(),
            "config: more than 10,000 directories have the prefix 'db/': use a longer prefix");
  EXPECT_EQ(targets.size(), 11U);
}

// A page of up to 4 MiB takes 20 ms to parse.
TEST_F(BackupBucket, ParsesAPageOutsideOfTheLoop) {
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    all += object("db/" + std::string(900, 'x') + std::to_string(i), 1, "2024-01-01T00:00:00Z") +
           std::string(3000, ' ') + "<Prefix/>";
  }
  page_one = page(all);
  const auto begun = net::thread_cpu_time();
  EXPECT_EQ(net::parse_s3_page(page_one).objects.size(), 1000U);
  const auto cost = net::thread_cpu_time() - begun;
  const auto probe = make();
  const test::Task<test::Observation> run = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return !targets.empty(); }));  // the server has made the response
  EXPECT_LT(test::longest_turn(fixture.loop, [&] { return run.done(); }), cost);
}

}  // namespace
}  // namespace vitalsd
