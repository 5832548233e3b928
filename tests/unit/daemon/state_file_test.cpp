#include "daemon/state_file.hpp"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
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
      {"a/b \"é\"\n", "cert_expiry_timestamp", {"cn", "", "\\"}, -0.1}};
  SavedState state = one_probe(facts);
  state["p"].memory.last_success = success;
  state["p"].memory.notes = R"({"read": "to the \"end\""})";
  state["q"] = {"tcp", "h:1", {}};

  const auto read = parse_state(serialize_state(state));
  ASSERT_TRUE(read) << read.error();
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->at("p").kind, "backup");
  EXPECT_EQ(read->at("p").target, "/backups");
  EXPECT_EQ(read->at("p").memory.last_success, success);
  EXPECT_EQ(read->at("p").memory.facts, facts);
  EXPECT_EQ(read->at("p").memory.notes, state["p"].memory.notes);
  EXPECT_EQ(read->at("q").memory.notes, "");
  EXPECT_EQ(read->at("q").memory.last_success, std::nullopt);
  EXPECT_TRUE(read->at("q").memory.facts.empty());
}

// A value that came back changed would look like news to a rule.
TEST(StateFile, KeepsValuesToTheLastBit) {
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

TEST(StateFile, ThatIsDamagedIsReported) {
  const std::string good = serialize_state(one_probe({{"", "m", {"l"}, 1}}));
  EXPECT_EQ(error_of(good), "none");
  for (std::size_t size = 0; size < good.find_last_of('}'); ++size) {
    EXPECT_TRUE(error_of(good.substr(0, size)).starts_with("it is damaged: ")) << size;
  }
  for (const char* text : {"[]", "{}", "5", R"({"version":"1","probes":{}})", R"({"version":1})",
                           R"({"version":1,"probes":[]})", R"({"version":1,"probes":{"p":5}})",
                           R"({"version":1,"probes":{"p":{"kind":"k","target":"t"}}})"}) {
    EXPECT_TRUE(error_of(text).starts_with("it is damaged: ")) << text;
  }
}

TEST(StateFile, OfAnotherVersionIsReported) {
  EXPECT_EQ(error_of(R"({"version":2,"probes":{}})"),
            "it was written by another version of vitalsd");
}

TEST(StateFile, ThatIsNotThereYetIsEmpty) {
  const TempDirectory directory;
  const auto state = load_state(state_file_path(directory.path("")));
  ASSERT_TRUE(state);
  EXPECT_TRUE(state->empty());
}

TEST(StateFile, ThatCannotBeReadIsReported) {
  const TempDirectory directory;
  const std::string path = directory.file("plain", "") + "/state.json";
  EXPECT_EQ(load_state(path).error(), "cannot read " + path + ": Not a directory");
}

TEST(SaveState, ReplacesTheFileAsAWhole) {
  const TempDirectory directory;
  const std::string path = directory.file("state.json", "old");
  const std::string open = directory.path("open");
  std::filesystem::create_hard_link(path, open);  // as if somebody were reading it
  EXPECT_EQ(save_state(path, "new\n"), "");
  EXPECT_EQ(test::read_file(path), "new\n");
  EXPECT_EQ(test::read_file(open), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(SaveState, IsNobodyElsesToRead) {
  const TempDirectory directory;
  const std::string path = directory.path("state.json");
  EXPECT_EQ(save_state(path, "x"), "");
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(path).permissions(), perms::owner_read | perms::owner_write);
}

TEST(SaveState, SaysWhatWentWrong) {
  const TempDirectory directory;
  const std::string missing = directory.path("missing/state.json");
  EXPECT_EQ(save_state(missing, "x"),
            "cannot write " + missing + ".new: No such file or directory");
  const std::string taken = directory.path("state.json");
  std::filesystem::create_directories(taken + "/full");
  EXPECT_EQ(save_state(taken, "x"), "cannot replace " + taken + ": Is a directory");
  EXPECT_TRUE(save_state("/dev/full/x", "x").starts_with("cannot write /dev/full/x.new: "));
}

}  // namespace
}  // namespace vitalsd
