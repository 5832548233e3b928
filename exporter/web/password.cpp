#include "exporter/web/password.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <memory>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

namespace vitalsd {
namespace {

constexpr std::size_t kMaxHeaderBytes = 1024;
constexpr std::size_t kMaxCachedDigests = 64;
constexpr std::size_t kMaxPending = 8;

bool matches(const std::string& password, const std::string& hash) {
  const auto data = std::make_unique<crypt_data>();  // 32 KiB: too large for a stack
  const char* computed = crypt_r(password.c_str(), hash.c_str(), data.get());
  return computed != nullptr && std::string_view(computed).size() == hash.size() &&
         CRYPTO_memcmp(computed, hash.data(), hash.size()) == 0;
}

// The cost of a hash as its base-2 logarithm: 12 for "$2b$12$...". 0 if it is not a hash.
int cost_of(std::string_view hash) {
  int cost = 0;
  if (hash.size() > 6) std::from_chars(hash.data() + 4, hash.data() + 6, cost);
  return cost;
}

// Continues a check of cost `from` up to the time of a check of cost `to`. A check of cost n takes
// twice as long as one of cost n - 1, so one further check at each cost from `from` to `to` - 1
// makes up the difference.
void spend_time(const std::string& password, int from, int to) {
  for (int cost = from; cost < to; ++cost) {
    const std::string number = std::to_string(cost);
    matches(password, std::string(cost < 10 ? "$2b$0" : "$2b$") + number + "$" +
                          std::string(22, '.') + std::string(31, '.'));
  }
}

bool has_basic_scheme(std::string_view authorization) {
  constexpr std::string_view kBasic = "basic ";
  return std::ranges::equal(
      authorization.substr(0, kBasic.size()), kBasic,
      [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

}  // namespace

std::string sha256(std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string decode_base64(std::string_view text) {
  // EVP_DecodeBlock accepts padding anywhere and surrounding spaces, so both are checked here.
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t letters = std::min(text.find_first_not_of(kAlphabet), text.size());
  const std::size_t padding = text.size() - letters;
  if (text.empty() || text.size() % 4 != 0 || padding > 2) return {};
  if (text.substr(letters) != std::string_view("==").substr(0, padding)) return {};
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return {};
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

boost::asio::awaitable<Passwords::Verdict> Passwords::check(std::string authorization) {
  constexpr std::size_t kScheme = std::string_view("Basic ").size();
  if (authorization.size() > kMaxHeaderBytes || !has_basic_scheme(authorization)) {
    co_return Verdict::refused;
  }
  const std::string digest = sha256(authorization);
  if (accepted_.contains(digest)) co_return Verdict::accepted;
  const std::string pair = decode_base64(std::string_view(authorization).substr(kScheme));
  const std::size_t colon = pair.find(':');
  if (colon == std::string::npos || pair.contains('\0')) co_return Verdict::refused;
  if (*pending_ >= kMaxPending) co_return Verdict::busy;
  const std::string user = pair.substr(0, colon);
  const std::string password = pair.substr(colon + 1);
  const auto known = std::ranges::find(users_, user, &std::pair<std::string, std::string>::first);
  const auto costliest =
      std::ranges::max_element(users_, {}, [](const auto& entry) { return cost_of(entry.second); });
  // All refusals take the same time: for unknown users and for the hashes of all users.
  const std::string& hash = known == users_.end() ? costliest->second : known->second;
  const auto check = [](std::string secret, std::string expected,
                        int cost) -> boost::asio::awaitable<bool> {
    const bool matched = matches(secret, expected);
    if (!matched) spend_time(secret, cost_of(expected), cost);
    co_return matched;
  };
  if (!thread_) thread_.emplace(1);
  const auto release = [](std::atomic<std::size_t>* pending) { --*pending; };
  const std::shared_ptr<std::atomic<std::size_t>> kept = pending_;
  const std::unique_ptr<std::atomic<std::size_t>, decltype(release)> pending_guard(kept.get());
  ++*kept;
  const bool matched = co_await boost::asio::co_spawn(
      *thread_, check(password, hash, cost_of(costliest->second)), boost::asio::use_awaitable);
  if (!matched || known == users_.end()) co_return Verdict::refused;
  if (accepted_.size() >= kMaxCachedDigests) accepted_.clear();
  accepted_.insert(digest);
  co_return Verdict::accepted;
}

}  // namespace vitalsd
