#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/gzip.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/temp_directory.hpp"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::string_view kLast = "backup_last_success_timestamp_seconds";
constexpr std::string_view kDocumented = "vcci_last_successful_backup_timestamp";

double objects(const test::Observation& run, const std::string& state) {
  return run.value("backup_objects", {{"state", state}}).value_or(-1);
}

// ---- a directory --------------------------------------------------------------------------------

class BackupDirectory : public testing::Test {
 protected:
  // Creates a file with a modification time `age` ago. Returns that time, in Unix time.
  double file(const std::string& name, const std::string& bytes, std::chrono::seconds age) const {
    const std::string path = directory.file(name, bytes);
    const std::time_t when = now - age.count();
    const std::array<timespec, 2> times = {timespec{when, 0}, timespec{when, 0}};
    EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), times.data(), 0), 0);
    return static_cast<double>(when);
  }
  [[nodiscard]] std::string options(const std::string& more = "") const {
    return "directory: '" + directory.path("") + '\'' + more;
  }
  test::Observation observe(const std::string& more = "") {
    return house.observe("backup", options(more));
  }

  test::KindHouse house;
  test::TempDirectory directory;
  std::time_t now = std::time(nullptr);
};

TEST_F(BackupDirectory, FindsTheNewest) {
  file("monday.sql", "12345", 48h);
  const double newest = file("tuesday.sql", "1234567", 24h);
  file("sunday.sql", "123", 72h);
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value(kLast), newest);
  EXPECT_EQ(run.value(kDocumented), newest);
  EXPECT_EQ(run.value("backup_newest_size_bytes"), 7);
  EXPECT_EQ(objects(run, "good"), 3);
  EXPECT_NEAR(run.reading("age", "tuesday.sql").value_or(0), 24 * 3600, 60);
}

TEST_F(BackupDirectory, PublishesZeroIfThereIsNoBackup) {
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(),
            "mismatch: no good backup: 0 do not match, 0 too small, 0 being written, 0 broken");
  EXPECT_FALSE(run.threw());  // the directory was read
  EXPECT_EQ(run.value(kLast), 0);
  EXPECT_EQ(run.value(kDocumented), 0);
  EXPECT_EQ(run.count("backup_newest_size_bytes"), 0U);
  EXPECT_EQ(objects(run, "good"), 0);
}

TEST_F(BackupDirectory, PublishesNothingIfItCannotBeRead) {
  const test::Observation run =
      house.observe("backup", "directory: '" + directory.path("missing") + '\'');
  EXPECT_EQ(run.reason(), "mismatch");
  EXPECT_TRUE(run.failure().ends_with("No such file or directory")) << run.failure();
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.names().size(), 0U);  // the last published time stays
}

TEST_F(BackupDirectory, CountsMatchingFilesOnly) {
  const double good = file("db-1.sql.gz", "x", 2h);
  for (const char* other : {"db-2.sql", "notes.txt", ".db-3.sql.gz", "db-4.sql.gz.tmp",
                            "db-5.sql.gz.part", "db-6.sql.gz.filepart"}) {
    file(other, "x", 1h);
  }
  const test::Observation run = observe(", pattern: 'db-*.gz'");
  EXPECT_EQ(run.value(kLast), good);
  EXPECT_EQ(objects(run, "good"), 1);
  EXPECT_EQ(objects(run, "unmatched"), 6);
}

TEST_F(BackupDirectory, IgnoresUnfinishedFilesWithAnyPattern) {
  for (const char* name : {"a.tmp", "a.part", "a.partial", "a.incomplete", "a.filepart", ".a"}) {
    file(name, "x", 1h);
  }
  EXPECT_EQ(objects(observe(", pattern: '*'"), "unmatched"), 6);
}

TEST_F(BackupDirectory, IgnoresDirectoriesAndBrokenLinks) {
  fs::create_directory(directory.path("subdirectory"));
  fs::create_symlink("nowhere", directory.path("broken"));
  const double good = file("a", "x", 2h);
  fs::create_symlink("a", directory.path("latest"));
  const test::Observation run = observe();
  EXPECT_EQ(run.value(kLast), good);
  EXPECT_EQ(objects(run, "good"), 2);  // the file and the link to it
  EXPECT_EQ(objects(run, "unmatched"), 0);
}

TEST_F(BackupDirectory, IgnoresFilesThatAreTooSmall) {
  const double good = file("a", std::string(2000, 'x'), 5h);
  file("b", std::string(1023, 'x'), 2h);
  file("empty", "", 1h);
  const test::Observation run = observe(", min_size: 1KiB");
  EXPECT_EQ(run.value(kLast), good);
  EXPECT_EQ(objects(run, "too_small"), 2);
  EXPECT_EQ(objects(observe(), "too_small"), 1);  // min_size is 1 by default
}

TEST_F(BackupDirectory, IgnoresRecentlyChangedFiles) {
  const double good = file("a", "x", 2h);
  file("b", "x", 10s);
  const test::Observation run = observe();
  EXPECT_EQ(run.value(kLast), good);
  EXPECT_EQ(objects(run, "being_written"), 1);
  EXPECT_EQ(observe(", settle: 5s").value(kLast).value_or(0), static_cast<double>(now - 10));
}

