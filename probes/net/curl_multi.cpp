#include "probes/net/curl_multi.hpp"

#include "probes/error.hpp"
#include "probes/net/tls.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <new>
#include <tuple>
#include <utility>

#include <boost/asio/post.hpp>
#include <openssl/ssl.h>

namespace vitalsd::net {

CurlMulti::CurlMulti(asio::io_context& loop, TimerWheel& wheel)
    : loop_(loop),
      wheel_(wheel),
      timer_([this] { on_timeout(); }),
      sockets_(loop, [this](int socket, SocketWatch::Event event) {
        if (event == SocketWatch::Event::readable) {
          read(socket);
        } else {
          write(socket);
        }
      }) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_ALL); });
  multi_ = curl_multi_init();
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlMulti::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlMulti::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 64L);  // idle connections for reuse
}

CurlMulti::~CurlMulti() {
  *alive_ = false;
  curl_multi_cleanup(multi_);
}

asio::awaitable<CURLcode> CurlMulti::run(Transfer& transfer) {
  struct Removal {
    CurlMulti& multi;
    CURL* easy;
    ~Removal() {
      // If the transfer has not ended, its connection may be dead. libcurl would keep an HTTP/2
      // connection and use it for the next request.
      curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
      curl_multi_remove_handle(multi.multi_, easy);
      std::ignore = multi.set_timer();  // if it fails, the next call sets it
    }
  } const removal{*this, transfer.easy};
  curl_easy_setopt(transfer.easy, CURLOPT_PRIVATE, &transfer);
  const auto start = [this, &transfer](std::shared_ptr<Pending<CURLcode>> pending) {
    transfer.pending = std::move(pending);
    const CURLMcode code = curl_multi_add_handle(multi_, transfer.easy);
    if (code != CURLM_OK) {
      transfer.pending->fail_with(ProbeError(Reason::internal, curl_multi_strerror(code)));
    }
    if (!set_timer()) transfer.pending->fail_with(std::bad_alloc());
  };
  co_return co_await Pending<CURLcode>::wait(start);
}

void CurlMulti::watch_records(SSL_CTX* context, bool stream) {
  SSL_CTX_set_msg_callback(context, stream ? &CurlMulti::on_tls_of_stream : &CurlMulti::on_tls);
  SSL_CTX_set_msg_callback_arg(context, this);
  if (!stream) return;
  constexpr std::size_t kReadAhead = std::size_t{64} << 10;
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, kReadAhead);
}

void CurlMulti::took_body(std::size_t bytes) {
  if (bytes > 0) bytes_without_body_ = 0;
}

void CurlMulti::streamed(std::size_t bytes) {
  streamed_ += bytes;
  ++progress_;
}

// Ends a transfer from within a callback. If no memory is left even for that, it ends at its
// deadline.
void CurlMulti::Transfer::fail(const char* error) noexcept {
  try {
    pending->fail_with(ProbeError(Reason::internal, error));
  } catch (const std::exception&) {  // cannot pass through libcurl
  }
}

