// Tells the service manager that started us, systemd, how we are: started, reloading, stopping, and
// alive as long as the probe loop turns. The protocol is sd_notify(3): datagrams to the socket that
// NOTIFY_SOCKET names; without one, nothing is told. Probe loop only.
#pragma once

#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace vitalsd {

class ServiceManager {
 public:
  /// Reads NOTIFY_SOCKET, and WATCHDOG_USEC and WATCHDOG_PID, after which a service that is silent
  /// is killed: from ready() on it hears of us twice in that time.
  explicit ServiceManager(net::TimerWheel& wheel);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  /// `status` is for people: systemctl shows it.
  void ready(std::string_view status);
  void reloading();
  void stopping();

 private:
  void tell(const std::string& state) const;
  void beat();

  net::TimerWheel& wheel_;
  net::Timer timer_;
  std::string socket_;  // its path; one in the abstract namespace begins with @
  int descriptor_ = -1;
  std::chrono::microseconds rhythm_{0};  // 0: there is no watchdog
};

}  // namespace vitalsd
