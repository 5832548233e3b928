// Basic authentication with bcrypt hashes. A bcrypt check takes tens of milliseconds by design, so
// it runs on its own thread, at most eight checks are pending, and the digests of accepted headers
// are cached.
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
    busy,  ///< too many checks are pending
  };

  /// Whether an Authorization header ("Basic ...") has a valid user and password. Runs and resumes
  /// on the caller's executor. The time of a refusal does not reveal whether the user exists.
  boost::asio::awaitable<Verdict> check(std::string authorization);

  /// Whether checks are pending. The destructor waits for them, which takes seconds if a hash has a
  /// high cost. Safe on any thread.
  [[nodiscard]] bool busy() const { return *pending_ > 0; }

 private:
  std::vector<std::pair<std::string, std::string>> users_;
  std::unordered_set<std::string> accepted_;  // digests of headers
  // Shared with the counted coroutines, which may outlive this object.
  std::shared_ptr<std::atomic<std::size_t>> pending_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  std::optional<boost::asio::thread_pool> thread_;  // started with the first check
};

/// The digest of a text, 32 bytes.
std::string sha256(std::string_view text);

/// Decodes standard base64. Empty if `text` is not valid base64.
std::string decode_base64(std::string_view text);

}  // namespace vitalsd
