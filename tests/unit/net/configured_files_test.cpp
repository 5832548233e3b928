#include "probes/net/configured_files.hpp"

#include "config/secret.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/loop.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Simulates a file on an unreachable NFS server: while it hangs, find() does not return.
class Mount {
 public:
  static std::string find() {
    Mount& mount = *current;
    std::unique_lock lock(mount.mutex_);
    ++mount.inside_;
    mount.changed_.wait(lock, [&] { return !mount.hangs_; });
    --mount.inside_;
    mount.changed_.notify_all();
    return mount.path_;
  }

  explicit Mount(std::string path) : path_(std::move(path)) { current = this; }
  ~Mount() {
    set_hangs(false);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == 0; });
  }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  void set_hangs(bool hangs) {
    const std::lock_guard lock(mutex_);
    hangs_ = hangs;
    changed_.notify_all();
  }

 private:
  inline static Mount* current = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string path_;
  int inside_ = 0;
  bool hangs_ = false;
};

class ConfiguredFilesTest : public testing::Test {
 protected:
  using Limits = ConfiguredFiles::Limits;

  // Few milliseconds would be too short for a thread on a busy machine.
  static Limits limits(std::chrono::milliseconds hanging, std::chrono::milliseconds stale) {
    return {.hanging = hanging, .stale = stale, .bytes = 4096};
  }
  test::Task<FileText> start_reading_mount(ConfiguredFiles& files) {
    return {loop_, files.read("the mount", &Mount::find)};
  }
  std::string read(ConfiguredFiles& files, const std::string& path) {
    return text_of([&] { return *test::Task(loop_, files.read(path)).get(); });
  }
  // Repeats a read, because on a busy machine it can take longer than the short limits of a test.
  template <class Read>
  static bool is_read(std::string_view text, const Read& read) {
    for (int i = 0; i < 1000; ++i) {
      if (read() == text) return true;
    }
    return false;
  }
  std::string read_mount(ConfiguredFiles& files) {
    return text_of([&] { return *start_reading_mount(files).get(); });
  }
  // The result, or the reason and the text of the error.
  template <class Read>
  static std::string text_of(const Read& read) {
    try {
      return read();
    } catch (const ProbeError& error) {
      return std::string(reason_name(error.reason())) + ": " + error.what();
    }
  }

  test::TempDirectory directory_;
  Mount mount_{directory_.file("mounted", "content")};
  asio::io_context loop_{1};
  TimerWheel wheel_{loop_};
  ConfiguredFiles files_{loop_, wheel_};
};

TEST_F(ConfiguredFilesTest, ReadAChangedFileAtOnce) {
  const std::string path = directory_.file("f", "one");
  EXPECT_EQ(read(files_, path), "one");
  EXPECT_EQ(directory_.file("f", "two"), path);  // the same size, and perhaps the same time
  EXPECT_EQ(read(files_, path), "two");
  std::filesystem::remove(path);
  EXPECT_EQ(read(files_, path), "config: cannot read " + path + ": No such file or directory");
  EXPECT_EQ(directory_.file("f", "three"), path);
  EXPECT_EQ(read(files_, path), "three");
}

TEST_F(ConfiguredFilesTest, KeepTheTextOfAnUnchangedFile) {
  const std::string path = directory_.file("f", "one");
  const FileText text = test::Task(loop_, files_.read(path)).get();
  EXPECT_EQ(test::Task(loop_, files_.read(path)).get(), text);
}

TEST_F(ConfiguredFilesTest, ReadTheSameFileForSeveralAtOnce) {
  const std::string path = directory_.file("f", "one");
  test::Task one(loop_, files_.read(path));
  test::Task two(loop_, files_.read(path));
  test::Task other(loop_, files_.read(directory_.file("g", "two")));
  EXPECT_EQ(*one.get(), "one");
  EXPECT_EQ(*two.get(), "one");
  EXPECT_EQ(*other.get(), "two");
}

TEST_F(ConfiguredFilesTest, RefuseWhatIsNotASmallRegularFile) {
  const std::string fifo = directory_.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(read(files_, fifo), "config: cannot read " + fifo + ": not a regular file");
  EXPECT_EQ(read(files_, "/proc"), "config: cannot read /proc: Is a directory");
  ConfiguredFiles small(loop_, wheel_, limits(1s, 1s));
  const std::string large = directory_.file("f", std::string(5000, 'x'));
  EXPECT_THAT(read(small, large), HasSubstr("larger than 4 KiB"));
}