// rsync --inplace sets the modification time of the source.
TEST_F(BackupDirectory, IgnoresGrowingFiles) {
  const auto probe = house.make("backup", options());
  const double good = file("a", "x", 5h);
  const double newer = file("b", "x", 2h);
  EXPECT_EQ(house.observe(*probe).value(kLast), newer);
  file("b", "xx", 2h);
  const test::Observation grown = house.observe(*probe);
  EXPECT_EQ(grown.value(kLast), good);
  EXPECT_EQ(objects(grown, "being_written"), 1);
  EXPECT_EQ(house.observe(*probe).value(kLast), newer);
}

TEST_F(BackupDirectory, ChecksTheAge) {
  file("a", "x", 3h);
  EXPECT_GT(observe(", max_age: 2h").reading("age", "a").value_or(0), 2 * 3600);
  // The rule that reads kDocumented has a fixed limit of a day.
  EXPECT_EQ(observe(", max_age: 24h").count(kDocumented), 1U);
  const test::Observation weekly = observe(", max_age: 7d");
  EXPECT_EQ(weekly.count(kDocumented), 0U);
  EXPECT_EQ(weekly.count(kLast), 1U);
}

TEST_F(BackupDirectory, FindsTheNewestValidFile) {
  const std::string bytes = test::gzip("all of the data");
  const double valid = file("1.gz", bytes, 5h);
  file("2.gz", bytes.substr(0, bytes.size() - 3), 3h);
  file("3.gz", "no gzip at all", 2h);
  const test::Observation run = observe(", verify: gzip");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value(kLast), valid);
  EXPECT_EQ(run.value("backup_newest_size_bytes"), static_cast<double>(bytes.size()));
  EXPECT_EQ(objects(run, "good"), 1);
  EXPECT_EQ(objects(run, "broken"), 2);
}

TEST_F(BackupDirectory, ReportsWhyFilesAreBroken) {
  file("a.gz", "no gzip", 2h);
  const test::Observation run = observe(", verify: gzip");
  EXPECT_EQ(run.value(kLast), 0);
  EXPECT_EQ(run.failure(),
            "mismatch: no good backup: 0 do not match, 0 too small, 0 being written, 1 broken; "
            "a.gz is damaged: incorrect header check");
}

TEST_F(BackupDirectory, VerifiesAChangedFileAgain) {
  const auto probe = house.make("backup", options(", verify: gzip"));
  file("a.gz", "no gzip", 2h);
  EXPECT_EQ(house.observe(*probe).value(kLast), 0);
  const double fixed = file("a.gz", test::gzip("data"), 1h);
  house.observe(*probe);  // the changed size counts as being written
  EXPECT_EQ(house.observe(*probe).value(kLast), fixed);
}

TEST_F(BackupDirectory, InheritsVerifiedFiles) {
  const auto old = house.make("backup", options(", verify: gzip"));
  const double first = file("a.gz", test::gzip("data"), 2h);
  EXPECT_EQ(house.observe(*old).value(kLast), first);
  const auto successor = house.make("backup", options(", verify: gzip, max_age: 2d"));
  successor->inherit(*old);
  // Name, inode, size and time stay the same, so the file is not verified again.
  const std::string path = directory.path("a.gz");
  const auto size = fs::file_size(path);
  const int descriptor = open(path.c_str(), O_WRONLY);
  ASSERT_EQ(pwrite(descriptor, std::string(size, 'x').data(), size, 0), static_cast<ssize_t>(size));
  close(descriptor);
  const std::array<timespec, 2> times = {timespec{static_cast<std::time_t>(first), 0},
                                         timespec{static_cast<std::time_t>(first), 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times.data(), 0), 0);
  EXPECT_EQ(house.observe(*successor).value(kLast), first);
}

TEST_F(BackupDirectory, IgnoresFilesFromTheFuture) {
  const double good = file("a", "x", 2h);
  file("b", "x", -48h);
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(),
            "mismatch: 'b' is dated more than a day in the future and does not count as a backup");
  EXPECT_EQ(run.value(kLast), good);
  EXPECT_EQ(objects(run, "from_future"), 1);
  EXPECT_EQ(objects(run, "being_written"), 0);
}

// ---- a bucket -----------------------------------------------------------------------------------

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
      co_await line.write("HTTP/1.1 " + std::to_string(status) + " Scripted\r\nDate: " + date +
                          "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  }
  test::Observation observe(const std::string& more = "", const std::string& more_of_s3 = "") {
    const std::string secret = "{file: '" + directory.file("secret", "hush") + "'}";
    return house.observe("backup", "s3: {bucket: b, prefix: db/, endpoint: 'http://" +
                                       peer.endpoint() + "', access_key: " + secret +
                                       ", secret_key: " + secret + more_of_s3 + '}' + more);
  }

  test::KindHouse house;
  test::TempDirectory directory;
  std::string page_one = page("");
  std::string page_two = page("");
  std::string date = "Wed, 03 Jan 2024 00:00:00 GMT";
  int status = 200;
  std::vector<std::string> targets;
  test::Conversation peer{house.loop, [this](test::Line& line) { return serve(line); }};
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

}  // namespace
}  // namespace vitalsd
