// Which files or objects of a store count as backups, as far as their entries in the list tell.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace vitalsd::backup {

/// An entry of the list.
struct Candidate {
  std::string name;
  std::uint64_t size = 0;  ///< bytes
  double modified = 0;     ///< Unix time
  std::uint64_t inode = 0;
};

/// The number of entries by result.
struct Tally {
  double good = 0;
  double unmatched = 0;
  double too_small = 0;
  double being_written = 0;
  double broken = 0;
  double from_future = 0;
  std::string first_from_future;  ///< name
};

class Criteria {
 public:
  explicit Criteria(config::Node& options);

  /// Whether the name and the size are those of a backup. If not, counts the entry in `tally`.
  bool accepts(std::string_view name, std::uint64_t size, Tally& tally) const;

 private:
  [[nodiscard]] bool matches(std::string_view name) const;

  std::string pattern_;
  config::Bytes min_size_;
};

/// Whether a modification time is more than a day after `now`, which no difference between clocks
/// explains. Such a backup would count as fresh for too long. Counts the entry in `tally`.
bool is_from_future(const std::string& name, double modified, double now, Tally& tally);

/// Unix time, in seconds.
double now_unix();

}  // namespace vitalsd::backup
