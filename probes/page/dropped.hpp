// The lines of pages that are not published, by reason. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::page {

/// Why a line was left out.
enum class Dropped : unsigned char {
  invalid,    ///< not a valid line, or longer than the limit
  duplicate,  ///< the page has the series twice
  limit,      ///< the page has too many series or families
  type,       ///< another target publishes the family with another type
  name,       ///< another family has samples of the same name
  declared,   ///< vitalsd declares the family with another type
  count,      ///< the count of a histogram, replaced by that of its last bucket
};
constexpr std::array<std::string_view, 7> kDroppedNames = {"invalid", "duplicate", "limit", "type",
                                                           "name",    "declared",  "count"};

class DroppedLines {
 public:
  /// `family` is the family of the lines; empty if it is unknown.
  void add(Dropped reason, std::size_t lines = 1, std::string_view family = {}) {
    counts_[static_cast<std::size_t>(reason)] += lines;
    if (!family.empty()) remember(static_cast<std::size_t>(reason), family);
  }

  void add(const DroppedLines& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts_[i] += other.counts_[i];
      for (const std::string& family : other.families_[i]) remember(i, family);
    }
  }

  bool operator==(const DroppedLines&) const = default;
  [[nodiscard]] std::uint64_t operator[](Dropped reason) const {
    return counts_[static_cast<std::size_t>(reason)];
  }

  /// The number of lines that are not published.
  [[nodiscard]] std::uint64_t total() const {
    const std::uint64_t all = std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
    return all - (*this)[Dropped::count];  // these lines are published with another value
  }

  /// The reason, with the first families: "declared: process_open_fds, pg_up".
  [[nodiscard]] std::string text(Dropped reason) const {
    const auto i = static_cast<std::size_t>(reason);
    std::string out(kDroppedNames[i]);
    for (const std::string& family : families_[i]) {
      out += &family == families_[i].data() ? ": " : ", ";
      out += families_[i].size() > kShown && &family == &families_[i].back() ? "…" : family;
    }
    return out;
  }

 private:
  static constexpr std::size_t kShown = 3;

  void remember(std::size_t reason, std::string_view family) {
    std::vector<std::string>& known = families_[reason];
    if (known.size() <= kShown && std::ranges::find(known, family) == known.end()) {
      known.emplace_back(family);
    }
  }

  std::array<std::uint64_t, kDroppedNames.size()> counts_{};
  std::array<std::vector<std::string>, kDroppedNames.size()> families_;  // one more than is shown
};

}  // namespace vitalsd::page
