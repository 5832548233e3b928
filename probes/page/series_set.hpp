// A set of series by hash. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace vitalsd::page {

/// A 64-bit hash of a text and of `seed`. It is fast and not cryptographic: a target that creates
/// collisions only loses lines of its own.
inline std::uint64_t hash_of(std::string_view text, std::uint64_t seed = 0) {
  const auto fold = [](std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
  };
  const auto read = [](const char* from, auto word) -> std::uint64_t {
    std::memcpy(&word, from, sizeof(word));
    return word;
  };
  constexpr std::uint64_t kFirst = 0x9e3779b97f4a7c15U;
  constexpr std::uint64_t kSecond = 0xd6e8feb86659fd93U;
  const char* at = text.data();
  const char* const end = at + text.size();
  std::uint64_t hash = seed ^ text.size() * kSecond;
  for (; end - at > 16; at += 16) {
    hash = fold(read(at, std::uint64_t{}) ^ kFirst, read(at + 8, std::uint64_t{}) ^ hash);
  }
  // Hashes the rest as two words, which overlap if the rest is shorter.
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  if (const auto left = end - at; left >= 8) {
    low = read(at, std::uint64_t{});
    high = read(end - 8, std::uint64_t{});
  } else if (left >= 4) {
    low = read(at, std::uint32_t{});
    high = read(end - 4, std::uint32_t{});
  } else if (left > 0) {
    low = read(at, std::uint8_t{}) << 16U | read(at + left / 2, std::uint8_t{}) << 8U |
          read(end - 1, std::uint8_t{});
  }
  return fold(fold(low ^ kFirst, high ^ hash), kSecond);
}

/// A hash table with open addressing and eight bytes per entry. At most half of the entries are
/// used.
class SeriesSet {
 public:
  /// Returns false if the set already has the hash.
  bool insert(std::uint64_t hash) {
    if (2 * (size_ + 1) > places_.size()) grow(2 * size_ + 1);
    std::uint64_t& place = find(hash | 1U);
    if (place != 0) return false;
    place = hash | 1U;
    ++size_;
    return true;
  }
  /// Makes a later insert() of the hash faster, because the memory is loaded in the meantime.
  void prefetch(std::uint64_t hash) const {
    if (!places_.empty()) __builtin_prefetch(&places_[index(hash)]);
  }
  /// Reserves memory for `count` hashes.
  void reserve(std::size_t count) {
    if (2 * count > places_.size()) grow(count);
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  // Scales the hash to the number of places, which need not be a power of two.
  [[nodiscard]] std::size_t index(std::uint64_t hash) const {
    return static_cast<std::size_t>(static_cast<unsigned __int128>(hash) * places_.size() >> 64U);
  }
  std::uint64_t& find(std::uint64_t hash) {
    std::size_t at = index(hash);
    while (places_[at] != 0 && places_[at] != hash) at = at + 1 == places_.size() ? 0 : at + 1;
    return places_[at];
  }
  void grow(std::size_t count) {
    constexpr std::size_t kFirst = 16;
    std::vector<std::uint64_t> old(std::max(kFirst, 2 * count));
    old.swap(places_);
    for (const std::uint64_t hash : old) {
      if (hash != 0) find(hash) = hash;
    }
  }

  std::vector<std::uint64_t> places_;  // 0: free entry
  std::size_t size_ = 0;
};

}  // namespace vitalsd::page
