#include "probes/page/series_set.hpp"

#include <cstdint>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd::page {
namespace {

TEST(SeriesSet, HasWhatWasInserted) {
  std::mt19937_64 random(19);
  std::set<std::uint64_t> expected;
  SeriesSet set;
  set.reserve(100);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t hash = random() % 30'000 * 0x9e3779b97f4a7c15U | 1U;
    EXPECT_EQ(set.insert(hash), expected.insert(hash).second);
  }
  EXPECT_EQ(set.size(), expected.size());
}

TEST(SeriesSet, HashDependsOnEveryByte) {
  std::set<std::uint64_t> hashes;
  for (std::size_t size = 0; size < 40; ++size) {
    std::string text(size, 'a');
    hashes.insert(hash_of(text));
    for (char& c : text) {
      c = 'b';
      hashes.insert(hash_of(text));
      c = 'a';
    }
  }
  EXPECT_EQ(hashes.size(), 40U + 39U * 40U / 2U);
}

}  // namespace
}  // namespace vitalsd::page
