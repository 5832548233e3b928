#include "probes/net/redis_connection.hpp"

#include "probes/error.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/cpu_time.hpp"
#include "probes/net/unix_socket.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <new>
#include <utility>

#include <hiredis/hiredis.h>
#include <hiredis/read.h>

namespace vitalsd::net {
namespace {

// The replies to the probes' commands are short; INFO is about 10 KB.
constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxItems = 10'000;
// The CPU time that hiredis may use to parse one reply. For each piece, it searches an incomplete
// line from its start.
constexpr std::chrono::milliseconds kMaxParsing{100};

std::string format(const std::vector<std::string>& words) {
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  char* formatted = nullptr;
  const int size = redisFormatCommandArgv(&formatted, static_cast<int>(words.size()), texts.data(),
                                          sizes.data());
  if (size < 0) throw std::bad_alloc();
  std::string command(formatted, static_cast<std::size_t>(size));
  redisFreeCommand(formatted);
  return command;
}

}  // namespace

// ---- RESP ---------------------------------------------------------------------------------------

// hiredis parses, and these callbacks build the values. hiredis's own builder would allocate an
// array of any announced size. Exceptions must not pass through hiredis's frames, so the callbacks
// return null, which means that memory is exhausted.
struct RespReader::State {
  redisReader* reader = nullptr;
  std::size_t bytes = 0;  // since the last complete reply
  std::size_t items = 0;  // since the last complete reply
  bool is_out_of_memory = false;
  std::chrono::nanoseconds parsing{};

  // Returns the object for a new value: an item of its list, or a new root. Beyond the limit,
  // returns null, which hiredis reports as out of memory.
  static RedisReply* new_value(const redisReadTask* task) {
    auto& state = *static_cast<State*>(task->privdata);
    if (++state.items > kMaxItems) return nullptr;
    if (task->parent == nullptr) {
      auto* const root = new (std::nothrow) RedisReply;  // freed by release()
      if (root == nullptr) state.is_out_of_memory = true;
      return root;
    }
    return &static_cast<RedisReply*>(task->parent->obj)->items[static_cast<std::size_t>(task->idx)];
  }
  // Calls `fill` with the object for a new value. If it fails, hiredis does not own a new root.
  template <class Fill>
  static void* make(const redisReadTask* task, const Fill& fill) {
    RedisReply* const reply = new_value(task);
    if (reply == nullptr) return nullptr;
    try {
      if (fill(*reply)) return reply;
    } catch (const std::bad_alloc&) {  // next() throws it
      static_cast<State*>(task->privdata)->is_out_of_memory = true;
    }
    if (task->parent == nullptr) release(reply);
    return nullptr;
  }
  static void* make_text(const redisReadTask* task, char* data, std::size_t size) {
    return make(task, [&](RedisReply& reply) {
      reply.kind =
          task->type == REDIS_REPLY_ERROR ? RedisReply::Kind::error : RedisReply::Kind::text;
      reply.text.assign(data, size);
      return true;
    });
  }
  static void* make_list(const redisReadTask* task, int elements) {
    return make(task, [&](RedisReply& reply) {
      reply.kind = RedisReply::Kind::list;
      const auto& state = *static_cast<State*>(task->privdata);
      const auto size = static_cast<std::size_t>(std::max(elements, 0));
      if (size > kMaxItems - state.items) return false;
      reply.items.resize(size);
      return true;
    });
  }
  static void* make_integer(const redisReadTask* task, long long value) {
    return make(task, [&](RedisReply& reply) {
      reply.kind = RedisReply::Kind::integer;
      reply.integer = value;
      return true;
    });
  }
  static void* make_nil(const redisReadTask* task) { return new_value(task); }
  static void release(void* root) { delete static_cast<RedisReply*>(root); }

