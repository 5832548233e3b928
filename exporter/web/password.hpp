// Basic authentication against bcrypt hashes. A bcrypt check costs tens of milliseconds by design,
// so it runs on a thread of its own, few wait for it at a time, and what was once accepted is
// remembered by its digest.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>

namespace vitalsd {

class Passwords {
 public:
  /// Users and their bcrypt hashes.
  explicit Passwords(std::vector<std::pair<std::string, std::string>> users)
      : users_(std::move(users)) {}

  [[nodiscard]] bool required() const { return !users_.empty(); }

  enum class Verdict : unsigned char {
    accepted,
    refused,
    busy,  ///< as many as may are waiting for theirs
  };

  /// Whether an Authorization header ("Basic ...") names a user and its password. Called, and
  /// resumed, on the caller's executor. How long a refusal takes does not tell whether there is
  /// such a user.
  boost::asio::awaitable<Verdict> check(std::string authorization);

  /// Whether passwords are being checked, which the destructor waits for: seconds where a hash is
  /// costly. From any thread.
  [[nodiscard]] bool busy() const { return *pending_ > 0; }

 private:
  std::vector<std::pair<std::string, std::string>> users_;
  std::unordered_set<std::string> accepted_;  // digests of headers
  // Shared with the coroutines that it counts, which may outlive this.
  std::shared_ptr<std::atomic<std::size_t>> pending_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  std::optional<boost::asio::thread_pool> thread_;  // started when first needed
};

/// The text behind standard base64; empty where it is none.
std::string decode_base64(std::string_view text);

}  // namespace vitalsd
