// A set of series by hash. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace vitalsd::page {

/// 64 bits of two texts, fast rather than strong: a target that forges collisions loses its own
/// lines.
inline std::uint64_t hash_of(std::string_view name, std::string_view value = {}) {
  constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15U;
  const auto fold = [](std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
  };
  std::uint64_t hash = (name.size() << 32U | value.size()) + kFactor;
  for (std::string_view text : {name, value}) {
    std::uint64_t word = 0;
    for (; text.size() >= sizeof(word); text.remove_prefix(sizeof(word))) {
      std::memcpy(&word, text.data(), sizeof(word));
      hash = fold(hash ^ word, kFactor);
    }
    word = 0;
    if (!text.empty()) std::memcpy(&word, text.data(), text.size());
    hash = fold(hash ^ word, 0xd6e8feb86659fd93U);
  }
  return hash;
}

/// Open addressing, eight bytes for each place, at most two thirds of them used.
class SeriesSet {
 public:
  /// Returns false if the set already has the hash.
  bool insert(std::uint64_t hash) {
    if (3 * (size_ + 1) > 2 * places_.size()) grow();
    std::uint64_t& place = find(hash | 1U);
    if (place != 0) return false;
    place = hash | 1U;
    ++size_;
    return true;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::uint64_t& find(std::uint64_t hash) {
    const std::size_t mask = places_.size() - 1;
    std::size_t at = (hash >> 20U) & mask;
    while (places_[at] != 0 && places_[at] != hash) at = (at + 1) & mask;
    return places_[at];
  }
  void grow() {
    constexpr std::size_t kFirst = 16;
    std::vector<std::uint64_t> old(places_.empty() ? kFirst : 2 * places_.size());
    old.swap(places_);
    for (const std::uint64_t hash : old) {
      if (hash != 0) find(hash) = hash;
    }
  }

  std::vector<std::uint64_t> places_;  // 0: free
  std::size_t size_ = 0;
};

}  // namespace vitalsd::page
