#include "daemon/state_file.hpp"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "unit/support/no_descriptors.hpp"
#include "unit/support/temp_directory.hpp"
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace {

int flock_error = 0;  // instead of a lock; 0: none

}  // namespace

// Replaces that of libc in the test program, because file systems without locks are rare.
extern "C" int flock(int file, int operation) noexcept {
  static auto* const original = reinterpret_cast<int (*)(int, int)>(dlsym(RTLD_NEXT, "flock"));
  if (flock_error == 0) return original(file, operation);
  errno = flock_error;
  return -1;
}

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using test::TempDirectory;

SavedState one_probe(std::vector<StoredFact> facts) {
  return {{"p", {"backup", "/backups", {std::nullopt, std::move(facts), {}}}}};
}

std::string error_of(std::string_view text) {
  const auto state = parse_state(text);
  return state ? "none" : state.error();
}

TEST(StateFile, RoundTrips) {
  const std::chrono::system_clock::time_point success(1767225600s + 250ms);
  const std::vector<StoredFact> facts = {
      {"", "backup_last_success_timestamp_seconds", {}, 1767225600},
      {"a/b \"é\"\n", "cert_expiry_timestamp", {"cn", "", "\\"}, -0.1, "n1"}};
  SavedState state = one_probe(facts);
  state["p"].memory.last_success = success;
  state["p"].memory.fact_times = {{"", success}, {"a/b \"é\"\n", success - 1h}};
  state["p"].memory.notes = R"({"read": "to the \"end\""})";
  state["q"] = {"tcp", "h:1", {}};

  const auto read = parse_state(serialize_state(state));
  ASSERT_TRUE(read) << read.error();
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->at("p").kind, "backup");
  EXPECT_EQ(read->at("p").target, "/backups");
  EXPECT_EQ(read->at("p").memory.last_success, success);
  EXPECT_EQ(read->at("p").memory.facts, facts);
  EXPECT_EQ(read->at("p").memory.fact_times, state["p"].memory.fact_times);
  EXPECT_EQ(read->at("p").memory.notes, state["p"].memory.notes);
  EXPECT_EQ(read->at("q").memory.notes, "");
  EXPECT_EQ(read->at("q").memory.last_success, std::nullopt);
  EXPECT_TRUE(read->at("q").memory.facts.empty());
}

// A value that changes in the file would trigger rules about changes.
TEST(StateFile, KeepsValuesExactly) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<StoredFact> facts;
  for (const double value : {kInfinity, -kInfinity, 5e-324, 1.7976931348623157e308, 1.0 / 3}) {
    facts.push_back({"", "m", {}, value});
  }
  std::mt19937_64 random(9747);
  for (int i = 0; i < 1'000; ++i) {
    facts.push_back({"", "m", {}, 1.7e9 + std::ldexp(static_cast<double>(random()), -40)});
  }
  const auto read = parse_state(serialize_state(one_probe(facts)));
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->at("p").memory.facts, facts);
}

TEST(StateFile, ReportsDamagedText) {
  const std::string good = serialize_state(one_probe({{"", "m", {"l"}, 1}}));
  EXPECT_EQ(error_of(good), "none");
  for (std::size_t size = 0; size < good.find_last_of('}'); ++size) {
    EXPECT_TRUE(error_of(good.substr(0, size)).starts_with("damaged: ")) << size;
  }
  for (const char* text : {"[]", "{}", "5", R"({"version":"1","probes":{}})", R"({"version":1})",
                           R"({"version":1,"probes":[]})", R"({"version":1,"probes":{"p":5}})",
                           R"({"version":1,"probes":{"p":{"kind":"k","target":"t"}}})"}) {
    EXPECT_TRUE(error_of(text).starts_with("damaged: ")) << text;
  }
}

TEST(StateFile, ReportsAnotherVersion) {
  EXPECT_EQ(error_of(R"({"version":2,"probes":{}})"), "written by another version of vitalsd");
}

class StateFileTest : public testing::Test {
 protected:
  StateFile file() { return StateFile(directory.path(""), {}); }
  static std::string text(double value) {
    return serialize_state(one_probe({{"", "m", {}, value}}));
  }
  static double value(const SavedState& state) { return state.at("p").memory.facts.at(0).value; }
  // Names of the files that were moved aside.
  [[nodiscard]] std::vector<std::string> aside() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory.path(""))) {
      const std::string name = entry.path().filename().string();
      if (name.contains(".unusable-")) names.push_back(name);
    }
    return names;
  }

  TempDirectory directory;
  static bool allow() { return true; }
};

