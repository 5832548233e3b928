// libcurl's multi interface on the probe loop: its sockets, its timer, and when a transfer has
// ended. It knows nothing of what the transfers are. Probe loop only.
#pragma once

#include "probes/net/pending.hpp"
#include "probes/net/socket_watch.hpp"
#include "probes/net/timer_wheel.hpp"

#include <cstddef>
#include <memory>
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

  /// What it has to know of a transfer; CURLOPT_PRIVATE of `easy` points to it.
  struct Transfer {
    CURL* easy = nullptr;
    bool stream = false;  ///< taken as it comes, over TLS that reads ahead
    std::shared_ptr<Pending<CURLcode>> pending{};
    bool flooded = false;  ///< ended since its server sends without end
  };

  /// Carries out what the easy handle is set up for. Whatever ends the wait, the handle has left
  /// the multi before this returns.
  asio::awaitable<CURLcode> run(Transfer& transfer);

  /// Every TLS context of a transfer comes here. Counts the records that its connections read, and
  /// ends those that read without end. A stream reads ahead: one call to the kernel for many
  /// records, in place of two for each.
  void watch_records(SSL_CTX* context, bool stream);
  /// So many bytes of a body have come to the transfer that they are for.
  void took_body(std::size_t bytes);
  /// A piece of a stream has come to the one who takes it.
  void streamed(std::size_t bytes);

 private:
  static int on_socket(CURL* easy, curl_socket_t number, int what, void* self, void* socket);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  static void on_tls(int written, int version, int type, const void* data, std::size_t size,
                     SSL* tls, void* self);
  static void on_tls_of_stream(int written, int version, int type, const void* data,
                               std::size_t size, SSL* tls, void* self);

  void act(curl_socket_t socket, int events);
  void read(curl_socket_t socket);
  void read_later(curl_socket_t socket);
  void write(curl_socket_t socket);
  void timed_out();
  void read_results();

  asio::io_context& loop_;
  TimerWheel& wheel_;
  Timer timer_;
  SocketWatch sockets_;
  CURLM* multi_;
  std::size_t streamed_ = 0;       // bytes of streams
  std::size_t progress_ = 0;       // TLS records and pieces of streams
  std::set<curl_socket_t> ahead_;  // streams of which OpenSSL may have more than libcurl has read
  // In the call of libcurl that goes on:
  const SSL* reading_ = nullptr;  // the connection that was last read from
  std::size_t fruitless_ = 0;     // bytes in a row from it that brought nothing of a body
  bool flooded_ = false;          // they were too many
  bool kick_posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what is posted to the loop
};

}  // namespace vitalsd::net
