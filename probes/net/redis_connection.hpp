// A connection to a Redis server: hiredis formats and parses RESP2 over a net::Stream, which
// provides TLS and cancellation. After any error the connection must be closed. Probe loop only.
#pragma once

#include "config/secret.hpp"
#include "probes/net/resolver.hpp"
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

/// One reply. A server error is a reply of kind `error`; expect() throws it.
struct RedisReply {
  enum class Kind : unsigned char { nil, integer, text, error, list };
  Kind kind = Kind::nil;
  std::int64_t integer = 0;
  std::string text;               ///< for kinds `text` and `error`
  std::vector<RedisReply> items;  ///< for kind `list`
};

struct RedisOptions {
  config::Endpoint endpoint;
  IpVersion ip = IpVersion::any;
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

  /// Sends one command and waits for its reply. Throws ProbeError for connection errors and for a
  /// reply that is not RESP2 or exceeds the limits of RespReader.
  asio::awaitable<RedisReply> ask(std::vector<std::string> words);

  /// Like ask() for several commands, which are sent together: one round trip. Returns the replies
  /// up to the first error. If other replies are missing, the connection must be closed.
  asio::awaitable<std::vector<RedisReply>> ask_all(std::vector<std::vector<std::string>> commands);

  /// Like ask(), but throws for an error reply, see redis_error(), and for a reply of another kind.
  asio::awaitable<RedisReply> expect(std::vector<std::string> words, RedisReply::Kind kind);

  /// Must be called in a run that uses a connection of an earlier run.
  void conceal_secrets(SampleSet& out) const { out.conceal(password_); }

  [[nodiscard]] bool hung_up() const { return stream_.hung_up(); }

 private:
  struct Reader;
  explicit RedisConnection(Stream stream);
  asio::awaitable<std::size_t> read_some();

  asio::awaitable<RedisReply> next_reply();

  Stream stream_;
  std::unique_ptr<Reader> reader_;
  std::string password_;
  bool may_be_tls_ = false;  // nothing has been received without TLS
};

/// Classifies an error reply: NOPERM is permission; LOADING, MASTERDOWN and BUSY are unready; too
/// many clients is overload; a missing, wrong or unexpected password is auth; others are mismatch.
ProbeError redis_error(std::string_view text);

/// Throws ProbeError if a reply to AUTH is not a success. The error contains only the code of the
/// server's text, because servers quote the command, which includes the password. Public for
/// fuzzing.
void refuse_redis_auth(const RedisReply& reply);
/// Throws ProbeError for an error reply, see redis_error(), and for a reply that is not of `kind`.
/// Public for fuzzing.
void refuse_redis_reply(const RedisReply& reply, RedisReply::Kind kind, const std::string& command);

/// Parses RESP2 from pieces, up to 1 MiB and 10,000 values per reply. Public for tests and fuzzing.
class RespReader {
 public:
  RespReader();
  ~RespReader();
  RespReader(const RespReader&) = delete;
  RespReader& operator=(const RespReader&) = delete;

  /// Adds a piece. Throws ProbeError(protocol) if the current reply exceeds the size limit.
  void feed(std::string_view bytes);
  /// Returns the next complete reply, if there is one. Throws ProbeError(protocol) for invalid
  /// RESP2 and for replies that have too many values or take too long to parse.
  std::optional<RedisReply> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitalsd::net
