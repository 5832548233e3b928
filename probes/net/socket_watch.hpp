// Watches the sockets of libraries that read and write for themselves and only want to hear when
// they can (c-ares, libcurl). Probe loop only.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include <boost/asio/io_context.hpp>

namespace vitalsd::net {

class SocketWatch {
 public:
  enum class Event : unsigned char { readable, writable };

  /// `ready(socket, event)` may do anything with the library, which may call set() again.
  SocketWatch(boost::asio::io_context& loop, std::function<void(int, Event)> ready)
      : loop_(loop), ready_(std::move(ready)) {}
  ~SocketWatch();
  SocketWatch(const SocketWatch&) = delete;
  SocketWatch& operator=(const SocketWatch&) = delete;

  /// What to watch a socket for from now on. With neither it is let go of, for the library to close
  /// it.
  void set(int socket, bool readable, bool writable);

  [[nodiscard]] bool watches(int socket) const { return sockets_.contains(socket); }

  /// From within `ready`, for a stream: so many bytes have come. Where that is little, the socket
  /// is left alone for a while, the longer the less comes, so that more is read at once.
  void gather(int socket, std::size_t bytes);

 private:
  struct Watched;
  void wait(const std::shared_ptr<Watched>& watched);
  void wait_for(const std::shared_ptr<Watched>& watched, Event event);

  boost::asio::io_context& loop_;
  std::function<void(int, Event)> ready_;
  std::map<int, std::shared_ptr<Watched>> sockets_;
};

}  // namespace vitalsd::net
