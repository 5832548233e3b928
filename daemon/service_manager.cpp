#include "daemon/service_manager.hpp"

#include "config/scalar.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace vitalsd {
namespace {

// Called in the constructor only, before other threads exist.
std::string environment(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

std::int64_t number(const char* name) {
  return config::Scalar<std::int64_t>::parse(environment(name)).value_or(0);
}

}  // namespace

ServiceManager::ServiceManager(net::TimerWheel& wheel)
    : wheel_(wheel), timer_([this] { beat(); }), socket_(environment("NOTIFY_SOCKET")) {
  if (socket_.empty() || socket_.size() >= sizeof(sockaddr_un::sun_path)) return;
  descriptor_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // A process inherits the variables of its parent, but the watchdog may apply to the parent only.
  if (!environment("WATCHDOG_PID").empty() && number("WATCHDOG_PID") != getpid()) return;
  watchdog_interval_ =
      std::chrono::microseconds(std::max<std::int64_t>(number("WATCHDOG_USEC"), 0) / 2);
}

ServiceManager::~ServiceManager() {
  if (descriptor_ >= 0) close(descriptor_);
}

void ServiceManager::ready(std::string_view status) {
  std::string line(status);
  std::ranges::replace(line, '\n', ' ');  // a newline would start another assignment
  send("READY=1\nSTATUS=" + line);
  if (watchdog_interval_.count() > 0) beat();
}

void ServiceManager::reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  constexpr std::int64_t kMillion = 1'000'000;
  const std::int64_t since_boot_us = now.tv_sec * kMillion + now.tv_nsec / 1000;
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(since_boot_us));
}

void ServiceManager::stopping() { send("STOPPING=1\nSTATUS=Waiting for runs to end"); }

void ServiceManager::beat() {
  send("WATCHDOG=1");
  wheel_.arm_after(timer_, watchdog_interval_);
}

void ServiceManager::send(const std::string& state) const {
  if (descriptor_ < 0) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(socket_, address.sun_path);
  if (socket_.front() == '@') address.sun_path[0] = '\0';
  const auto length = offsetof(sockaddr_un, sun_path) + socket_.size();
  // Errors are ignored: without a receiver there is nothing to notify, and if the queue is full, a
  // later message is sent.
  sendto(descriptor_, state.data(), state.size(), MSG_NOSIGNAL,
         reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length));
}

}  // namespace vitalsd