  inline static redisReplyObjectFunctions functions = {&make_text, &make_list, &make_integer,
                                                       &make_nil, &release};
};

RespReader::RespReader() : state_(std::make_unique<State>()) {
  state_->reader = redisReaderCreateWithFunctions(&State::functions);
  if (state_->reader == nullptr) throw std::bad_alloc();
  state_->reader->privdata = state_.get();
}

RespReader::~RespReader() { redisReaderFree(state_->reader); }

void RespReader::feed(std::string_view bytes) {
  state_->bytes += bytes.size();
  if (state_->bytes > kMaxBytes) {
    throw ProbeError(Reason::protocol,
                     "the reply is larger than " + std::to_string(kMaxBytes) + " bytes");
  }
  redisReaderFeed(state_->reader, bytes.data(), bytes.size());
}

std::optional<RedisReply> RespReader::next() {
  void* raw = nullptr;
  const auto start = thread_cpu_time();
  const int result = redisReaderGetReply(state_->reader, &raw);
  state_->parsing += thread_cpu_time() - start;
  if (state_->is_out_of_memory) throw std::bad_alloc();
  if (result != REDIS_OK) {
    const bool exceeds_limit = state_->items > kMaxItems || state_->reader->err == REDIS_ERR_OOM;
    throw ProbeError(Reason::protocol, exceeds_limit
                                           ? "the reply has too many items"
                                           : std::string("not RESP2: ") + state_->reader->errstr);
  }
  if (raw == nullptr && state_->parsing > kMaxParsing) {
    throw ProbeError(Reason::protocol, "the reply takes too long to parse");
  }
  if (raw == nullptr) return std::nullopt;
  const std::unique_ptr<RedisReply> root(static_cast<RedisReply*>(raw));
  state_->bytes = state_->items = 0;
  state_->parsing = {};
  return std::move(*root);
}

ProbeError redis_error(std::string_view text) {
  const std::string_view code = text.substr(0, text.find(' '));
  Reason reason = Reason::mismatch;
  if (code == "NOAUTH" || code == "WRONGPASS") reason = Reason::auth;
  if (code == "NOPERM") reason = Reason::permission;
  if (code == "LOADING" || code == "MASTERDOWN" || code == "BUSY") reason = Reason::unready;
  if (text.starts_with("ERR max number of clients")) reason = Reason::overload;
  if (text.starts_with("ERR invalid password")) reason = Reason::auth;  // Redis 5 and earlier
  if (text.starts_with("ERR Client sent AUTH"))
    reason = Reason::auth;  // the server has no password, Redis 5
  if (text.starts_with("ERR AUTH <password> called"))
    reason = Reason::auth;  // the server has no password, Redis 6
  return {reason, std::string(text)};
}

void refuse_redis_auth(const RedisReply& reply) {
  if (reply.kind == RedisReply::Kind::text) return;
  if (reply.kind != RedisReply::Kind::error) {
    throw ProbeError(Reason::protocol, "the reply to AUTH has an unexpected type");
  }
  const std::string_view text = reply.text;
  const Reason reason = redis_error(text).reason();
  constexpr std::array<std::string_view, 2> kNoPassword = {"ERR Client sent AUTH",
                                                           "ERR AUTH <password> called"};
  if (std::ranges::any_of(kNoPassword, [&](auto start) { return text.starts_with(start); })) {
    throw ProbeError(reason, "a password is configured, but the server has none");
  }
  // If a server does not know a command, its error quotes the command, including the password.
  const std::string_view code = text.substr(0, text.find(' '));
  const bool is_code =
      code.size() <= 20 && std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; });
  throw ProbeError(reason, "the server rejects AUTH" + (is_code ? ": " + std::string(code) : ""));
}

void refuse_redis_reply(const RedisReply& reply, RedisReply::Kind kind,
                        const std::string& command) {
  if (reply.kind == RedisReply::Kind::error) throw redis_error(reply.text);
  if (reply.kind != kind) {
    throw ProbeError(Reason::protocol, "the reply to " + command + " has an unexpected type");
  }
}

// ---- the connection -----------------------------------------------------------------------------

struct RedisConnection::Reader {
  RespReader resp;
  std::array<char, 16 * 1024> buffer;
};