TEST_F(StateFileTest, MissingFileIsEmpty) {
  const auto state = file().load();
  ASSERT_TRUE(state) << state.error().problem;
  EXPECT_TRUE(state->empty());
}

TEST_F(StateFileTest, ReportsAnUnreadableFile) {
  StateFile file(directory.file("plain", ""), {});
  const std::string path = directory.path("plain/state.json");
  const auto state = file.load();
  ASSERT_FALSE(state);
  EXPECT_TRUE(state.error().problem.starts_with("cannot read " + path + ": Not a directory"));
}

TEST_F(StateFileTest, ReplacesTheFileAtomically) {
  const std::string path = directory.file("state.json", text(1));
  const std::string open = directory.path("open");
  fs::create_hard_link(path, open);  // represents a reader of the old file
  EXPECT_EQ(file().save(text(2), allow).problem, "");
  EXPECT_EQ(test::read_file(path), text(2));
  EXPECT_EQ(test::read_file(open), text(1));
  EXPECT_FALSE(fs::exists(path + ".new"));
}

TEST_F(StateFileTest, FileIsReadableByTheOwnerOnly) {
  EXPECT_EQ(file().save("x", allow).problem, "");
  using fs::perms;
  EXPECT_EQ(fs::status(directory.path("state.json")).permissions(),
            perms::owner_read | perms::owner_write);
}

TEST_F(StateFileTest, ReportsWhySavingFailed) {
  const std::string missing = directory.path("missing");
  const StateFile::Result result = StateFile(missing, {}).save("x", allow);
  EXPECT_EQ(result.saved, StateFile::Saved::failed);
  EXPECT_EQ(result.problem,
            "cannot open " + missing + "/state.json.lock: No such file or directory");
  const std::string occupied = directory.path("state.json");
  fs::create_directories(occupied + "/full");
  EXPECT_EQ(file().save("x", allow).problem, "cannot replace " + occupied + ": Is a directory");
}

// Another daemon in the same directory, or the previous one that has not ended yet.
TEST_F(StateFileTest, DoesNotSaveWhileAnotherProcessHoldsTheLock) {
  StateFile second = file();
  {
    StateFile first = file();
    EXPECT_EQ(first.save(text(1), allow).saved, StateFile::Saved::yes);
    EXPECT_EQ(value(second.load().value()), 1);  // reading does not need the lock
    const StateFile::Result result = second.save(text(2), allow);
    EXPECT_EQ(result.saved, StateFile::Saved::locked);
    EXPECT_EQ(result.problem,
              "another process has locked " + directory.path("state.json") + ".lock");
    EXPECT_EQ(test::read_file(directory.path("state.json")), text(1));
  }
  EXPECT_EQ(second.save(text(2), allow).saved, StateFile::Saved::yes);
  EXPECT_EQ(test::read_file(directory.path("state.json")), text(2));
}

// Some network file systems have no locks.
TEST_F(StateFileTest, SavesWithoutALockIfTheFileSystemHasNone) {
  flock_error = EOPNOTSUPP;
  StateFile unlocked = file();
  const StateFile::Result first = unlocked.save(text(1), allow);
  const StateFile::Result second = unlocked.save(text(2), allow);
  flock_error = 0;
  EXPECT_EQ(first.saved, StateFile::Saved::yes);
  EXPECT_EQ(first.problem, "cannot lock " + directory.path("state.json.lock") +
                               ": Operation not supported: two processes could write this file");
  EXPECT_EQ(second.saved, StateFile::Saved::yes);
  EXPECT_EQ(second.problem, "");  // it is reported once
  EXPECT_EQ(test::read_file(directory.path("state.json")), text(2));
}

