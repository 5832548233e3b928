#include "probes/job/history.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::job {
namespace {

using Kind = Ping::Kind;

class HistoryTest : public testing::Test {
 protected:
  void start(double now, std::string id = "") { send({Kind::start, {}, std::move(id)}, now); }
  void succeed(double now, std::string id = "") { send({Kind::success, 0, std::move(id)}, now); }
  void fail(double now, std::optional<int> code = {}, std::string id = "") {
    send({Kind::failure, code, std::move(id)}, now);
  }
  void send(const Ping& ping, double now, std::string message = "") {
    history->record(ping, std::move(message), now,
                    [this](const PushAnswer& answer) { answers.push_back(answer.status); });
  }
  void save() {
    saved = history->serialize();
    history->saved();
  }
  // A new process that reads the saved state.
  void restart(double now = 5'000) {
    history = std::make_unique<History>(now);
    history->restore(saved);
  }

  std::vector<int> answers;  // also those of the destructor of history
  std::unique_ptr<History> history = std::make_unique<History>(100);
  std::string saved;
};

TEST_F(HistoryTest, KnowsNothingAtFirst) {
  EXPECT_EQ(history->last_start(), std::nullopt);
  EXPECT_EQ(history->last_success(), std::nullopt);
  EXPECT_EQ(history->last_failure(), std::nullopt);
  EXPECT_EQ(history->last_duration(), std::nullopt);
  EXPECT_EQ(history->last_exit_code(), std::nullopt);
  EXPECT_EQ(history->running_since(), std::nullopt);
  EXPECT_EQ(history->last_heard(200), 100);
}

TEST_F(HistoryTest, RecordsARun) {
  start(1'000);
  EXPECT_EQ(history->last_start(), 1'000);
  EXPECT_EQ(history->running_since(), 1'000);
  succeed(1'012);
  EXPECT_EQ(history->running_since(), std::nullopt);
  EXPECT_EQ(history->last_success(), 1'012);
  EXPECT_EQ(history->last_duration(), 12);
  EXPECT_EQ(history->last_exit_code(), 0);
  EXPECT_EQ(history->last_failure(), std::nullopt);
  EXPECT_EQ(history->last_heard(2'000), 1'012);
}

TEST_F(HistoryTest, RecordsFailures) {
  start(1'000);
  fail(1'005, 2);
  EXPECT_EQ(history->last_failure(), 1'005);
  EXPECT_EQ(history->last_exit_code(), 2);
  EXPECT_EQ(history->last_success(), std::nullopt);
  fail(1'010);
  EXPECT_EQ(history->last_exit_code(), std::nullopt);  // unknown
  EXPECT_EQ(history->last_duration(), std::nullopt);   // its start was not reported
  EXPECT_EQ(history->failures_in_a_row(), 2);
  succeed(1'020);
  EXPECT_EQ(history->failures_in_a_row(), 0);
  EXPECT_EQ(history->last_failure(), 1'010);
}

TEST_F(HistoryTest, PublishesCountsThatAreSaved) {
  succeed(1);
  fail(2);
  fail(3);
  EXPECT_EQ(history->succeeded(), 0);
  save();
  EXPECT_EQ(history->succeeded(), 1);
  EXPECT_EQ(history->failed(), 2);
}

TEST_F(HistoryTest, ARepeatedRequestHasNoEffect) {
  start(1'000, "a");
  start(1'010, "a");
  EXPECT_EQ(history->last_start(), 1'000);
  fail(1'020, 3, "a");
  fail(1'030, 3, "a");
  succeed(1'040, "a");  // the first result counts
  start(1'050, "a");    // late
  save();
  EXPECT_EQ(history->failed(), 1);
  EXPECT_EQ(history->succeeded(), 0);
  EXPECT_EQ(history->last_failure(), 1'020);
  EXPECT_EQ(history->last_start(), 1'000);
  EXPECT_EQ(history->running_since(), std::nullopt);
  EXPECT_EQ(answers, std::vector<int>(6, 200));
}

TEST_F(HistoryTest, ARepeatedRequestAfterARestartHasNoEffect) {
  start(1'000, "a");
  succeed(1'020, "a");
  save();
  restart();
  succeed(6'000, "a");
  EXPECT_EQ(answers, std::vector<int>(2, 200));
  save();
  EXPECT_EQ(answers, std::vector<int>(3, 200));
  EXPECT_EQ(history->succeeded(), 1);
  EXPECT_EQ(history->last_success(), 1'020);
}

TEST_F(HistoryTest, OverlappingRunsHaveTheirOwnDurations) {
  start(1'000, "a");
  start(1'100, "b");
  EXPECT_EQ(history->running_since(), 1'000);
  succeed(1'300, "a");
  EXPECT_EQ(history->last_duration(), 300);
  EXPECT_EQ(history->running_since(), 1'100);
  succeed(1'310, "b");
  EXPECT_EQ(history->last_duration(), 210);
  EXPECT_EQ(history->running_since(), std::nullopt);
}

TEST_F(HistoryTest, ARunThatIsKilledCountsAsRunningUntilALaterOneEnds) {
  start(1'000, "a");
  start(4'600, "b");  // the first one was killed
  EXPECT_EQ(history->running_since(), 1'000);
  succeed(4'700, "b");
  EXPECT_EQ(history->running_since(), std::nullopt);
  succeed(4'800, "a");  // it was not killed, but slow
  EXPECT_EQ(history->last_duration(), 3'800);
}

TEST_F(HistoryTest, ARunWithoutIdThatIsKilledCountsAsRunningToo) {
  start(1'000);
  start(4'600);
  EXPECT_EQ(history->running_since(), 1'000);
  EXPECT_EQ(history->last_start(), 4'600);
  succeed(4'700);
  EXPECT_EQ(history->last_duration(), 100);  // of the run that was started last
  EXPECT_EQ(history->running_since(), std::nullopt);
}

TEST_F(HistoryTest, KeepsAtMostSomeRunsAndTheOldestThatHasNotEnded) {
  for (int i = 0; i < 1'000; ++i) {
    start(1'000 + i, "run-" + std::to_string(i));
    save();
  }
  EXPECT_EQ(history->running_since(), 1'000);
  EXPECT_LT(history->serialize().size(), 10'000U);
  for (int i = 0; i < 1'000; ++i) {
    succeed(3'000 + i, "other-" + std::to_string(i));
    save();
  }
  EXPECT_EQ(history->succeeded(), 1'000);
  EXPECT_LT(saved.size(), 10'000U);
}

TEST_F(HistoryTest, ShowsTheMessageOfTheLastRun) {
  send({Kind::failure, 1, ""}, 1, "disk full");
  EXPECT_EQ(history->message(), "disk full");
  send({Kind::start, {}, ""}, 2);
  EXPECT_EQ(history->message(), "disk full");
  send({Kind::success, 0, ""}, 3);
  EXPECT_EQ(history->message(), "");
}

TEST_F(HistoryTest, ToleratesAClockThatIsSetBack) {
  start(1'000);
  succeed(900);
  EXPECT_EQ(history->last_duration(), std::nullopt);
  EXPECT_EQ(history->last_heard(950), 900);  // the start is in the future
  EXPECT_EQ(history->last_heard(50), 50);    // all known times are in the future
  EXPECT_EQ(history->last_heard(60), 50);
}

TEST_F(HistoryTest, ShowsARunThatStartsAfterTheClockIsSetBack) {
  start(9'000, "a");
  succeed(9'010, "a");
  start(1'000, "b");
  EXPECT_EQ(history->running_since(), 1'000);
}

// ---- answers ------------------------------------------------------------------------------------

TEST_F(HistoryTest, AnswersWhenTheStateIsSaved) {
  start(1);
  EXPECT_TRUE(answers.empty());
  history->serialize();
  succeed(2);  // is not in the text that is being saved
  history->saved();
  EXPECT_EQ(answers, std::vector<int>{200});
  save();
  EXPECT_EQ(answers, (std::vector<int>{200, 200}));
}

TEST_F(HistoryTest, AsksForARetryIfTheStateCannotBeSaved) {
  succeed(1, "a");
  history->serialize();
  history->save_failed();
  EXPECT_EQ(answers, std::vector<int>{503});
  EXPECT_EQ(history->succeeded(), 1);  // published nevertheless
  succeed(2, "a");                     // the retry waits too
  EXPECT_EQ(answers, std::vector<int>{503});
  save();
  EXPECT_EQ(answers, (std::vector<int>{503, 200}));
  EXPECT_EQ(history->succeeded(), 1);
}

// Regression: a probe that replaced one whose run did not end confirmed what no file contained.
TEST_F(HistoryTest, ConfirmsNothingThatItsPredecessorHasNotSaved) {
  succeed(1, "a");
  saved = history->serialize();
  restart();
  answers.clear();  // the predecessor asked for a retry
  succeed(2, "a");
  EXPECT_TRUE(answers.empty());
  save();
  EXPECT_EQ(answers, std::vector<int>{200});
}

TEST_F(HistoryTest, LimitsTheRequestsThatWait) {
  for (int i = 0; i < 100; ++i) succeed(i, "run-" + std::to_string(i));
  EXPECT_EQ(answers, std::vector<int>(36, 503));
  save();
  EXPECT_EQ(history->succeeded(), 64);  // the others have no effect until they are repeated
  answers.clear();
  succeed(200, "run-99");
  save();
  EXPECT_EQ(history->succeeded(), 65);
  EXPECT_EQ(answers, std::vector<int>{200});
}

TEST_F(HistoryTest, AsksForARetryWhenItIsRemoved) {
  succeed(1);
  history.reset();
  EXPECT_EQ(answers, std::vector<int>{503});
}

// ---- notes --------------------------------------------------------------------------------------

TEST_F(HistoryTest, SurvivesARestart) {
  start(1'000, "a");
  send({Kind::failure, 7, "a"}, 1'010, "no \"space\"\nleft");
  succeed(1'500);
  start(2'000, "b");
  save();
  restart();
  EXPECT_EQ(history->last_start(), 2'000);
  EXPECT_EQ(history->last_failure(), 1'010);
  EXPECT_EQ(history->last_success(), 1'500);
  EXPECT_EQ(history->last_duration(), std::nullopt);
  EXPECT_EQ(history->last_exit_code(), 0);
  EXPECT_EQ(history->succeeded(), 1);
  EXPECT_EQ(history->failed(), 1);
  EXPECT_EQ(history->running_since(), 2'000);
  EXPECT_EQ(history->message(), "");
  EXPECT_EQ(history->last_heard(6'000), 2'000);
  EXPECT_EQ(history->serialize(), saved);
}

TEST_F(HistoryTest, AJobThatNeverReportedIsKnownSinceItsFirstStart) {
  EXPECT_GT(history->version(), 0U);  // it is saved
  save();
  restart();
  EXPECT_EQ(history->last_heard(6'000), 100);
}

TEST_F(HistoryTest, IgnoresNotesThatItCannotRead) {
  for (
      const std::string text :
      {"", "{", "[]", "{}", R"({"runs": 1})", R"({"succeeded": "x", "failed": 0})",
       R"({"known_since":1e99,"succeeded":1,"failed":0,"failures_in_a_row":0,"message":"","runs":[]})"}) {
    saved = text;
    restart();
    EXPECT_EQ(history->last_heard(6'000), 5'000) << text;
    EXPECT_EQ(history->last_success(), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace vitalsd::job
