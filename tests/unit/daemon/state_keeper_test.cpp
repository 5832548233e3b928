#include "daemon/state_keeper.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "unit/support/jobs.hpp"
#include "unit/support/no_descriptors.hpp"
#include "unit/support/temp_directory.hpp"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using test::nothing;
using test::Target;

// Longer than a machine runs, so the first save does not depend on the time of the last boot.
constexpr auto kNever = std::chrono::hours(24 * 365 * 100);

class StateKeeperTest : public testing::Test, protected test::JobFixture {
 protected:
  ~StateKeeperTest() override {
    EXPECT_TRUE(until([&] { return keeper->idle(); }));  // pending work uses the jobs
    test::on_loop(loop, [&] { scheduler.reset(); });
  }

  // The file of an earlier process.
  static std::string state(double fact) {
    return serialize_state(
        {{"p", {"fake", "target", {std::nullopt, {{"", "fake_fact", {}, fact}}, {}}}}});
  }
  void write(double fact) { std::ignore = directory.file("state.json", state(fact)); }
  [[nodiscard]] std::optional<double> saved() const {
    const auto read = parse_state(test::read_file(directory.path("state.json")));
    if (!read || !read->contains("p") || read->at("p").memory.facts.empty()) return std::nullopt;
    return read->at("p").memory.facts[0].value;
  }
  void start() {
    has_started = false;
    test::on_loop(loop, [&] {
      keeper->start([&] {
        has_started = true;
        std::vector<JobSpec> specs;
        specs.push_back(spec(target));
        scheduler->apply(std::move(specs), [&](Job& job) { keeper->restore(job); });
        keeper->discard_restored();
      });
    });
  }
  [[nodiscard]] double successful() const {
    for (const Exposition::Extra& extra : metrics.collect()) {
      if (extra.name != "vitalsd_state_last_save_successful") continue;
      return test::parse_samples(extra.lines).at(0).value;
    }
    return -1;
  }
  bool until_saved(double fact) {
    return until([&] {
      keeper->save_if_due();
      return saved() == fact;
    });
  }

  test::TempDirectory directory;
  Leadership leadership;
  Target target{.behaviour = [this](SampleSet& out) {
    if (observed) out.add(test::kFakeFact, *observed);
    if (!observed) out.fail(Reason::mismatch, "cannot observe");
    return nothing();
  }};
  std::optional<double> observed = 1;
  bool has_started = false;
  std::optional<Scheduler> scheduler{std::in_place, services};
  std::optional<StateKeeper> keeper{
      std::in_place,
      loop,
      wheel,
      *scheduler,
      leadership,
      metrics,
      Shard{},
      StatePace{
          .min_interval = 1ms, .max_interval = 1h, .short_interval = 1ms, .read_timeout = 100ms}};
};

TEST_F(StateKeeperTest, RestoresJobsBeforeTheirFirstRun) {
  write(7);
  observed.reset();
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until([&] { return has_started; }));
  EXPECT_EQ(value("fake_fact"), 7);
}

TEST_F(StateKeeperTest, WorksWithoutADirectory) {
  start();
  EXPECT_TRUE(has_started);
  ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
  keeper->save_if_due();
  keeper->finish();
  EXPECT_TRUE(keeper->idle());
  EXPECT_EQ(successful(), -1);
}

TEST_F(StateKeeperTest, SavesChanges) {
  keeper->set_directory(directory.path(""));
  start();
  EXPECT_TRUE(until_saved(1));
  EXPECT_TRUE(until([&] { return successful() == 1; }));
  observed = 2;
  EXPECT_TRUE(until_saved(2));
  observed = 3;
  ASSERT_TRUE(until([&] { return value("fake_fact") == 3; }));
  keeper->finish();  // does not wait for the interval
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 3);
}

// Regression: a new leader used the state from its own start and overwrote the newer one.
TEST_F(StateKeeperTest, ReadsTheFileAgainAtTheNextStart) {
  write(1);
  observed.reset();
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
  keeper->stop();
  test::on_loop(loop, [&] { scheduler->apply({}, [](Job&) {}); });
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  write(8);  // by another process
  start();
  ASSERT_TRUE(until([&] { return has_started; }));
  EXPECT_EQ(value("fake_fact"), 8);
}

TEST_F(StateKeeperTest, DoesNotSaveAfterLosingTheLease) {
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until_saved(1));
  observed = 2;
  ASSERT_TRUE(until([&] { return value("fake_fact") == 2; }));
  leadership.stand_by();
  keeper->save_if_due();
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 1);
}

TEST_F(StateKeeperTest, SavesWhenTheLockOfAnotherProcessIsReleased) {
  const std::string lock = directory.file("state.json.lock", "");
  write(7);
  const int other = open(lock.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_EX), 0);
  std::string problem;
  keeper->on_problem = [&](const std::string& now) { problem = now; };
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
  ASSERT_TRUE(until([&] {
    keeper->save_if_due();
    return successful() == 0;
  }));
  EXPECT_EQ(saved(), 7);
  EXPECT_EQ(problem, "another process has locked " + lock);
  close(other);
  EXPECT_TRUE(until_saved(1));
  EXPECT_TRUE(until([&] { return successful() == 1; }));
  EXPECT_EQ(problem, "");
}

