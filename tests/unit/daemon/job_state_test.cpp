// The state of a job that survives a restart.
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "unit/daemon/job_fixture.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

TEST_F(JobTest, MemoryContainsFactsAndTheLastSuccess) {
  target.behaviour = returning(add_both);
  start();
  const std::uint64_t version = job->memory_version();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_GT(job->memory_version(), version);
  const JobMemory memory = job->memory();
  EXPECT_TRUE(memory.last_success);
  EXPECT_EQ(memory.facts, (std::vector<StoredFact>{{"", "fake_fact", {}, 2}}));
}

TEST_F(JobTest, PublishesRestoredStateBeforeTheFirstRun) {
  target.behaviour = throwing(Reason::connect);
  job.emplace(services, spec(target));
  job->restore({std::chrono::system_clock::time_point(1767225600s),
                {{"", "fake_fact", {}, 2}, {"", "fake_reading", {}, 3}}});
  job->start(Job::Clock::now());
  EXPECT_EQ(value("fake_fact"), 2);
  EXPECT_EQ(value("fake_reading"), std::nullopt);  // readings are not restored
  EXPECT_EQ(value("vitalsd_probe_last_success_timestamp_seconds"), 1767225600);
  ASSERT_TRUE(until([&] { return runs("failed") == 2; }));
  EXPECT_EQ(value("fake_fact"), 2);
}

// Regression: after a run, notes of an earlier process were not restored, and then overwritten.
TEST_F(JobTest, RestoresWhatItDoesNotKnowYet) {
  test::FakeNotes notes;
  target.notes = &notes;
  target.behaviour = returning(add_both);
  start();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  const auto success = job->memory().last_success;
  const JobMemory earlier{std::chrono::system_clock::time_point(1767225600s),
                          {{"", "fake_fact", {}, 7}},
                          "read to the end"};
  job->restore_missing(earlier);
  EXPECT_EQ(notes.text, "read to the end");
  EXPECT_EQ(value("fake_fact"), 2);
  EXPECT_EQ(job->memory().last_success, success);
  notes.text = "and more";
  job->restore_missing(earlier);  // notes that were restored are not new
  EXPECT_EQ(notes.text, "and more");
}

TEST_F(JobTest, KeepsNotesThatHaveRecordedSomething) {
  test::FakeNotes notes;
  target.notes = &notes;
  target.behaviour = returning([](SampleSet&) {});
  job.emplace(services, spec(target));
  notes.text = "a request";
  ++notes.count;
  job->restore_missing({.last_success = {}, .facts = {}, .notes = "read to the end"});
  EXPECT_EQ(notes.text, "a request");
}

TEST_F(JobTest, DoesNotObserveBeforeItsNotesAreRead) {
  test::FakeNotes notes;
  target.notes = &notes;
  target.behaviour = returning(add_both);
  job.emplace(services, spec(target));
  job->wait_for_state();
  job->start(Job::Clock::now());
  ASSERT_TRUE(until([&] { return failures("internal") == 1; }));
  EXPECT_EQ(target.started, 0);
  EXPECT_TRUE(job->waits_for_state());
  job->restore_missing({.last_success = {}, .facts = {}, .notes = "read to the end"});
  job->end_wait();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_EQ(notes.text, "read to the end");
  EXPECT_EQ(target.started, 1);
}

TEST_F(JobTest, DoesNotWaitForStateThatItsProbeDoesNotHave) {
  job.emplace(services, spec(target));
  job->wait_for_state();
  EXPECT_FALSE(job->waits_for_state());
  test::FakeNotes notes;
  test::Target with_notes{.behaviour = target.behaviour, .notes = &notes};
  job.emplace(services, spec(with_notes));
  job->wait_for_state();
  EXPECT_TRUE(job->waits_for_state());
  JobSpec other = spec(target);
  other.fingerprint = 2;
  replace(std::move(other));
  EXPECT_FALSE(job->waits_for_state());
}

TEST_F(JobTest, SavesAndRestoresTheNotesOfItsProbe) {
  test::FakeNotes notes;
  target.notes = &notes;
  target.behaviour = returning([](SampleSet&) {});
  job.emplace(services, spec(target));
  job->restore({.last_success = {}, .facts = {}, .notes = "read to the end"});
  EXPECT_EQ(notes.text, "read to the end");
  const std::uint64_t version = job->memory_version();
  ++notes.count;
  EXPECT_NE(job->memory_version(), version);
  EXPECT_EQ(job->memory().notes, "read to the end");
  EXPECT_EQ(notes.on_disk, "");
  job->mark_saved(true);
  EXPECT_EQ(notes.on_disk, "read to the end");
  notes.text = "and a line more";
  job->skip_saving();
  EXPECT_EQ(notes.on_disk, "and a line more");
}

}  // namespace
}  // namespace vitalsd
