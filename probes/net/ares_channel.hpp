// A c-ares channel on the probe loop: its sockets wait in Asio, its time-outs on the wheel, so that
// a name server that never answers costs neither a thread nor anybody else's time. Probe loop only.
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
    std::vector<std::string> servers;  ///< "address" or "address:port"; empty: resolv.conf's
    int timeout_ms = 1000;             ///< of the first try; c-ares doubles it with each
    int tries = 3;
    bool tcp = false;     ///< query over TCP
    bool recurse = true;  ///< ask for recursion
    /// SERVFAIL, NOTIMP and REFUSED are answers too, instead of a reason to ask another server.
    bool take_errors = false;
  };

  /// Throws ProbeError(config) where c-ares refuses the options.
  AresChannel(boost::asio::io_context& loop, TimerWheel& wheel, const Options& options);
  /// Ends all queries with ARES_EDESTRUCTION.
  ~AresChannel();
  AresChannel(const AresChannel&) = delete;
  AresChannel& operator=(const AresChannel&) = delete;

  /// For ares_getaddrinfo() and its like; call rearm() after each.
  [[nodiscard]] ares_channel handle() const { return channel_; }
  void rearm();

 private:
  void process(ares_socket_t readable, ares_socket_t writable);

  static const ares_socket_functions kSockets;

  TimerWheel& wheel_;
  Timer timer_;
  ares_channel channel_ = nullptr;
  int reads_left_ = 0;  // in this turn of the loop
  SocketWatch sockets_;
};

/// c-ares's text for a status, in lower case at the front so that it reads on in a sentence.
std::string ares_text(int status);

}  // namespace vitalsd::net