RedisConnection::RedisConnection(Stream stream)
    : stream_(std::move(stream)), reader_(std::make_unique<Reader>()) {}
RedisConnection::~RedisConnection() = default;
RedisConnection::RedisConnection(RedisConnection&&) noexcept = default;
RedisConnection& RedisConnection::operator=(RedisConnection&&) noexcept = default;

asio::awaitable<RedisConnection> RedisConnection::open(const Environment& environment,
                                                       const RedisOptions& options,
                                                       SampleSet& out) {
  // The password is read first, because a connection is useless without it.
  const std::string password = co_await environment.files.read(options.password, out);
  Stream stream = co_await open_stream(environment, options.endpoint, options.ip,
                                       options.tls ? &*options.tls : nullptr, out);
  RedisConnection connection(std::move(stream));
  connection.password_ = password;
  connection.may_be_tls_ = !options.tls && !is_unix(options.endpoint.host);
  // A user may have no password (ACL "nopass"). A new connection is that of the default user, so
  // AUTH is not required for that user.
  if (!password.empty() || (!options.user.empty() && options.user != "default")) {
    out.doing("authenticating");
    std::vector<std::string> words = {"AUTH"};
    if (!options.user.empty()) words.push_back(options.user);
    words.push_back(password);
    const RedisReply reply = co_await connection.ask(std::move(words));
    // A server without ACLs (Redis 5 and earlier) sends this reply.
    const bool lacks_users = reply.text.starts_with("ERR wrong number of arguments");
    if (!password.empty() || !lacks_users) refuse_redis_auth(reply);
  }
  if (options.database != 0) {
    std::vector<std::string> words = {"SELECT", std::to_string(options.database)};
    co_await connection.expect(std::move(words), RedisReply::Kind::text);
  }
  co_return connection;
}

asio::awaitable<RedisReply> RedisConnection::next_reply() {
  for (;;) {
    if (std::optional<RedisReply> reply = reader_->resp.next()) co_return std::move(*reply);
    const std::string_view received(reader_->buffer.data(), co_await read_some());
    reader_->resp.feed(received);
  }
}

asio::awaitable<RedisReply> RedisConnection::ask(std::vector<std::string> words) {
  const std::string command = format(words);
  co_await stream_.write(command);
  co_return co_await next_reply();
}

asio::awaitable<std::vector<RedisReply>> RedisConnection::ask_all(
    std::vector<std::vector<std::string>> commands) {
  std::string text;
  for (const std::vector<std::string>& words : commands) text += format(words);
  co_await stream_.write(text);
  std::vector<RedisReply> replies;
  do {
    replies.push_back(co_await next_reply());
    // A server that refuses a connection sends one error, and closes it.
  } while (replies.back().kind != RedisReply::Kind::error && replies.size() < commands.size());
  co_return replies;
}

// A server that expects TLS closes the connection, or sends an alert first.
asio::awaitable<std::size_t> RedisConnection::read_some() {
  constexpr char kAlert = 21;  // type of a TLS record
  const bool may_be_tls = std::exchange(may_be_tls_, false);
  std::size_t size = 0;
  try {
    size = co_await stream_.read_some(reader_->buffer);
  } catch (const ProbeError& error) {
    if (!may_be_tls) throw;
    throw ProbeError(error.reason(),
                     std::string(error.what()) + ": if this port is for TLS, use rediss://");
  }
  if (may_be_tls && size > 0 && reader_->buffer.front() == kAlert) {
    throw ProbeError(Reason::protocol, "the server uses TLS on this port: use rediss://");
  }
  co_return size;
}

asio::awaitable<RedisReply> RedisConnection::expect(std::vector<std::string> words,
                                                    RedisReply::Kind kind) {
  const std::string command = words.front();
  RedisReply reply = co_await ask(std::move(words));
  refuse_redis_reply(reply, kind, command);
  co_return reply;
}

}  // namespace vitalsd::net
