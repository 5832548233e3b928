#include "exporter/web/password.hpp"

#include <algorithm>
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

constexpr std::size_t kLongestHeader = 1024;
constexpr std::size_t kMostRemembered = 64;

std::string sha256(std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

bool matches(const std::string& password, const std::string& hash) {
  const auto data = std::make_unique<crypt_data>();  // 32 KiB: not for a stack
  const char* computed = crypt_r(password.c_str(), hash.c_str(), data.get());
  return computed != nullptr && std::string_view(computed).size() == hash.size() &&
         CRYPTO_memcmp(computed, hash.data(), hash.size()) == 0;
}

}  // namespace

std::string decode_base64(std::string_view text) {
  // OpenSSL takes padding anywhere, and blanks around.
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

boost::asio::awaitable<bool> Passwords::accepts(std::string authorization) {
  constexpr std::string_view kBasic = "Basic ";
  if (authorization.size() > kLongestHeader || !authorization.starts_with(kBasic)) co_return false;
  const std::string digest = sha256(authorization);
  if (accepted_.contains(digest)) co_return true;
  const std::string pair = decode_base64(std::string_view(authorization).substr(kBasic.size()));
  const std::size_t colon = pair.find(':');
  if (colon == std::string::npos || pair.contains('\0')) co_return false;
  const std::string user = pair.substr(0, colon);
  const std::string password = pair.substr(colon + 1);
  const auto known = std::ranges::find(users_, user, &std::pair<std::string, std::string>::first);
  // An unknown user costs the same time as a wrong password.
  const std::string& hash = known == users_.end() ? users_.front().second : known->second;
  const auto check = [](std::string secret, std::string expected) -> boost::asio::awaitable<bool> {
    co_return matches(secret, expected);
  };
  if (!thread_) thread_.emplace(1);
  const bool right =
      co_await boost::asio::co_spawn(*thread_, check(password, hash), boost::asio::use_awaitable);
  if (!right || known == users_.end()) co_return false;
  if (accepted_.size() >= kMostRemembered) accepted_.clear();
  accepted_.insert(digest);
  co_return true;
}

}  // namespace vitalsd