TEST_F(StateFileTest, KeepsTheFileIfTheProcessEndsDuringASave) {
  const std::string path = directory.file("state.json", text(1));
  const auto end = [] { return std::raise(SIGKILL) == 0; };  // before the file is replaced
  EXPECT_EXIT(std::ignore = file().save(text(2), end), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(test::read_file(path), text(1));
  EXPECT_EQ(file().save(text(3), allow).saved, StateFile::Saved::yes);
  EXPECT_EQ(test::read_file(path), text(3));
}

TEST_F(StateFileTest, DoesNotReplaceTheFileAfterCancellation) {
  const std::string path = directory.file("state.json", text(1));
  EXPECT_EQ(file().save(text(2), [] { return false; }).saved, StateFile::Saved::cancelled);
  EXPECT_EQ(test::read_file(path), text(1));
}

TEST_F(StateFileTest, MovesAFileOfAnotherVersionAside) {
  const std::string other = R"({"version":2,"probes":{}})";
  std::ignore = directory.file("state.json", other);
  StateFile state_file = file();
  const auto state = state_file.load();
  ASSERT_FALSE(state);
  ASSERT_EQ(aside().size(), 1U);
  EXPECT_EQ(state.error().problem,
            "written by another version of vitalsd; moved to " + directory.path(aside()[0]));
  EXPECT_EQ(test::read_file(directory.path(aside()[0])), other);
  EXPECT_EQ(state_file.save(text(1), allow).saved, StateFile::Saved::yes);
}

TEST_F(StateFileTest, KeepsAllFilesMovedAsideInOneSecond) {
  StateFile state_file = file();
  for (const char* text : {"{", "[", "nonsense"}) {
    std::ignore = directory.file("state.json", text);
    EXPECT_FALSE(state_file.load());
  }
  EXPECT_EQ(aside().size(), 3U);
}

TEST_F(StateFileTest, MovesADamagedFileAsideOnlyWithTheLock) {
  const std::string path = directory.file("state.json", "{");
  StateFile second = file();
  {
    StateFile first = file();
    std::ignore = first.save("{", allow);
    EXPECT_FALSE(second.load());
    EXPECT_TRUE(aside().empty());
  }
  EXPECT_EQ(second.save(text(1), allow).saved, StateFile::Saved::yes);
  ASSERT_EQ(aside().size(), 1U);
  EXPECT_EQ(test::read_file(directory.path(aside()[0])), "{");
  EXPECT_EQ(test::read_file(path), text(1));
}

TEST_F(StateFileTest, DoesNotBlockOnAFifo) {
  ASSERT_EQ(mkfifo(directory.path("state.json").c_str(), 0600), 0);
  EXPECT_FALSE(file().load());
  EXPECT_EQ(aside().size(), 1U);
}

// The file was written by the previous holder of the lock.
TEST_F(StateFileTest, LoadsAChangedFileBeforeReplacingIt) {
  const std::string path = directory.file("state.json", text(1));
  StateFile state_file = file();
  EXPECT_EQ(value(state_file.load().value()), 1);
  std::ignore = directory.file("state.json", text(22));
  EXPECT_EQ(state_file.save(text(3), allow).saved, StateFile::Saved::changed);
  EXPECT_EQ(value(state_file.load().value()), 22);
  EXPECT_EQ(state_file.save(text(3), allow).saved, StateFile::Saved::yes);
  EXPECT_EQ(state_file.save(text(4), allow).saved, StateFile::Saved::yes);
  EXPECT_EQ(test::read_file(path), text(4));
}

TEST_F(StateFileTest, KeepsAFileThatCannotBeReadTemporarily) {
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
  std::ignore = directory.file("state.json", text(1));
  StateFile state_file = file();
  {
    const test::NoDescriptors none;
    const auto state = state_file.load();
    ASSERT_FALSE(state);
    EXPECT_TRUE(state.error().is_transient) << state.error().problem;
  }
  EXPECT_TRUE(aside().empty());
  EXPECT_EQ(value(state_file.load().value()), 1);
}

TEST_F(StateFileTest, EachShardHasItsOwnFile) {
  std::ignore = directory.file("state.json", text(7));  // as earlier versions wrote it
  StateFile first(directory.path(""), {.index = 0, .count = 2});
  StateFile second(directory.path(""), {.index = 1, .count = 2});
  EXPECT_EQ(value(first.load().value()), 7);
  EXPECT_EQ(first.save(text(1), allow).saved, StateFile::Saved::yes);
  EXPECT_EQ(second.save(text(2), allow).saved, StateFile::Saved::yes);
  EXPECT_EQ(test::read_file(directory.path("state-0-of-2.json")), text(1));
  EXPECT_EQ(test::read_file(directory.path("state-1-of-2.json")), text(2));
  EXPECT_EQ(value(first.load().value()), 1);
  EXPECT_EQ(test::read_file(directory.path("state.json")), text(7));
}

}  // namespace
}  // namespace vitalsd
