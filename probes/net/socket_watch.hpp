// Reports readable and writable sockets to libraries that do the input and output themselves
// (c-ares, libcurl). Probe loop only.
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

  /// `ready(socket, event)` may call the library, and the library may call set().
  SocketWatch(boost::asio::io_context& loop, std::function<void(int, Event)> ready)
      : loop_(loop), ready_(std::move(ready)) {}
  ~SocketWatch();
  SocketWatch(const SocketWatch&) = delete;
  SocketWatch& operator=(const SocketWatch&) = delete;

  /// Sets the events to report for a socket. If both are false, the socket is released but not
  /// closed; the library closes it.
  void set(int socket, bool readable, bool writable);

  [[nodiscard]] bool watches(int socket) const { return sockets_.contains(socket); }

  /// Must be called from `ready` for a stream, with the number of bytes that were read. If the
  /// number is small, the next readable event is delayed, so that more bytes are read at once. The
  /// delay grows as long as reads stay small.
  void delay_reading(int socket, std::size_t bytes);

 private:
  struct Watched;
  void wait(const std::shared_ptr<Watched>& watched);
  void wait_for(const std::shared_ptr<Watched>& watched, Event event);

  boost::asio::io_context& loop_;
  std::function<void(int, Event)> ready_;
  std::map<int, std::shared_ptr<Watched>> sockets_;
};

}  // namespace vitalsd::net
