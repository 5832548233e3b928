#include "probes/backup/listing.hpp"
#include "probes/net/cpu_time.hpp"

#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "unit/probes/backup/backup_series.hpp"
#include "unit/support/gzip.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/temp_directory.hpp"
#include "unit/support/turns.hpp"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using test::kDocumented;
using test::kLast;
using test::objects;

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
    return fixture.observe("backup", options(more));
  }

  test::ProbeFixture fixture;
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
  EXPECT_EQ(run.value("backup_newest_size_bytes"), 0);
  EXPECT_GT(run.reading("age", "no good backup").value_or(0), 1e9);
  EXPECT_EQ(objects(run, "good"), 0);
}

TEST_F(BackupDirectory, NamesTheOtherLayout) {
  std::filesystem::create_directory(directory.path("monday"));
  EXPECT_EQ(observe().failure(),
            "mismatch: no good backup: 1 directories and no file: set layout: directories");
  std::filesystem::remove(directory.path("monday"));
  file("monday.sql", "12345", 48h);
  EXPECT_EQ(observe(", layout: directories").failure(),
            "mismatch: no good backup: 1 files and no directory: set layout: files");
}

TEST_F(BackupDirectory, PublishesNothingIfItCannotBeRead) {
  const test::Observation run =
      fixture.observe("backup", "directory: '" + directory.path("missing") + '\'');
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
  const auto probe = fixture.make("backup", options());
  const double good = file("a", "x", 5h);
  const double newer = file("b", "x", 2h);
  EXPECT_EQ(fixture.observe(*probe).value(kLast), newer);
  file("b", "xx", 2h);
  const test::Observation grown = fixture.observe(*probe);
  EXPECT_EQ(grown.value(kLast), good);
  EXPECT_EQ(objects(grown, "being_written"), 1);
  EXPECT_EQ(fixture.observe(*probe).value(kLast), newer);
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
  const auto probe = fixture.make("backup", options(", verify: gzip"));
  file("a.gz", "no gzip", 2h);
  EXPECT_EQ(fixture.observe(*probe).value(kLast), 0);
  const double fixed = file("a.gz", test::gzip("data"), 1h);
  fixture.observe(*probe);  // the changed size counts as being written
  EXPECT_EQ(fixture.observe(*probe).value(kLast), fixed);
}

TEST_F(BackupDirectory, InheritsVerifiedFiles) {
  const auto old = fixture.make("backup", options(", verify: gzip"));
  const double first = file("a.gz", test::gzip("data"), 2h);
  EXPECT_EQ(fixture.observe(*old).value(kLast), first);
  const auto successor = fixture.make("backup", options(", verify: gzip, max_age: 2d"));
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
  EXPECT_EQ(fixture.observe(*successor).value(kLast), first);
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

TEST_F(BackupDirectory, ReturnsTheNewestOfManyFiles) {
  for (int i = 0; i < 3000; ++i) file("many-" + std::to_string(i), "x", 2h + i * 1s);
  const auto probe = fixture.make("backup", options());
  test::Task<test::Observation> begun = fixture.begin(*probe);
  const auto on_loop = test::longest_turn(fixture.loop, [&] { return begun.done(); });
  const test::Observation run = begun.get();
  EXPECT_EQ(objects(run, "good"), 3000);
  EXPECT_EQ(run.value(kLast), static_cast<double>(now - 7200));
  // The loop does not visit each file: a million files would block it.
  std::vector<config::Option> ignored;
  config::Problems problems("test.yaml");
  config::Node node = config::Node::describing(ignored, problems);
  const backup::Criteria criteria(node);
  const auto before = net::thread_cpu_time();
  const backup::Listing listing =
      backup::list_backups(directory.path(""), criteria, net::StopFlag());
  EXPECT_LT(on_loop, net::thread_cpu_time() - before);
  EXPECT_EQ(listing.newest.size(), backup::Listing::kMaxNewest);
}

// ---- a directory for each backup ----------------------------------------------------------------

class BackupDirectories : public BackupDirectory {
 protected:
  // Creates a file, and the directories that lead to it.
  double nested(const std::string& name, const std::string& bytes, std::chrono::seconds age) {
    fs::create_directories(fs::path(directory.path(name)).parent_path());
    return file(name, bytes, age);
  }
  test::Observation observe(const std::string& more = "") {
    return BackupDirectory::observe(", layout: directories" + more);
  }
};

TEST_F(BackupDirectories, AddsUpTheFilesOfEach) {
  nested("monday/base.tar", "12345", 48h);
  nested("tuesday/pg_data/base/1/2", "1234567", 25h);
  const double newest = nested("tuesday/pg_data/global/3", "123", 24h);
  nested("tuesday/backup.manifest", "12", 30h);
  file("backup.info", "beside the directories", 1h);
  fs::create_symlink("tuesday", directory.path("latest"));
  fs::create_symlink("..", directory.path("tuesday/loop"));
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value(kLast), newest);
  EXPECT_EQ(run.value("backup_newest_size_bytes"), 12);
  EXPECT_EQ(objects(run, "good"), 3);  // with the link
  EXPECT_EQ(objects(run, "unmatched"), 0);
}

