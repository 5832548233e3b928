// The service manager's side of the sd_notify(3) protocol.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

#include "unit/support/loop.hpp"
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace vitalsd::test {

class NotifySocket {
 public:
  /// `name` has the form of NOTIFY_SOCKET: a path, or "@..." for the abstract namespace.
  explicit NotifySocket(const std::string& name) : socket_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (name.size() >= sizeof(address.sun_path))
      throw std::runtime_error("the socket name is too long");
    std::ranges::copy(name, address.sun_path);
    if (name.front() == '@') address.sun_path[0] = '\0';
    const timeval time_limit{.tv_sec = kTimeLimit.count(), .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &time_limit, sizeof(time_limit));
    const auto length = offsetof(sockaddr_un, sun_path) + name.size();
    if (bind(socket_, reinterpret_cast<const sockaddr*>(&address),
             static_cast<socklen_t>(length)) != 0) {
      throw std::runtime_error("cannot bind " + name);
    }
  }
  ~NotifySocket() { close(socket_); }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  /// Returns the next message, or std::nullopt if none has been received yet.
  std::optional<std::string> poll() { return receive(MSG_DONTWAIT); }
  /// Waits for the next message. Returns std::nullopt if none is received within kTimeLimit.
  std::optional<std::string> wait() { return receive(0); }

 private:
  std::optional<std::string> receive(int flags) const {
    std::array<char, 4096> datagram{};
    const ssize_t size = recv(socket_, datagram.data(), datagram.size(), flags);
    if (size < 0) return std::nullopt;
    return std::string(datagram.data(), static_cast<std::size_t>(size));
  }

  int socket_;
};

}  // namespace vitalsd::test
