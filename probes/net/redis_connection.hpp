// A connection to a Redis server: RESP2 by hiredis's formatter and reader over our streams, so that
// TLS and cancellation work as everywhere. A connection on which anything went wrong is to be
// dropped. Probe loop only.
#pragma once

#include "config/secret.hpp"
#include "probes/net/stream.hpp"
#include "probes/probe.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

/// One reply. Errors of the server are values like others: see expect().
struct RedisReply {
  enum class Kind : unsigned char { nil, integer, text, error, list };
  Kind kind = Kind::nil;
  std::int64_t integer = 0;
  std::string text;  ///< of text and error
  std::vector<RedisReply> items;
};

struct RedisOptions {
  config::Endpoint endpoint;
  std::optional<TlsOptions> tls;
  std::string user;  ///< empty: the default user
  config::Secret password;
  std::int64_t database = 0;
  bool operator==(const RedisOptions&) const = default;
};

class RedisConnection {
 public:
  /// Connects, authenticates and selects the database. Throws ProbeError.
  static asio::awaitable<RedisConnection> open(const Environment& environment,
                                               const RedisOptions& options, SampleSet& out);
  ~RedisConnection();
  RedisConnection(RedisConnection&&) noexcept;
  RedisConnection& operator=(RedisConnection&&) noexcept;

  /// Sends one command and waits for its reply. Throws ProbeError for what goes wrong on the way
  /// and for a reply that is not RESP2 or larger than any answer to our questions.
  asio::awaitable<RedisReply> ask(std::vector<std::string> words);

  /// As ask(), and an error reply is thrown: see redis_error().
  asio::awaitable<RedisReply> expect(std::vector<std::string> words, RedisReply::Kind kind);

  /// For a run that has not opened the connection itself.
  void conceal_secrets(SampleSet& out) const { out.conceal(password_); }

  [[nodiscard]] bool hung_up() const { return stream_.hung_up(); }

 private:
  struct Reader;
  explicit RedisConnection(Stream stream);

  Stream stream_;
  std::unique_ptr<Reader> reader_;
  std::string password_;
};

/// What an error reply means: NOAUTH and WRONGPASS auth, NOPERM permission, LOADING and MASTERDOWN
/// unready, too many clients overload, else mismatch.
ProbeError redis_error(std::string_view text);

/// Throws what speaks against a reply to AUTH. Of the server's text it has the code alone, since
/// servers quote what they were sent. Split from the connection for fuzzing, as the next one.
void refuse_redis_auth(const RedisReply& reply);
/// Throws for an error reply, see redis_error(), and for one of another kind than `kind`.
void refuse_redis_reply(const RedisReply& reply, RedisReply::Kind kind,
                        const std::string& question);

/// Reads RESP2 from pieces. Split from the connection for tests and fuzzing.
class RespReader {
 public:
  RespReader();
  ~RespReader();
  RespReader(const RespReader&) = delete;
  RespReader& operator=(const RespReader&) = delete;

  /// Takes a piece. Throws ProbeError(protocol) if too much came for one reply.
  void feed(std::string_view bytes);
  /// The next whole reply, if there is one. Throws ProbeError(protocol) on bytes that are not RESP2
  /// and on replies beyond our limits.
  std::optional<RedisReply> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitalsd::net