TEST_F(StateKeeperTest, TellsThatTheStateIsLostUntilAFileIsRead) {
  std::ignore = directory.file("state.json", "{");
  std::string lost;
  keeper->on_read = [&](const std::string& why) { lost = why; };
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until_saved(1));
  EXPECT_TRUE(lost.contains("; moved to ")) << lost;
  keeper->stop();
  test::on_loop(loop, [&] { scheduler->apply({}, [](Job&) {}); });
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  start();
  EXPECT_TRUE(until([&] { return lost.empty(); })) << lost;
}

// Regression: a leader whose jobs were not built yet saved an empty state.
TEST_F(StateKeeperTest, KeepsTheStateOfJobsThatDoNotExistYet) {
  write(7);
  keeper->set_directory(directory.path(""));
  test::on_loop(loop, [&] { keeper->start([&] { has_started = true; }); });
  ASSERT_TRUE(until([&] { return has_started; }));
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 7);
}

TEST_F(StateKeeperTest, ReadsAChangedFileBeforeReplacingIt) {
  keeper->set_directory(directory.path(""));
  observed.reset();
  start();
  ASSERT_TRUE(until([&] { return has_started; }));
  write(9);
  keeper->finish();  // detects the change
  EXPECT_TRUE(until([&] {
    keeper->save_if_due();
    return value("fake_fact") == 9;
  }));
  observed = 10;
  EXPECT_TRUE(until_saved(10));
}

TEST_F(StateKeeperTest, SavesAtTheEndAfterAnotherProcessChangedTheFile) {
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until_saved(1));
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  write(9);
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 1);
}

TEST_F(StateKeeperTest, AppliesADirectoryThatChangesWhileReading) {
  fs::create_directory(directory.path("other"));
  keeper->set_directory(directory.path(""));
  test::on_loop(loop, [&] {
    keeper->start([&] { has_started = true; });
    keeper->set_directory(directory.path("other"));
  });
  ASSERT_TRUE(until([&] { return has_started && keeper->idle(); }));
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_TRUE(fs::exists(directory.path("other/state.json")));
}

TEST_F(StateKeeperTest, ReleasesTheLockAfterStop) {
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until_saved(1));
  const int other = open(directory.path("state.json.lock").c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_NE(flock(other, LOCK_EX | LOCK_NB), 0);
  keeper->stop();
  ASSERT_TRUE(until([&] { return keeper->idle() && flock(other, LOCK_EX | LOCK_NB) == 0; }));
  close(other);
}

TEST_F(StateKeeperTest, SavesSoonIfAsked) {
  test::FakeNotes notes;
  target.notes = &notes;
  keeper.emplace(loop, wheel, *scheduler, leadership, metrics, Shard{},
                 StatePace{.min_interval = kNever, .short_interval = 1ms});
  keeper->set_directory(directory.path(""));
  start();
  ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
  keeper->save_if_due();
  ASSERT_TRUE(until([&] { return saved() == 1; }));
  notes.text = "a request";
  ++notes.count;
  test::run_for(loop, 5ms);
  keeper->save_if_due();
  EXPECT_TRUE(keeper->idle());
  keeper->save_soon();
  EXPECT_TRUE(until([&] {
    keeper->save_if_due();
    return notes.on_disk == "a request";
  }));
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  test::on_loop(loop, [&] { std::ignore = scheduler->apply({}, [](Job&) {}); });
}

TEST_F(StateKeeperTest, TellsThatNotesCouldNotBeSaved) {
  struct Notes final : test::FakeNotes {
    void save_failed() override { ++failures; }
    int failures = 0;
  } notes;
  target.notes = &notes;
  keeper->set_directory(directory.path("missing"));
  start();
  EXPECT_TRUE(until([&] {
    keeper->save_if_due();
    return notes.failures > 0;
  }));
  EXPECT_EQ(notes.on_disk, "");
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  test::on_loop(loop, [&] { std::ignore = scheduler->apply({}, [](Job&) {}); });
}

// Notes that count the results of saves. Their text takes `effort` to serialize.
struct CountingNotes final : test::FakeNotes {
  std::string serialize() override {
    std::this_thread::sleep_for(effort);
    return FakeNotes::serialize();
  }
  void saved() override {
    ++successes;
    FakeNotes::saved();
  }
  void save_failed() override { ++failures; }
  std::chrono::milliseconds effort{0};
  int successes = 0;
  int failures = 0;
};

