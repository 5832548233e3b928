// A map that removes values that are no longer used, such as those of a replaced configuration or
// of a rotated certificate.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>

namespace vitalsd::net {

template <class Value>
class RecentlyUsed {
 public:
  using Clock = std::chrono::steady_clock;

  /// A value that has not been used for `keep` is removed when another value is used.
  explicit RecentlyUsed(Clock::duration keep = std::chrono::hours(1)) : keep_(keep) {}

  /// The value of `key`; a new one if there is none. Valid until the next call.
  Value& operator[](const std::string& key) {
    const Clock::time_point now = Clock::now();
    if (now >= next_sweep_) {
      std::erase_if(entries_, [&](const auto& entry) { return entry.second.used + keep_ <= now; });
      next_sweep_ = now + keep_ / 4;
    }
    Entry& entry = entries_[key];
    entry.used = now;
    return entry.value;
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Clock::time_point used{};
    Value value{};
  };

  Clock::duration keep_;
  Clock::time_point next_sweep_{};
  std::map<std::string, Entry> entries_;
};

}  // namespace vitalsd::net