int CurlMulti::on_socket(CURL* easy, curl_socket_t socket, int what, void* self,
                         void* /*socket*/) noexcept {
  auto& multi = *static_cast<CurlMulti*>(self);
  if (what == CURL_POLL_REMOVE) {
    multi.sockets_.set(socket, false, false);
    multi.ahead_.erase(socket);
    if (multi.flooded_socket_ == socket) multi.flooded_socket_.reset();
    return 0;
  }
  void* raw = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &raw);
  auto& transfer = *static_cast<Transfer*>(raw);
  try {
    multi.sockets_.set(socket, (what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
    if (transfer.stream) multi.ahead_.insert(socket);
  } catch (const std::exception& error) {  // cannot pass through libcurl
    // A return value other than 0 would end all transfers permanently.
    transfer.fail(error.what());
  }
  return 0;
}

int CurlMulti::on_timer(CURLM* /*multi*/, long timeout_ms, void* self) noexcept {
  static_cast<CurlMulti*>(self)->timeout_ms_ = timeout_ms;
  return 0;
}

// Must be called after each call of libcurl. Returns false if no memory is left.
bool CurlMulti::set_timer() noexcept {
  if (!timeout_ms_) return true;
  try {
    if (*timeout_ms_ < 0) {
      timer_.disarm();
    } else if (*timeout_ms_ > 0) {
      wheel_.arm_after(timer_, std::chrono::milliseconds(*timeout_ms_));
    } else if (!kick_posted_) {
      // libcurl requests an immediate call for every new transfer. One post serves several of them.
      asio::post(loop_, [this, alive = alive_] {
        if (!*alive) return;
        kick_posted_ = false;
        on_timeout();
      });
      kick_posted_ = true;
    }
  } catch (const std::exception&) {
    return false;
  }
  timeout_ms_.reset();
  return true;
}

// libcurl reads HTTP/2 frames until one of them belongs to the response, and does not return before
// that. A server that keeps sending other frames would block the loop and delay every deadline.
// libcurl has no limit for this, but it stops when the connection appears to be closed. One call of
// libcurl may read from many connections, so the bytes are counted for consecutive reads from one
// of them.
void CurlMulti::on_tls(int written, int /*version*/, int type, const void* data, std::size_t size,
                       SSL* tls, void* self) noexcept {
  constexpr std::size_t kMaxBytesWithoutBody = std::size_t{1} << 20;
  auto& multi = *static_cast<CurlMulti*>(self);
  if (limit_handshake(tls, written, type)) multi.flooded_ = true;
  if (written != 0 || type != SSL3_RT_HEADER || size != SSL3_RT_HEADER_LENGTH) return;
  const auto* const header = static_cast<const unsigned char*>(data);
  if (std::exchange(multi.reading_, tls) != tls) multi.bytes_without_body_ = 0;
  multi.bytes_without_body_ += size + (std::size_t{header[3]} << 8 | header[4]);
  if (multi.bytes_without_body_ <= kMaxBytesWithoutBody) return;
  multi.flooded_ = true;
  SSL_set_shutdown(tls, SSL_get_shutdown(tls) | SSL_RECEIVED_SHUTDOWN);
}

void CurlMulti::on_tls_of_stream(int written, int version, int type, const void* data,
                                 std::size_t size, SSL* tls, void* self) noexcept {
  if (written == 0) ++static_cast<CurlMulti*>(self)->progress_;
  on_tls(written, version, type, data, size, tls, self);
}

// libcurl reads one TLS record per call, and each event of a Kubernetes watch is a record. This
// function reads everything that has arrived at once. The socket is not readable while OpenSSL has
// buffered records, so it waits for the socket only after a call without progress.
void CurlMulti::read(curl_socket_t socket) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kMaxDuration = std::chrono::milliseconds(1);
  const auto until = Clock::now() + kMaxDuration;
  const std::size_t streamed_before = streamed_;
  std::size_t progress_before = 0;
  do {
    progress_before = progress_;
    act(socket, CURL_CSELECT_IN);
    if (!sockets_.watches(socket)) return;
  } while (progress_ > progress_before && Clock::now() < until);
  if (progress_ > progress_before) {
    read_later(socket);
  } else if (streamed_ > streamed_before) {
    sockets_.delay_reading(socket, streamed_ - streamed_before);
  }
}

void CurlMulti::read_later(curl_socket_t socket) {
  // Posted at most once per socket: otherwise each timer of a stream that never pauses would add
  // one more read per round.
  if (!scheduled_.insert(socket).second) return;
  asio::post(loop_, [this, socket, alive = alive_] {
    if (!*alive) return;
    scheduled_.erase(socket);
    if (ahead_.contains(socket)) read(socket);
  });
}

// libcurl may also read when it writes and when its timer expires.
void CurlMulti::write(curl_socket_t socket) {
  const std::size_t before = progress_;
  act(socket, CURL_CSELECT_OUT);
  if (progress_ > before) read_later(socket);
}

void CurlMulti::on_timeout() {
  const std::size_t before = progress_;
  act(CURL_SOCKET_TIMEOUT, 0);
  if (progress_ > before) std::ranges::for_each(ahead_, [this](auto s) { read_later(s); });
}

void CurlMulti::act(curl_socket_t socket, int events) {
  int running = 0;
  reading_ = nullptr;
  flooded_ = flooded_socket_ == socket;
  curl_multi_socket_action(multi_, socket, events, &running);
  std::ignore = set_timer();  // if it fails, the next call sets it
  if (flooded_ && sockets_.watches(socket)) flooded_socket_ = socket;
  read_results();
}

void CurlMulti::read_results() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* raw = nullptr;
    const CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &raw);
    auto& transfer = *static_cast<Transfer*>(raw);
    transfer.flooded = flooded_ && code != CURLE_OK;  // another transfer may have succeeded
    transfer.pending->succeed(code);
  }
}

}  // namespace vitalsd::net
