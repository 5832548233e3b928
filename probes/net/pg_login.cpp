#include "probes/net/pg_login.hpp"

#include "probes/error.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/pause.hpp"
#include "probes/net/pg_auth.hpp"
#include "probes/net/pg_errors.hpp"
#include "probes/net/pg_session.hpp"
#include "probes/net/socket_input.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/net/unix_socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <iterator>
#include <list>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <libpq-fe.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd::net {
namespace {

// No server sends more than this during a login, including its certificates.
constexpr std::size_t kMaxLoginBytes = std::size_t{64} << 10;

// Stops the work of a thread on a socket when its run is cancelled or too many bytes arrive: after
// shutdown(), every loop of libpq that reads the socket reaches the end of the stream. The watchdog
// has its own duplicate of the descriptor, so the number cannot be reused for another socket in the
// meantime.
class Watchdog {
 public:
  Watchdog(TimerWheel& wheel, int socket)
      : wheel_(wheel), socket_(fcntl(socket, F_DUPFD_CLOEXEC, 0)), timer_([this] { check(); }) {
    if (socket_ < 0) fail_with(Reason::internal, "duplicating a socket", last_error());
    // libpq reads data in the receive buffer even after shutdown(), so the buffer is limited as
    // well.
    const int size = static_cast<int>(kMaxLoginBytes);
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    check();
  }
  ~Watchdog() {
    if (!done_) shutdown(socket_, SHUT_RDWR);
    close(socket_);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Must be called when the thread has returned. The socket stays open.
  void done() { done_ = true; }
  [[nodiscard]] bool exceeded_limit() const { return exceeded_limit_; }

 private:
  static boost::system::error_code last_error() {
    return {errno, boost::system::system_category()};
  }

  void check() {
    if (bytes_received(socket_) > kMaxLoginBytes) {
      exceeded_limit_ = true;
      shutdown(socket_, SHUT_RDWR);
    }
    wheel_.arm_after(timer_, TimerWheel::kSlot);
  }

  TimerWheel& wheel_;
  int socket_;
  bool done_ = false;
  bool exceeded_limit_ = false;
  Timer timer_;
};

ProbeError too_many_bytes() {
  return {Reason::protocol, "the server sent more than " + std::to_string(kMaxLoginBytes) +
                                " bytes during the login"};
}
// A file in memory. Its path exists as long as the object.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& content) : file_(memfd_create("tls", MFD_CLOEXEC)) {
    // libpq rejects a private key that other users can read.
    const bool is_made = file_ >= 0 && fchmod(file_, S_IRUSR) == 0 &&
                         write(file_, content.data(), content.size()) == std::ssize(content);
    if (is_made) return;
    const boost::system::error_code error(errno, boost::system::system_category());
    if (file_ >= 0) close(file_);
    fail_with(Reason::internal, "creating a file in memory", error);
  }
  ~MemoryFile() { close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

// Copies of the files of tls in memory. libpq reads files by name, so it would hang on an
// unreachable NFS server, and the failure would be attributed to the target.
class TlsCopies {
 public:
  /// Replaces the paths in `options` by those of the copies.
  TlsCopies(const TlsTexts& texts, TlsOptions& options) {
    copy(texts.ca, options.ca);
    copy(texts.certificate, options.certificate);
    copy(texts.key, options.key);
  }

 private:
  void copy(const FileText& text, std::string& path) {
    if (text) path = files_.emplace_back(*text).path();
  }

  std::list<MemoryFile> files_;
};

// Describes the operation in which a thread may hang: "connecting to db:5432 as monitor".
std::string resource_of(const PgOptions& options) {
  return "connecting to " + options.endpoint.text() + " as " + options.user;
}

template <std::size_t Size>
ssize_t peek(int socket, std::array<char, Size>& into) {
  return recv(socket, into.data(), into.size(), MSG_PEEK | MSG_DONTWAIT);
}

class Login {
 public:
  Login(const Environment& environment, const PgOptions& options, PgSession& session,
        std::shared_ptr<const TlsCopies> copies)
      : environment_(environment),
        options_(options),
        session_(session),
        copies_(std::move(copies)) {}

  asio::awaitable<void> run();

 private:
  // Both checks return false if more data must arrive before libpq may read. Both freeze the input
  // if libpq is about to respond. In other cases they do not freeze it, because a dropped RST is
  // sent again only after the client has sent data.
  bool check_ssl_response(std::optional<FrozenInput>& input) const;
  bool check_auth_request(std::optional<FrozenInput>& input) const;
  bool check_input(PostgresPollingStatusType next, std::optional<FrozenInput>& input) const;
  asio::awaitable<PostgresPollingStatusType> step(std::optional<FrozenInput> input);
  [[nodiscard]] PGconn* connection() const { return session_.connection.get(); }

  const Environment& environment_;
  const PgOptions& options_;
  PgSession& session_;
  std::shared_ptr<const TlsCopies> copies_;
};

// The response to SSLRequest is one byte. libpq reads everything that is available, so a request
// after "N" would be in libpq's buffer before check_auth_request() sees it. An error message
// instead of the byte ends the connection.
bool Login::check_ssl_response(std::optional<FrozenInput>& input) const {
  const int socket = PQsocket(connection());
  std::array<char, 2> bytes{};
  const ssize_t size = peek(socket, bytes);
  if (size < 0 && errno == EAGAIN) return false;
  if (size <= 0 || bytes[0] != 'N') return true;
  if (!is_loopback(socket)) input.emplace(socket);
  if (peek(socket, bytes) > 1) {
    throw ProbeError(Reason::protocol, "the server sent more than its response to SSLRequest");
  }
  return true;
}

// Throws if the server requests data that vitalsd does not send.
bool Login::check_auth_request(std::optional<FrozenInput>& input) const {
  const int socket = PQsocket(connection());
  std::array<char, 4096> bytes{};
  const auto read = [&](ssize_t size) {
    return read_pg_auth_request(
        {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))});
  };
  const ssize_t size = peek(socket, bytes);
  if (size < 0 && errno == EAGAIN) return false;
  PgAuthRequest request = read(size);
  if (request.kind == PgAuthRequest::Kind::incomplete) {
    pollfd end{socket, POLLRDHUP, 0};
    if (poll(&end, 1, 0) == 0) {
      set_min_readable(socket, request.needs);
      return false;
    }
    // The peer has closed the connection: no more data arrives, but the last data may have arrived
    // together with the FIN.
    request = read(peek(socket, bytes));
  }
  set_min_readable(socket, 1);
  const bool libpq_responds =
      request.kind != PgAuthRequest::Kind::none && request.kind != PgAuthRequest::Kind::incomplete;
  if (!libpq_responds) return true;
  // A connection to this machine cannot be intercepted, so its input is not frozen. The server can
  // reply before the filter is removed, and a dropped reply is sent again only after 200 ms.
  const bool loopback = is_loopback(socket);
  if (!loopback) input.emplace(socket);
  const auto refusal =
      refuse_pg_auth(read(peek(socket, bytes)), loopback, options_.allow_cleartext_password);
  if (refusal) throw ProbeError(Reason::auth, *refusal);
  return true;
}

