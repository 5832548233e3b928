#include "probes/net/pg_connection.hpp"

#include "probes/error.hpp"
#include "probes/net/cpu_time.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/pg_auth.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fcntl.h>
#include <libpq-fe.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vitalsd::net {
namespace {

using Descriptor = asio::posix::stream_descriptor;

// A path that does not exist, for files that libpq would look for in the home directory.
constexpr const char* kNoFile = "/nonexistent";
// More than any answer to our questions, and than any server says while it is connected to, its
// certificates included; one that sends more is not what it seems.
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr std::size_t kMaxConnectBytes = std::size_t{64} << 10;
constexpr int kMaxRows = 20'000;  // of one statement
// For libpq to take apart what has come, in one query: its list of parameters is searched for each
// one that a server reports.
constexpr std::chrono::milliseconds kMaxParsing{100};

bool is_sqlstate_char(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

// libpq's text without the server's source location, on one line.
std::string one_line(std::string_view message) {
  message = message.substr(0, message.find("\nLOCATION:"));
  std::string out;
  for (const char c : message) out += c == '\n' || c == '\t' ? ' ' : c;
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

// Why libpq could not connect, where the server did not say it by an SQLSTATE.
Reason reason_of_text(std::string_view text) {
  // The server has words of its own for want of memory, without an SQLSTATE.
  if (!text.contains("could not fork") && tells_our_shortage(text)) return Reason::internal;
  if (text.contains("no password supplied")) return Reason::auth;
  if (text.contains("authentication method")) return Reason::auth;
  if (text.contains("channel binding")) return Reason::auth;
  if (text.contains("SSL") || text.contains("certificate")) return Reason::tls;
  constexpr std::array<std::string_view, 7> kNonsense = {
      "closed the connection", "expected authentication",
      "invalid response",      "protocol",
      "unexpected message",    "SCRAM",
      "server signature",  // which only somebody without the password gets wrong
  };
  const auto said = [&](std::string_view what) { return text.contains(what); };
  return std::ranges::any_of(kNonsense, said) ? Reason::protocol : Reason::connect;
}

// Which of the server's functions reported the error: the one thing that tells errors of one
// SQLSTATE apart whatever the server's language.
std::string_view routine_of(std::string_view message) {
  constexpr std::string_view kLocation = "\nLOCATION:  ";
  const std::size_t at = message.find(kLocation);
  if (at == std::string_view::npos) return {};
  message.remove_prefix(at + kLocation.size());
  return message.substr(0, message.find(','));
}

// Why a log-in failed that ended with this SQLSTATE.
Reason log_in_reason(std::string_view sqlstate, std::string_view message) {
  if (sqlstate == "53300") {
    // The role's limit, the database's limit: the server itself is not full.
    const std::string_view routine = routine_of(message);
    const bool of_one = routine == "InitializeSessionUserId" || routine == "CheckMyDatabase";
    return of_one ? Reason::permission : Reason::overload;
  }
  if (sqlstate == "08P01") {  // PgBouncer, for all that it refuses; it speaks English only
    constexpr std::array<std::string_view, 4> kRefused = {"password authentication failed",
                                                          "SASL authentication failed",
                                                          "no such user", "not allowed"};
    const auto says = [&](std::string_view what) { return message.contains(what); };
    if (std::ranges::any_of(kRefused, says)) return Reason::auth;
    if (says("no such database")) return Reason::mismatch;
  }
  return pg_reason(sqlstate);
}

ProbeError connect_error(std::string_view message) {
  const std::string_view sqlstate = pg_sqlstate(message);
  return {sqlstate.empty() ? reason_of_text(message) : log_in_reason(sqlstate, message),
          one_line(message)};
}

}  // namespace

void ignore_pg_environment() {
  for (const char* name : {"PGAPPNAME",
                           "PGCHANNELBINDING",
                           "PGCONNECT_TIMEOUT",
                           "PGDATESTYLE",
                           "PGGEQO",
                           "PGGSSLIB",
                           "PGKRBSRVNAME",
                           "PGLOCALEDIR",
                           "PGOPTIONS",
                           "PGREQUIREPEER",
                           "PGREQUIRESSL",
                           "PGSERVICE",
                           "PGSERVICEFILE",
                           "PGSSLCOMPRESSION",
                           "PGSSLCRL",
                           "PGSSLCRLDIR",
                           "PGSSLMAXPROTOCOLVERSION",
                           "PGSSLSNI",
                           "PGSYSCONFDIR",
                           "PGTZ"}) {
    unsetenv(name);  // NOLINT(concurrency-mt-unsafe): see the declaration
  }
}

Reason pg_reason(std::string_view sqlstate) {
  struct Row {
    std::string_view prefix;
    Reason reason;
  };
  constexpr std::array kTable = {
      Row{"53300", Reason::overload},    // too_many_connections
      Row{"57P01", Reason::unready},     // admin_shutdown
      Row{"57P02", Reason::unready},     // crash_shutdown
      Row{"57P03", Reason::unready},     // cannot_connect_now: starting up, stopping, recovering
      Row{"57014", Reason::timeout},     // query_canceled: our statement_timeout
      Row{"28", Reason::auth},           // invalid authorization
      Row{"42501", Reason::permission},  // insufficient_privilege
      Row{"08", Reason::connect},        // connection exception
  };
  const auto row =
      std::ranges::find_if(kTable, [&](const Row& r) { return sqlstate.starts_with(r.prefix); });
  return row == kTable.end() ? Reason::mismatch : row->reason;
}

std::string_view pg_sqlstate(std::string_view message) {
  // "FATAL:  53300: sorry, too many clients already", the first word in the server's language.
  constexpr std::string_view kBefore = ":  ";
  constexpr std::size_t kSize = 5;
  for (std::size_t at = message.find(kBefore); at != std::string_view::npos;
       at = message.find(kBefore, at + 1)) {
    const std::string_view code = message.substr(at + kBefore.size(), kSize);
    const std::string_view after =
        message.substr(std::min(at + kBefore.size() + kSize, message.size()));
    if (code.size() == kSize && std::ranges::all_of(code, is_sqlstate_char) &&
        after.starts_with(": ")) {
      return code;
    }
  }
  return {};
}

// ---- results ------------------------------------------------------------------------------------

PgResult::PgResult(void* result) : result_(result) {}
PgResult::~PgResult() { PQclear(static_cast<PGresult*>(result_)); }
PgResult::PgResult(PgResult&& other) noexcept : result_(std::exchange(other.result_, nullptr)) {}
PgResult& PgResult::operator=(PgResult&& other) noexcept {
  std::swap(result_, other.result_);
  return *this;
}

int PgResult::rows() const { return PQntuples(static_cast<PGresult*>(result_)); }

std::vector<std::string_view> PgResult::column_names() const {
  const auto* result = static_cast<PGresult*>(result_);
  std::vector<std::string_view> names;
  for (int column = 0; column < PQnfields(result); ++column) {
    names.emplace_back(PQfname(result, column));
  }
  return names;
}

std::string_view PgResult::text(int row, int column) const {
  const auto* result = static_cast<PGresult*>(result_);
  return {PQgetvalue(result, row, column),
          static_cast<std::size_t>(PQgetlength(result, row, column))};
}

std::optional<double> PgResult::number(int row, int column) const {
  const std::string_view value = text(row, column);
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

// ---- the connection -----------------------------------------------------------------------------

namespace {

// glibc's structure ends before what is wanted of <linux/tcp.h>, which excludes it.
struct TcpInfo {
  tcp_info known;
  std::uint64_t pacing_rate;
  std::uint64_t max_pacing_rate;
  std::uint64_t bytes_acked;
  std::uint64_t bytes_received;
};

// So many bytes have come on a connection; 0 where that cannot be told.
std::uint64_t bytes_received(int socket) {
  TcpInfo info{};
  socklen_t size = sizeof info;
  return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.bytes_received : 0;
}

// Ends what a thread does with a socket when it takes too long or too much: after shutdown() libpq
// finds the end of the stream, whatever loop it reads in. The socket is ours as well, so that its
// number means no other one meanwhile.
class Watchdog {
 public:
  Watchdog(TimerWheel& wheel, int socket)
      : wheel_(wheel), socket_(fcntl(socket, F_DUPFD_CLOEXEC, 0)), timer_([this] { look(); }) {
    if (socket_ < 0) fail_with(Reason::internal, "duplicating a socket", last_error());
    // What the kernel has taken in is read even after shutdown().
    const int size = static_cast<int>(kMaxConnectBytes);
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    look();
  }
  ~Watchdog() {
    if (!done_) shutdown(socket_, SHUT_RDWR);
    close(socket_);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void done() { done_ = true; }
  [[nodiscard]] bool too_much() const { return too_much_; }

 private:
  static boost::system::error_code last_error() {
    return {errno, boost::system::system_category()};
  }

  void look() {
    if (bytes_received(socket_) > kMaxConnectBytes) {
      too_much_ = true;
      shutdown(socket_, SHUT_RDWR);
    }
    wheel_.arm_after(timer_, TimerWheel::kSlot);
  }

  TimerWheel& wheel_;
  int socket_;
  bool done_ = false;
  bool too_much_ = false;
  Timer timer_;
};

// While it lives, nothing new arrives at a socket: what comes is dropped, and sent again by the
// peer's kernel. So what was looked at is all that libpq finds.
class FrozenInput {
 public:
  explicit FrozenInput(int socket) : socket_(fcntl(socket, F_DUPFD_CLOEXEC, 0)) {
    sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{1, &drop_all};
    setsockopt(socket_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  }
  FrozenInput(FrozenInput&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  FrozenInput& operator=(FrozenInput&&) = delete;
  ~FrozenInput() {
    if (socket_ < 0) return;
    const int unused = 0;
    setsockopt(socket_, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
    close(socket_);
  }

 private:
  int socket_;
};

bool is_loopback(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  asio::ip::tcp::endpoint peer;
  std::memcpy(peer.data(), &address, std::min<std::size_t>(size, peer.capacity()));
  return peer.address().is_loopback();
}

// Sets how many bytes must have come before the socket counts as readable.
void wake_at(int socket, std::size_t bytes) {
  const int count = static_cast<int>(bytes);
  setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &count, sizeof count);
}

}  // namespace

struct PgConnection::State {
  explicit State(asio::io_context& loop) : descriptor(loop) {}
  ~State() {
    // libpq closes the socket itself.
    if (descriptor.is_open()) descriptor.release();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  asio::awaitable<void> wait(Descriptor::wait_type what) {
    const auto [error] = co_await descriptor.async_wait(what, asio::as_tuple(asio::use_awaitable));
    if (error) fail_with(Reason::connect, "waiting for the server", error);
  }

  [[nodiscard]] bool admits(const PgOptions& options, std::optional<FrozenInput>& input) const;
  [[nodiscard]] bool admits_ssl_answer(std::optional<FrozenInput>& input) const;
  [[nodiscard]] bool awaits_ssl_answer() const {
    return PQstatus(connection.get()) == CONNECTION_SSL_STARTUP &&
           PQsslInUse(connection.get()) == 0;
  }
  /// One step of connecting, on a thread: what to wait for next, as PQconnectPoll() has it.
  asio::awaitable<int> step(const Environment& environment, const PgOptions& options,
                            std::optional<FrozenInput> input);

  std::shared_ptr<PGconn> connection;  // a thread that was given up may still be busy with it
  std::string password;
  Descriptor descriptor;
};

PgConnection::PgConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}
PgConnection::~PgConnection() = default;
PgConnection::PgConnection(PgConnection&&) noexcept = default;
PgConnection& PgConnection::operator=(PgConnection&&) noexcept = default;

// Looks at what the server has sent, and throws where we do not answer it. Whether libpq may read
// it; else there is more to come. What libpq answers to is frozen in `input`; nothing else is, as a
// reset that is dropped comes again only after something has been sent.
bool PgConnection::State::admits(const PgOptions& options,
                                 std::optional<FrozenInput>& input) const {
  const int socket = PQsocket(connection.get());
  std::array<char, 4096> bytes{};
  const auto look = [&] {
    return recv(socket, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  };
  const auto read = [&](ssize_t size) {
    return read_pg_auth_request(
        {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))});
  };
  const ssize_t size = look();
  if (size < 0 && errno == EAGAIN) return false;
  PgAuthRequest request = read(size);
  if (request.kind == PgAuthRequest::Kind::incomplete) {
    pollfd end{socket, POLLRDHUP, 0};
    if (poll(&end, 1, 0) == 0) {
      wake_at(socket, request.needs);
      return false;
    }
    request = read(look());  // the rest may have come with the end; nothing follows it
  }
  wake_at(socket, 1);
  const bool answered =
      request.kind != PgAuthRequest::Kind::none && request.kind != PgAuthRequest::Kind::incomplete;
  if (!answered) return true;
  // Nobody can stand between us and a server on this machine, so its input stays open: it can reply
  // before the filter is removed, and a dropped reply comes again only after 200 ms.
  const bool loopback = is_loopback(socket);
  if (!loopback) input.emplace(socket);
  const auto refusal = refuse_pg_auth(read(look()), loopback, options.allow_cleartext_password);
  if (refusal) throw ProbeError(Reason::auth, *refusal);
  return true;
}

// The same for the answer to SSLRequest, one byte: libpq reads all that is there, so that a request
// behind "N" would be in its buffer before admits() sees it. An error text ends the connection.
bool PgConnection::State::admits_ssl_answer(std::optional<FrozenInput>& input) const {
  const int socket = PQsocket(connection.get());
  std::array<char, 2> bytes{};
  const auto look = [&] {
    return recv(socket, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  };
  const ssize_t size = look();
  if (size < 0 && errno == EAGAIN) return false;
  if (size <= 0 || bytes[0] != 'N') return true;
  if (!is_loopback(socket)) input.emplace(socket);
  if (look() > 1)
    throw ProbeError(Reason::protocol, "the server sent more than its answer to SSLRequest");
  return true;
}

// `input`: frozen until libpq has read what was admitted, and answered.
asio::awaitable<int> PgConnection::State::step(const Environment& environment,
                                               const PgOptions& options,
                                               std::optional<FrozenInput> input) {
  Watchdog watchdog(environment.wheel, PQsocket(connection.get()));
  auto poll = [connection = connection, input = std::move(input)](const StopFlag&) mutable {
    const int next = PQconnectPoll(connection.get());
    input.reset();
    return next;
  };
  const int next = co_await environment.connecting.run(
      "connecting to " + options.endpoint.text() + " as " + options.user, std::move(poll));
  watchdog.done();
  if (next == PGRES_POLLING_FAILED && watchdog.too_much()) {
    throw ProbeError(Reason::protocol, "the server sent more than " +
                                           std::to_string(kMaxConnectBytes) +
                                           " bytes before it was ready");
  }
  if (next == PGRES_POLLING_FAILED) throw connect_error(PQerrorMessage(connection.get()));
  co_return next;
}

asio::awaitable<PgConnection> PgConnection::open(const Environment& environment,
                                                 const PgOptions& options, SampleSet& out) {
  const std::expected<std::string, std::string> password = options.password.read();
  if (!password) throw ProbeError(Reason::config, password.error());
  out.conceal(*password);
  out.doing("resolving " + options.endpoint.host);
  const Addresses addresses = co_await environment.resolver.resolve(options.endpoint.host);
  out.doing("connecting to " + options.endpoint.text());
  for (const std::string* file : {&options.tls.ca, &options.tls.certificate, &options.tls.key}) {
    refuse_irregular(*file);
  }
  // One entry an address; libpq goes on to the next when one fails. The name is for verification.
  std::string hosts;
  std::string hostaddrs;
  for (const auto& address : addresses) {
    const std::string comma = hosts.empty() ? "" : ",";
    hosts +=
        comma + (options.tls.server_name.empty() ? options.endpoint.host : options.tls.server_name);
    hostaddrs += comma + address.to_string();
  }
  const std::string port = std::to_string(options.endpoint.port);
  // With a CA file libpq verifies even for "require": it gets one only where verification is asked
  // for.
  const bool verifies = options.sslmode.starts_with("verify");
  const std::string ca = !verifies                ? kNoFile
                         : options.tls.ca.empty() ? system_ca_bundle()
                                                  : options.tls.ca;
  const bool has_certificate = !options.tls.certificate.empty();
  const std::array<std::pair<const char*, const char*>, 18> parameters = {{
      {"host", hosts.c_str()},
      {"hostaddr", hostaddrs.c_str()},
      {"port", port.c_str()},
      {"dbname", options.database.c_str()},
      {"user", options.user.c_str()},
      {"password", password->c_str()},
      {"passfile", kNoFile},
      {"application_name", "vitalsd"},
      {"client_encoding", "UTF8"},
      {"sslmode", options.sslmode.c_str()},
      {"channel_binding", options.channel_binding.c_str()},
      {"sslrootcert", ca.c_str()},
      {"sslcert", has_certificate ? options.tls.certificate.c_str() : kNoFile},
      {"sslkey", has_certificate ? options.tls.key.c_str() : kNoFile},
      {"ssl_min_protocol_version", "TLSv1.2"},
      {"gssencmode", "disable"},
      {"target_session_attrs", "any"},
      {nullptr, nullptr},
  }};
  std::array<const char*, parameters.size()> keywords{};
  std::array<const char*, parameters.size()> values{};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::tie(keywords[i], values[i]) = parameters[i];
  }

  auto state = std::make_unique<State>(environment.loop);
  state->password = *password;
  state->connection.reset(PQconnectStartParams(keywords.data(), values.data(), 0), PQfinish);
  PGconn* const connection = state->connection.get();
  if (connection == nullptr) throw std::bad_alloc();
  if (PQstatus(connection) == CONNECTION_BAD) throw connect_error(PQerrorMessage(connection));
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(connection, [](void*, const PGresult*) {}, nullptr);  // else to our stderr
  for (int next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK;) {
    // The socket may be another one after each step, so it is lent to Asio for one wait only.
    state->descriptor.assign(PQsocket(connection));
    co_await state->wait(next == PGRES_POLLING_READING ? Descriptor::wait_read
                                                       : Descriptor::wait_write);
    state->descriptor.release();
    std::optional<FrozenInput> input;
    bool admitted = true;
    if (next == PGRES_POLLING_READING && state->awaits_ssl_answer()) {
      admitted = state->admits_ssl_answer(input);
    } else if (PQstatus(connection) == CONNECTION_AWAITING_RESPONSE &&
               PQsslInUse(connection) == 0) {
      admitted = state->admits(options, input);
    }
    if (admitted) next = co_await state->step(environment, options, std::move(input));
  }
  // OpenSSL would else go on to read for as long as a server sends what is no data, as session
  // tickets are, and so keep the loop.
  if (void* const tls = PQsslStruct(connection, "OpenSSL")) {
    SSL_clear_mode(static_cast<SSL*>(tls), SSL_MODE_AUTO_RETRY);
  }
  PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
  PQsetnonblocking(connection, 1);
  state->descriptor.assign(PQsocket(connection));
  co_return PgConnection(std::move(state));
}

asio::awaitable<std::vector<PgResult>> PgConnection::query(std::string_view statements,
                                                           std::chrono::milliseconds limit) {
  // In a message of its own: servers arm the timer when they begin with a message.
  std::string settings =
      "BEGIN READ ONLY; SET LOCAL statement_timeout = " + std::to_string(limit.count()) +
      "; SET LOCAL search_path = pg_catalog";
  // Such a server has names in any encoding, and refuses those that are not of the client's.
  const char* const encoding = PQparameterStatus(state_->connection.get(), "server_encoding");
  if (encoding != nullptr && std::string_view(encoding) == "SQL_ASCII") {
    settings += "; SET LOCAL client_encoding = 'SQL_ASCII'";
  }
  co_await send(settings);
  std::vector<PgResult> results = co_await send(std::string(statements) + "; COMMIT");
  if (results.empty()) throw ProbeError(Reason::protocol, "the answer lacks results");
  results.pop_back();
  co_return results;
}

asio::awaitable<std::vector<PgResult>> PgConnection::send(const std::string& message) {
  PGconn* const connection = state_->connection.get();
  const auto broken = [&](Reason reason) {
    return ProbeError(reason, one_line(PQerrorMessage(connection)));
  };
  if (PQsendQuery(connection, message.c_str()) != 1) throw broken(Reason::connect);
  for (int left = PQflush(connection); left != 0; left = PQflush(connection)) {
    if (left < 0) throw broken(Reason::connect);
    co_await state_->wait(Descriptor::wait_write);
  }
  std::vector<PgResult> results;
  const std::uint64_t before = bytes_received(PQsocket(connection));
  std::chrono::nanoseconds parsing{};
  for (;;) {
    while (PQisBusy(connection) != 0) {
      co_await state_->wait(Descriptor::wait_read);
      if (bytes_received(PQsocket(connection)) - before > kMaxBytes) {
        throw ProbeError(Reason::protocol,
                         "the answer is larger than " + std::to_string(kMaxBytes) + " bytes");
      }
      const auto began = thread_cpu_time();
      if (PQconsumeInput(connection) != 1) throw broken(Reason::connect);
      PQisBusy(connection);  // takes it apart
      parsing += thread_cpu_time() - began;
      if (parsing > kMaxParsing) {
        throw ProbeError(Reason::protocol, "the answer takes too long to be read");
      }
    }
    PGresult* const raw = PQgetResult(connection);
    if (raw == nullptr) co_return results;
    PgResult result(raw);
    const ExecStatusType status = PQresultStatus(raw);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      const char* sqlstate = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
      throw ProbeError(sqlstate == nullptr ? Reason::protocol : pg_reason(sqlstate),
                       one_line(PQresultErrorMessage(raw)));
    }
    if (result.rows() > kMaxRows) {
      throw ProbeError(Reason::protocol, "the answer has more than " + std::to_string(kMaxRows) +
                                             " rows for one statement");
    }
    results.push_back(std::move(result));
  }
}

void PgConnection::conceal_secrets(SampleSet& out) const { out.conceal(state_->password); }

int PgConnection::server_version() const { return PQserverVersion(state_->connection.get()); }

bool PgConnection::hung_up() const {
  // A server says goodbye to idle connections, or just closes them: both make the socket readable.
  PGconn* const connection = state_->connection.get();
  pollfd idle{PQsocket(connection), POLLIN, 0};
  return PQstatus(connection) != CONNECTION_OK || poll(&idle, 1, 0) != 0;
}

}  // namespace vitalsd::net
