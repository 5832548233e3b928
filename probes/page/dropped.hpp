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
  /// `example` is the family of the lines, or the place of the first one if its family is unknown.
  void add(Dropped reason, std::size_t lines, std::string_view example) {
    counts_[static_cast<std::size_t>(reason)] += lines;
    std::vector<std::string>& known = examples_[static_cast<std::size_t>(reason)].names;
    if (known.size() <= kShown && std::ranges::find(known, example) == known.end()) {
      known.emplace_back(example);
    }
  }

  /// `page` is the page that `other` is about. The examples of a reason are those of the first
  /// page.
  void add(const DroppedLines& other, std::string_view page) {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts_[i] += other.counts_[i];
      if (!examples_[i].names.empty() || other.examples_[i].names.empty()) continue;
      examples_[i] = {.names = other.examples_[i].names, .page = std::string(page)};
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

  /// All reasons of total() with the number of lines and the first examples, at most 480 bytes:
  /// "2 declared: process_open_fds, pg_up (http://app:80/metrics); 1 invalid: line 7 (...)". Empty
  /// if there are none.
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::size_t kShown = 3;

  struct Examples {
    std::vector<std::string> names;  // one more than is shown
    std::string page;
    bool operator==(const Examples&) const = default;
  };

  std::array<std::uint64_t, kDroppedNames.size()> counts_{};
  std::array<Examples, kDroppedNames.size()> examples_;
};

}  // namespace vitalsd::page
