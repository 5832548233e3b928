#include "daemon/state_keeper.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "unit/support/jobs.hpp"
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

class StateKeeperTest : public testing::Test, protected test::JobFixture {
 protected:
  ~StateKeeperTest() override {
    EXPECT_TRUE(until([&] { return keeper->idle(); }));  // it tells the jobs what it has saved
    test::on_loop(loop, [&] { scheduler.reset(); });
  }

  // As an earlier process left it.
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
  void begin() {
    began = false;
    test::on_loop(loop, [&] {
      keeper->start([&] {
        began = true;
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
    if (known) out.add(test::kFakeFact, *known);
    if (!known) out.fail(Reason::mismatch, "cannot look");
    return nothing();
  }};
  std::optional<double> known = 1;
  bool began = false;
  std::optional<Scheduler> scheduler{std::in_place, services};
  std::optional<StateKeeper> keeper{std::in_place,
                                    loop,
                                    wheel,
                                    *scheduler,
                                    leadership,
                                    metrics,
                                    Shard{},
                                    StatePace{.min_interval = 1ms,
                                              .max_interval = 1h,
                                              .interval_without_file = 1ms,
                                              .read_timeout = 100ms}};
};

TEST_F(StateKeeperTest, GivesJobsWhatIsKnownBeforeTheyRun) {
  write(7);
  known.reset();
  keeper->set_directory(directory.path(""));
  begin();
  ASSERT_TRUE(until([&] { return began; }));
  EXPECT_EQ(value("fake_fact"), 7);
}

TEST_F(StateKeeperTest, NeedsNoDirectory) {
  begin();
  EXPECT_TRUE(began);
  ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
  keeper->save_if_due();
  keeper->finish();
  EXPECT_TRUE(keeper->idle());
  EXPECT_EQ(successful(), -1);
}

TEST_F(StateKeeperTest, SavesWhatChanges) {
  keeper->set_directory(directory.path(""));
  begin();
  EXPECT_TRUE(until_saved(1));
  EXPECT_TRUE(until([&] { return successful() == 1; }));
  known = 2;
  EXPECT_TRUE(until_saved(2));
  known = 3;
  ASSERT_TRUE(until([&] { return value("fake_fact") == 3; }));
  keeper->finish();  // at the end, whatever the time
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 3);
}

// It had the state as of its own start before, and overwrote the newer one of the leader.
TEST_F(StateKeeperTest, ReadsAgainWhenItBeginsAgain) {
  write(1);
  known.reset();
  keeper->set_directory(directory.path(""));
  begin();
  ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
  keeper->stop();
  test::on_loop(loop, [&] { scheduler->apply({}, [](Job&) {}); });
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  write(8);  // by another process
  begin();
  ASSERT_TRUE(until([&] { return began; }));
  EXPECT_EQ(value("fake_fact"), 8);
}

TEST_F(StateKeeperTest, WritesNothingOnceItHasLostTheLead) {
  keeper->set_directory(directory.path(""));
  begin();
  ASSERT_TRUE(until_saved(1));
  known = 2;
  ASSERT_TRUE(until([&] { return value("fake_fact") == 2; }));
  leadership.stand_by();
  keeper->save_if_due();
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 1);
}

TEST_F(StateKeeperTest, ObservesWhileAnotherHasTheLockAndSavesLater) {
  const std::string lock = directory.file("state.json.lock", "");
  write(7);
  const int other = open(lock.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_EX), 0);
  keeper->set_directory(directory.path(""));
  begin();
  ASSERT_TRUE(until([&] { return value("fake_fact") == 1; }));
  ASSERT_TRUE(until([&] {
    keeper->save_if_due();
    return successful() == 0;
  }));
  EXPECT_EQ(saved(), 7);
  close(other);
  EXPECT_TRUE(until_saved(1));
  EXPECT_TRUE(until([&] { return successful() == 1; }));
}

// A leader whose jobs are not built yet saved that it knew nothing.
TEST_F(StateKeeperTest, KeepsWhatIsKnownOfJobsThatAreStillToCome) {
  write(7);
  keeper->set_directory(directory.path(""));
  test::on_loop(loop, [&] { keeper->start([&] { began = true; }); });
  ASSERT_TRUE(until([&] { return began; }));
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 7);
}

TEST_F(StateKeeperTest, ReadsAFileOfOthersBeforeItReplacesIt) {
  keeper->set_directory(directory.path(""));
  known.reset();
  begin();
  ASSERT_TRUE(until([&] { return began; }));
  write(9);
  keeper->finish();  // finds it
  EXPECT_TRUE(until([&] {
    keeper->save_if_due();
    return value("fake_fact") == 9;
  }));
  known = 10;
  EXPECT_TRUE(until_saved(10));
}

TEST_F(StateKeeperTest, SavesAtTheEndThoughOthersHaveChangedTheFile) {
  keeper->set_directory(directory.path(""));
  begin();
  ASSERT_TRUE(until_saved(1));
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  write(9);
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_EQ(saved(), 1);
}

TEST_F(StateKeeperTest, FollowsADirectoryThatChangesWhileItReads) {
  fs::create_directory(directory.path("other"));
  keeper->set_directory(directory.path(""));
  test::on_loop(loop, [&] {
    keeper->start([&] { began = true; });
    keeper->set_directory(directory.path("other"));
  });
  ASSERT_TRUE(until([&] { return began && keeper->idle(); }));
  keeper->finish();
  ASSERT_TRUE(until([&] { return keeper->idle(); }));
  EXPECT_TRUE(fs::exists(directory.path("other/state.json")));
}

TEST_F(StateKeeperTest, ReleasesTheLockAtTheEnd) {
  keeper->set_directory(directory.path(""));
  begin();
  ASSERT_TRUE(until_saved(1));
  const int other = open(directory.path("state.json.lock").c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_NE(flock(other, LOCK_EX | LOCK_NB), 0);
  keeper->stop();
  ASSERT_TRUE(until([&] { return keeper->idle() && flock(other, LOCK_EX | LOCK_NB) == 0; }));
  close(other);
}

TEST_F(StateKeeperTest, SaysThatItCannotSaveAndTriesAgain) {
  keeper->set_directory(directory.path("later"));
  begin();
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
