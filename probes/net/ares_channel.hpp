// A c-ares channel on the probe loop: Asio waits for its sockets, and the timer wheel runs its
// timeouts. A name server that never responds blocks no thread and delays no other query. Probe
// loop only.
#pragma once

#include "probes/net/socket_watch.hpp"
#include "probes/net/timer_wheel.hpp"

#include <string>
#include <vector>

#include <ares.h>
#include <boost/asio/io_context.hpp>

namespace vitalsd::net {

class AresChannel {
 public:
  struct Options {
    std::vector<std::string> servers;  ///< "address" or "address:port"; empty: from resolv.conf
    int timeout_ms = 1000;             ///< for the first attempt; c-ares doubles it for each retry
    int tries = 3;
    bool tcp = false;     ///< query over TCP
    bool recurse = true;  ///< request recursion
    /// Returns SERVFAIL, NOTIMP and REFUSED as results instead of querying the next server.
    bool take_errors = false;
  };

  /// Throws ProbeError(config) if c-ares rejects the options.
  AresChannel(boost::asio::io_context& loop, TimerWheel& wheel, const Options& options);
  /// Ends all queries with ARES_EDESTRUCTION.
  ~AresChannel();
  AresChannel(const AresChannel&) = delete;
  AresChannel& operator=(const AresChannel&) = delete;

  /// For ares_getaddrinfo() and similar functions. rearm() must be called after each of them.
  [[nodiscard]] ares_channel handle() const { return channel_; }
  void rearm();

 private:
  void process(ares_socket_t readable, ares_socket_t writable);

  static const ares_socket_functions kSockets;

  TimerWheel& wheel_;
  Timer timer_;
  ares_channel channel_ = nullptr;
  int reads_left_ = 0;  // in the current process() call
  SocketWatch sockets_;
};

/// c-ares's text for a status, with a lower-case first letter, for use within a sentence.
std::string ares_text(int status);

}  // namespace vitalsd::net