TEST_F(BackupDirectories, RequiresTheMarker) {
  const double complete = nested("1/backup.manifest", "x", 5h);
  nested("2/backup.manifest.copy", "x", 2h);
  nested("3/pg_data/backup.manifest", "x", 2h);
  fs::create_directory(directory.path("4"));
  const test::Observation run = observe(", marker: backup.manifest");
  EXPECT_EQ(run.value(kLast), complete);
  EXPECT_EQ(objects(run, "good"), 1);
  EXPECT_EQ(objects(run, "incomplete"), 3);
  EXPECT_EQ(observe(", marker: '*/backup.manifest'").value(kLast), complete + 3 * 3600);
  EXPECT_EQ(observe(", marker: none").failure(),
            "mismatch: no good backup: 0 do not match, 0 too small, 0 being written, 0 broken, "
            "4 without marker");
}

TEST_F(BackupDirectories, AppliesTheOtherCriteriaToEach) {
  const double good = nested("db-1/a", std::string(2000, 'x'), 5h);
  nested("db-2/a", std::string(1000, 'x'), 2h);
  nested("db-3/a", std::string(2000, 'x'), 2h);
  nested("db-3/b", "x", 10s);
  nested("db-4.tmp/a", std::string(2000, 'x'), 2h);
  nested(".db-5/a", std::string(2000, 'x'), 2h);
  nested("db-6/a", std::string(2000, 'x'), -48h);
  fs::create_directory(directory.path("lost+found"));
  fs::create_directory(directory.path("empty"));
  const test::Observation run = observe(", pattern: 'db-*', min_size: 1500B");
  EXPECT_EQ(run.value(kLast), good);
  EXPECT_EQ(objects(run, "good"), 1);
  EXPECT_EQ(objects(run, "too_small"), 1);
  EXPECT_EQ(objects(run, "being_written"), 1);
  EXPECT_EQ(objects(run, "unmatched"), 4);
  EXPECT_EQ(objects(run, "from_future"), 1);
  EXPECT_EQ(objects(observe(", pattern: empty"), "too_small"), 1);
}

// Two examples: a directory of root, such as lost+found in a volume, and a directory that
// pgBackRest created as another user.
TEST_F(BackupDirectories, CountsADirectoryThatCannotBeRead) {
  nested("1/a", "x", 5h);
  nested("1/lost+found/a", "x", 5h);
  nested("2/sub/a", "x", 2h);
  nested("lost+found/a", "x", 2h);
  fs::permissions(directory.path(""), fs::perms(0755));
  for (const char* name : {"1/lost+found", "2/sub", "lost+found"}) {
    fs::permissions(directory.path(name), fs::perms::none);
  }
  config::Problems problems("test.yaml");
  const config::Value tree = config::parse_yaml("layout: directories\n", problems);
  config::Node node(tree, "", problems);
  const backup::Criteria criteria(node);
  const auto list = [&] {
    constexpr unsigned kNobody = 65534;
    const int root = setfsuid(kNobody);  // of this thread; root can read everything
    try {
      const backup::Listing listing =
          backup::list_backups(directory.path(""), criteria, net::StopFlag());
      setfsuid(static_cast<unsigned>(root));
      return listing;
    } catch (...) {
      setfsuid(static_cast<unsigned>(root));
      throw;
    }
  };
  const backup::Listing listing = list();
  EXPECT_EQ(listing.tally.good, 1);
  EXPECT_EQ(listing.tally.unreadable, 1);
  EXPECT_EQ(listing.tally.unmatched, 1);
  fs::remove_all(directory.path("1"));
  EXPECT_THROW(list(), ProbeError);  // whether there is a good backup is unknown
  fs::permissions(directory.path("2/sub"), fs::perms::owner_all);
  fs::permissions(directory.path("lost+found"), fs::perms::owner_all);
}

TEST_F(BackupDirectories, IgnoresADirectoryThatGrows) {
  const auto probe = fixture.make("backup", options(", layout: directories"));
  const double good = nested("1/a", "x", 5h);
  const double newer = nested("2/a", "x", 2h);
  EXPECT_EQ(fixture.observe(*probe).value(kLast), newer);
  nested("2/b", "x", 3h);
  EXPECT_EQ(fixture.observe(*probe).value(kLast), good);
  EXPECT_EQ(fixture.observe(*probe).value(kLast), newer);
}

TEST_F(BackupDirectories, RejectsADirectoryThatIsNoBackup) {
  std::string deep = "deep";
  for (int i = 0; i < 33; ++i) deep += "/d";
  nested(deep + "/file", "x", 2h);
  nested("good/file", "x", 2h);
  const test::Observation run = observe();
  EXPECT_EQ(run.reason(), "config");
  EXPECT_TRUE(run.failure().contains("more than 32 levels of directories")) << run.failure();
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(objects(observe(", pattern: good"), "good"), 1);
}

TEST_F(BackupDirectories, RefusesOptionsWithoutMeaning) {
  for (const char* options : {", marker: x", ", layout: directories, verify: gzip"}) {
    EXPECT_THROW(BackupDirectory::observe(options), std::runtime_error) << options;
  }
}

}  // namespace
}  // namespace vitalsd
