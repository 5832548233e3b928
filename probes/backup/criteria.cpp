#include "probes/backup/criteria.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <fnmatch.h>

namespace vitalsd::backup {

Criteria::Criteria(config::Node& options)
    : pattern_(
          options.get<std::string>("pattern", "*", "pattern of the names; * and ? are allowed")),
      min_size_(options.get<config::Bytes>(
          "min_size", config::Bytes{1}, "a smaller file or object does not count as a backup")) {}

bool Criteria::accepts(std::string_view name, std::uint64_t size, Tally& tally) const {
  if (!matches(name)) {
    ++tally.unmatched;
    return false;
  }
  if (size < min_size_.value) {
    ++tally.too_small;
    return false;
  }
  return true;
}

bool Criteria::matches(std::string_view name) const {
  constexpr std::array<std::string_view, 5> kUnfinished = {".tmp", ".part", ".partial",
                                                           ".incomplete", ".filepart"};
  const std::string_view base = name.substr(name.rfind('/') + 1);
  // "Folders" of S3 have no base name. rsync's temporary files begin with a dot.
  if (base.empty() || base.starts_with('.')) return false;
  if (std::ranges::any_of(kUnfinished, [&](std::string_view end) { return base.ends_with(end); })) {
    return false;
  }
  return fnmatch(pattern_.c_str(), std::string(name).c_str(), 0) == 0;
}

bool is_from_future(const std::string& name, double modified, double now, Tally& tally) {
  constexpr double kTolerance = 86'400;  // seconds
  if (modified <= now + kTolerance) return false;
  if (tally.first_from_future.empty()) tally.first_from_future = name;
  ++tally.from_future;
  return true;
}

double now_unix() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace vitalsd::backup