class StateKeeperNotesTest : public StateKeeperTest {
 protected:
  ~StateKeeperNotesTest() override {
    EXPECT_TRUE(until([&] { return keeper->idle(); }));
    test::on_loop(loop, [&] { std::ignore = scheduler->apply({}, [](Job&) {}); });
  }
  void start_with_notes() {
    target.notes = &notes;
    keeper.emplace(loop, wheel, *scheduler, leadership, metrics, Shard{},
                   StatePace{.min_interval = kNever, .short_interval = 1ms});
    keeper->set_directory(directory.path(""));
    start();
    ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
    keeper->save_if_due();
    ASSERT_TRUE(until([&] { return notes.successes == 1 && keeper->idle(); }));
  }
  // Waits until the interval since the last save has passed.
  [[nodiscard]] bool until_saving_soon() {
    return until([&] {
      keeper->save_soon();
      return !keeper->idle();
    });
  }

  CountingNotes notes;
};

// Regression: the result of the first save confirmed notes that only the second save had
// serialized.
TEST_F(StateKeeperNotesTest, OnlyTheLastOfTwoSavesIsReported) {
  start_with_notes();
  ASSERT_TRUE(until_saving_soon());
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(notes.successes, 2);
}

// Regression: the sum of versions can be equal although one has changed.
TEST_F(StateKeeperNotesTest, SavesSoonEvenIfTheVersionIsEqual) {
  start_with_notes();
  EXPECT_TRUE(until_saving_soon());
}

TEST_F(StateKeeperNotesTest, WaitsLongerAfterASlowSave) {
  start_with_notes();
  notes.effort = 50ms;
  ASSERT_TRUE(until_saving_soon());
  ASSERT_TRUE(until([&] { return notes.successes == 2 && keeper->idle(); }));
  test::run_for(loop, 5ms);  // longer than the interval
  keeper->save_soon();
  EXPECT_TRUE(keeper->idle());
  EXPECT_TRUE(until([&] {
    keeper->save_if_due();
    return notes.successes == 3;
  }));
}

// Regression: requests had no answer until the client gave up.
TEST_F(StateKeeperNotesTest, RefusesToSaveWhileTheFileCannotBeRead) {
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
  start_with_notes();
  fs::create_directory(directory.path("other"));
  std::ignore = directory.file("other/state.json", state(7));
  {
    const test::NoDescriptors none;
    test::on_loop(loop, [&] { keeper->set_directory(directory.path("other")); });
    ASSERT_TRUE(until([&] { return keeper->idle(); }));
    EXPECT_TRUE(until([&] {
      keeper->save_soon();
      return notes.failures > 0;
    }));
    EXPECT_EQ(notes.successes, 1);
    ASSERT_TRUE(until([&] { return keeper->idle(); }));
  }
}

// Regression: a request or a run before a late read of the file replaced the notes in it.
TEST_F(StateKeeperNotesTest, ProbesWithNotesWaitUntilTheFileIsRead) {
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
  std::ignore = directory.file("state.json",
                               serialize_state({{"p", {"fake", "target", {{}, {}, "earlier"}}}}));
  target.notes = &notes;
  keeper->set_directory(directory.path(""));
  {
    const test::NoDescriptors none;
    start();
    ASSERT_TRUE(until([&] { return has_started && failures("internal") > 0; }));
    EXPECT_TRUE(scheduler->jobs().at("p")->waits_for_state());
    EXPECT_EQ(target.started, 0);
    EXPECT_EQ(notes.text, "");
  }
  ASSERT_TRUE(until([&] {
    keeper->save_if_due();
    return value("fake_fact") == 1;
  }));
  EXPECT_EQ(notes.text, "earlier");
}

TEST_F(StateKeeperNotesTest, ProbesWithNotesDoNotWaitForAFileThatIsNoLongerConfigured) {
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
  std::ignore = directory.file("state.json", state(7));
  target.notes = &notes;
  keeper->set_directory(directory.path(""));
  {
    const test::NoDescriptors none;
    start();
    ASSERT_TRUE(until([&] { return has_started; }));
    test::on_loop(loop, [&] { keeper->set_directory(""); });
  }
  EXPECT_TRUE(until([&] { return value("fake_fact") == 1; }));
}

// Regression: without a state directory, the problem with the earlier one stayed forever.
TEST_F(StateKeeperTest, ForgetsTheProblemOfADirectoryThatIsNotConfigured) {
  std::string problem;
  keeper->on_problem = [&](const std::string& now) { problem = now; };
  keeper->set_directory(directory.path("missing"));
  start();
  ASSERT_TRUE(until([&] {
    keeper->save_if_due();
    return successful() == 0;
  }));
  EXPECT_NE(problem, "");
  test::on_loop(loop, [&] { keeper->set_directory(""); });
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(problem, "");
  EXPECT_EQ(successful(), -1);
}

TEST_F(StateKeeperTest, ReportsAFailedSaveAndRetries) {
  keeper->set_directory(directory.path("later"));
  start();
  ASSERT_TRUE(until([&] {
    keeper->save_if_due();
    return successful() == 0;
  }));
  fs::create_directory(directory.path("later"));
  ASSERT_TRUE(until([&] {
    keeper->save_if_due();
    return successful() == 1;
  }));
}

}  // namespace
}  // namespace vitalsd
