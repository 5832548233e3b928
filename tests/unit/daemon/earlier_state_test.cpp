// State files that earlier versions wrote: see tests/data/state/README.md.
#include "daemon/state_file.hpp"
#include "probes/kubernetes/logs/log_counts.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

SavedState read(const std::string& file) {
  const auto state = parse_state(test::read_file(VITALSD_TEST_DATA "/state/" + file));
  EXPECT_TRUE(state) << state.error();
  return state.value_or(SavedState());
}

TEST(EarlierState, HasTheFactsOf9842ba9) {
  const SavedState state = read("9842ba9-facts.json");
  ASSERT_EQ(state.size(), 3U);
  const SavedProbe& files = state.at("files");
  EXPECT_EQ(files.kind, "certificate");
  EXPECT_EQ(files.target, "/srv/vitalsd-test/tls/*.pem");
  EXPECT_EQ(files.memory.last_success,
            std::chrono::system_clock::time_point(1795896150948735843ns));
  const std::string shop = "/srv/vitalsd-test/tls/shop.pem";
  const StoredFact expiry = {
      shop, "cert_expiry_timestamp", {"shop \"café\" one", shop}, 1827432146};
  ASSERT_EQ(files.memory.facts.size(), 4U);
  EXPECT_EQ(files.memory.facts[2], expiry);
  EXPECT_EQ(state.at("backups").memory.facts.size(), 3U);
  EXPECT_EQ(state.at("ssh").kind, "tcp");
}

TEST(EarlierState, HasTheCountsAndPositionsOf9842ba9) {
  const SavedState state = read("9842ba9-logs.json");
  ASSERT_EQ(state.size(), 1U);
  const SavedProbe& logs = state.at("logs");
  EXPECT_EQ(logs.target, "logs of pods in test-e0415fb9");
  const auto pattern = [](std::string_view name) {
    return kubernetes::LogPattern{.name = std::string(name),
                                  .match = *config::Scalar<net::Pattern>::parse("x")};
  };
  kubernetes::LogCounts counts({pattern("error"), pattern("authentication")});
  counts.restore(logs.memory.notes);
  ASSERT_EQ(counts.rows().size(), 1U);
  const auto& [key, row] = *counts.rows().begin();
  EXPECT_EQ(key, std::pair(std::string("test-e0415fb9"), std::string("main")));
  EXPECT_EQ(row.saved, (std::vector<std::uint64_t>{8000, 0}));
  EXPECT_EQ(row.last_seen, 1795897654);
  EXPECT_EQ(counts.position("test-e0415fb9/writer/main").state(),
            (kubernetes::LogPosition::State{1795897644835762478, 134, 156}));
  // Lines from the start of counting on are counted, also those of other containers.
  EXPECT_FALSE(counts.position("a/b/c").take(1795897583624675019));
  EXPECT_TRUE(counts.position("a/b/c").take(1795897583624675020));
}

}  // namespace
}  // namespace vitalsd
