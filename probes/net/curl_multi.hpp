// libcurl's multi interface on the probe loop: sockets, timers and the completion of transfers. It
// is independent of the content of the transfers. Probe loop only.
#pragma once

#include "probes/net/pending.hpp"
#include "probes/net/socket_watch.hpp"
#include "probes/net/timer_wheel.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <set>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <curl/curl.h>
#include <openssl/types.h>

namespace vitalsd::net {

class CurlMulti {
 public:
  CurlMulti(asio::io_context& loop, TimerWheel& wheel);
  ~CurlMulti();
  CurlMulti(const CurlMulti&) = delete;
  CurlMulti& operator=(const CurlMulti&) = delete;

  /// The state of one transfer. CURLOPT_PRIVATE of `easy` points to it.
  struct Transfer {
    CURL* easy = nullptr;
    bool stream = false;  ///< the response is consumed as it arrives, with TLS read-ahead
    std::shared_ptr<Pending<CURLcode>> pending{};
    bool flooded = false;  ///< the transfer was stopped because the server keeps sending data

    void fail(const char* error) noexcept;
  };

  /// Runs the transfer for which the easy handle is set up. The handle is removed from the multi
  /// handle before this returns or throws.
  asio::awaitable<CURLcode> run(Transfer& transfer);

  /// Must be called for every TLS context of a transfer. Counts the records that its connections
  /// read, and closes connections on which the server never stops sending. With `stream`, OpenSSL
  /// reads ahead: one system call for many records instead of two for each record.
  void watch_records(SSL_CTX* context, bool stream);
  /// Must be called when `bytes` of a body have been delivered to their transfer.
  void took_body(std::size_t bytes);
  /// Must be called when `bytes` of a stream have been delivered to its consumer.
  void streamed(std::size_t bytes);

 private:
  // No exception may pass through the frames of libcurl and OpenSSL.
  static int on_socket(CURL* easy, curl_socket_t number, int what, void* self,
                       void* socket) noexcept;
  static int on_timer(CURLM* multi, long timeout_ms, void* self) noexcept;
  static void on_tls(int written, int version, int type, const void* data, std::size_t size,
                     SSL* tls, void* self) noexcept;
  static void on_tls_of_stream(int written, int version, int type, const void* data,
                               std::size_t size, SSL* tls, void* self) noexcept;

  [[nodiscard]] bool set_timer() noexcept;
  void act(curl_socket_t socket, int events);
  void read(curl_socket_t socket);
  void read_later(curl_socket_t socket);
  void write(curl_socket_t socket);
  void on_timeout();
  void read_results();

  asio::io_context& loop_;
  TimerWheel& wheel_;
  Timer timer_;
  SocketWatch sockets_;
  CURLM* multi_;
  std::size_t streamed_ = 0;           // bytes of all streams
  std::size_t progress_ = 0;           // TLS records plus pieces of streams
  std::set<curl_socket_t> ahead_;      // streams for which OpenSSL may have buffered data
  std::set<curl_socket_t> scheduled_;  // sockets for which read() is posted
  // The connection exceeded the limit in the middle of a record: its transfer ends in a later call.
  std::optional<curl_socket_t> flooded_socket_;
  // The following members are valid within the current call of libcurl.
  const SSL* reading_ = nullptr;        // the connection that was read from last
  std::size_t bytes_without_body_ = 0;  // consecutive bytes from it without body data
  bool flooded_ = false;                // they have exceeded the limit
  bool kick_posted_ = false;
  std::optional<long> timeout_ms_;  // requested by libcurl, but not set yet; negative: no timeout
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // checked by posted handlers
};

}  // namespace vitalsd::net