bool Login::check_input(PostgresPollingStatusType next, std::optional<FrozenInput>& input) const {
  if (PQsslInUse(connection()) != 0) return true;
  const ConnStatusType status = PQstatus(connection());
  if (status == CONNECTION_SSL_STARTUP && next == PGRES_POLLING_READING) {
    return check_ssl_response(input);
  }
  return status != CONNECTION_AWAITING_RESPONSE || check_auth_request(input);
}

// Calls PQconnectPoll() once, on a thread. `input` stays frozen until libpq has read and responded.
asio::awaitable<PostgresPollingStatusType> Login::step(std::optional<FrozenInput> input) {
  Watchdog watchdog(environment_.wheel, PQsocket(connection()));
  auto poll = [connection = session_.connection, copies = copies_,
               input = std::move(input)](const StopFlag&) mutable {
    const PostgresPollingStatusType next = PQconnectPoll(connection.get());
    input.reset();
    return next;
  };
  const std::size_t unread = session_.unread();
  const PostgresPollingStatusType next =
      co_await environment_.connecting.run(resource_of(options_), std::move(poll));
  watchdog.done();
  session_.has_read(unread);
  if (next == PGRES_POLLING_FAILED && watchdog.exceeded_limit()) throw too_many_bytes();
  if (next == PGRES_POLLING_FAILED) throw pg_login_error(PQerrorMessage(connection()));
  co_return next;
}

asio::awaitable<void> Login::run() {
  using Descriptor = PgSession::Descriptor;
  for (PostgresPollingStatusType next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK;) {
    // Each step may replace the socket, so Asio gets the socket for one wait only.
    session_.descriptor.assign(PQsocket(connection()));
    co_await session_.wait(next == PGRES_POLLING_READING ? Descriptor::wait_read
                                                         : Descriptor::wait_write);
    session_.descriptor.release();
    std::optional<FrozenInput> input;
    if (check_input(next, input)) {
      if (session_.received() > kMaxLoginBytes) throw too_many_bytes();
      next = co_await step(std::move(input));
    } else if (is_unix(options_.endpoint.host)) {
      co_await pause(environment_.wheel, TimerWheel::kSlot);  // set_min_readable() has no effect
    }
  }
}

}  // namespace

asio::awaitable<std::unique_ptr<PgSession>> pg_log_in(const Environment& environment,
                                                      const PgOptions& options,
                                                      const std::string& password,
                                                      const Addresses& addresses, SampleSet& out) {
  PgOptions with_copies = options;
  std::shared_ptr<const TlsCopies> copies;
  if (options.sslmode != "disable") {
    out.doing("reading the files of tls", Reason::internal);
    with_copies.tls.verify = options.sslmode.starts_with("verify");
    co_await environment.tls.client(with_copies.tls);  // throws if a file cannot be used
    const TlsTexts texts = co_await environment.tls.texts(with_copies.tls);
    copies = std::make_shared<const TlsCopies>(texts, with_copies.tls);
  }
  out.doing("connecting to " + options.endpoint.text());
  // Throws while a thread still computes for this server, which must not see a connection then.
  co_await environment.connecting.run(resource_of(options), [](const StopFlag&) { return true; });
  const PgParameters parameters(with_copies, password, addresses);
  auto session = std::make_unique<PgSession>(environment.loop);
  session->password = password;
  session->connection.reset(PQconnectStartParams(parameters.keywords(), parameters.values(), 0),
                            PQfinish);
  PGconn* const connection = session->connection.get();
  if (connection == nullptr) throw std::bad_alloc();
  if (PQstatus(connection) == CONNECTION_BAD) throw pg_login_error(PQerrorMessage(connection));
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  // Without a notice receiver, libpq writes notices to standard error.
  PQsetNoticeReceiver(connection, [](void*, const PGresult*) {}, nullptr);
  Login login(environment, options, *session, std::move(copies));
  co_await login.run();
  // With auto-retry, OpenSSL would read and block the loop as long as a server sends records
  // without data, such as session tickets.
  if (void* const tls = PQsslStruct(connection, "OpenSSL")) {
    SSL_clear_mode(static_cast<SSL*>(tls), SSL_MODE_AUTO_RETRY);
  }
  PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
  PQsetnonblocking(connection, 1);
  session->descriptor.assign(PQsocket(connection));
  co_return session;
}

}  // namespace vitalsd::net