TEST_F(ConfiguredFilesTest, ConcealTheSecretsOfARun) {
  SampleSet run;
  const auto secret = config::Secret::file(directory_.file("token", "hunter22\n"));
  EXPECT_EQ(test::Task(loop_, files_.read(secret, run)).get(), "hunter22");
  EXPECT_EQ(run.shown("no hunter22"), "no ***");
}

TEST_F(ConfiguredFilesTest, GiveTheValueOfASecret) {
  const auto value = [&](const config::Secret& secret) {
    return text_of([&] { return test::Task(loop_, files_.read(secret)).get(); });
  };
  const std::string path = directory_.file("f", "hunter2\n");
  EXPECT_EQ(value(config::Secret::file(path)), "hunter2");
  EXPECT_EQ(value(config::Secret::literal("plain")), "plain");
  EXPECT_EQ(value({}), "");
  EXPECT_EQ(value(config::Secret::environment("NO_SUCH_VARIABLE")),
            "config: environment variable NO_SUCH_VARIABLE is not set");
  EXPECT_EQ(directory_.file("f", "\n"), path);
  EXPECT_EQ(value(config::Secret::file(path)), "config: " + path + " is empty");
}

TEST_F(ConfiguredFilesTest, GiveTheLastTextWhileAReadHangs) {
  ConfiguredFiles files(loop_, wheel_, limits(1s, 1h));
  EXPECT_TRUE(is_read("content", [&] { return read_mount(files); }));
  mount_.set_hangs(true);
  EXPECT_EQ(read_mount(files), "content");
  EXPECT_EQ(files.hanging(), 1U);
  const auto start = test::Clock::now();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(read_mount(files), "content");
  EXPECT_LT(test::Clock::now() - start, 1s) << "one read waits, the others do not";
  EXPECT_EQ(files.hanging(), 1U);

  EXPECT_EQ(directory_.file("mounted", "new").empty(), false);
  mount_.set_hangs(false);
  EXPECT_TRUE(test::run_until(loop_, [&] { return files.hanging() == 0; }, 1min));
  EXPECT_TRUE(is_read("new", [&] { return read_mount(files); }));
}

TEST_F(ConfiguredFilesTest, FailIfAReadHangsAndTheTextIsUnknownOrOld) {
  ConfiguredFiles files(loop_, wheel_, limits(300ms, 0ms));
  mount_.set_hangs(true);
  EXPECT_THAT(read_mount(files), HasSubstr("internal: cannot read the mount: "));
  mount_.set_hangs(false);
  EXPECT_TRUE(test::run_until(loop_, [&] { return files.hanging() == 0; }, 1min));
  EXPECT_TRUE(is_read("content", [&] { return read_mount(files); }));
  mount_.set_hangs(true);
  EXPECT_THAT(read_mount(files), HasSubstr("internal: cannot read the mount: "));
}

// A read that has not started does not show that its directory hangs.
TEST_F(ConfiguredFilesTest, TellWhyAReadCannotStart) {
  ConfiguredFiles files(loop_, wheel_, limits(50ms, 0ms));
  mount_.set_hangs(true);
  for (int count = 0; files.hanging() < Offload::kMaxHanging;) {
    std::vector<std::unique_ptr<test::Task<FileText>>> reads;
    while (reads.size() < Offload::kMaxThreads) {
      const std::string name = "mount " + std::to_string(++count);
      reads.push_back(
          std::make_unique<test::Task<FileText>>(loop_, files.read(name, &Mount::find)));
    }
    for (const auto& hanging : reads) EXPECT_THROW(hanging->get(), ProbeError);
  }
  const std::string path = directory_.file("f", "one");
  EXPECT_EQ(read(files, path), "internal: cannot read " + path + ": " +
                                   std::to_string(Offload::kMaxHanging) +
                                   " threads still hang from earlier runs (for 0 s)");
  mount_.set_hangs(false);
  EXPECT_TRUE(test::run_until(loop_, [&] { return files.hanging() == 0; }, 1min));
  EXPECT_TRUE(is_read("one", [&] { return read(files, path); }));
}

TEST_F(ConfiguredFilesTest, ReadOtherFilesWhileOneHangs) {
  mount_.set_hangs(true);
  test::Task hanging = start_reading_mount(files_);
  test::Task same = start_reading_mount(files_);
  EXPECT_EQ(read(files_, directory_.file("f", "one")), "one");
  EXPECT_FALSE(hanging.done());
  same.cancel();
  EXPECT_THROW(same.get(), boost::system::system_error) << "a cancelled run does not wait";
  mount_.set_hangs(false);
  EXPECT_EQ(*hanging.get(), "content");
}

}  // namespace
}  // namespace vitalsd::net
