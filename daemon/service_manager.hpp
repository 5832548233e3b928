// Notifies the service manager (systemd) of the state of the service: ready, reloading, stopping,
// and alive as long as the probe loop is responsive. The protocol is sd_notify(3): datagrams to the
// socket in NOTIFY_SOCKET. Nothing is sent if that variable is not set. Probe loop only.
#pragma once

#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace vitalsd {

class ServiceManager {
 public:
  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. The manager kills a service that sends
  /// nothing for WATCHDOG_USEC; after ready() a message is sent at half that interval.
  explicit ServiceManager(net::TimerWheel& wheel);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  /// systemctl shows `status`.
  void ready(std::string_view status);
  void reloading();
  void stopping();

 private:
  void send(const std::string& state) const;
  void beat();

  net::TimerWheel& wheel_;
  net::Timer timer_;
  std::string socket_;  // path; in the abstract namespace it starts with @
  int descriptor_ = -1;
  std::chrono::microseconds watchdog_interval_{0};  // 0: no watchdog
};

}  // namespace vitalsd
