#include "probes/net/socket_watch.hpp"

#include <array>
#include <cstddef>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>

namespace vitalsd::net {

using Descriptor = boost::asio::posix::stream_descriptor;

struct SocketWatch::Watched {
  Watched(boost::asio::io_context& loop, int socket) : descriptor(loop, socket), number(socket) {}

  Descriptor descriptor;
  int number;
  std::array<bool, 2> wanted{};  // by Event
  std::array<bool, 2> waiting{};
  bool gone = false;

  // Lets go of the socket without closing it; waits end with an error.
  void release() {
    gone = true;
    descriptor.release();
  }
};

SocketWatch::~SocketWatch() {
  for (const auto& [number, watched] : sockets_) watched->release();
}

void SocketWatch::set(int socket, bool readable, bool writable) {
  if (!readable && !writable) {
    if (const auto found = sockets_.extract(socket)) found.mapped()->release();
    return;
  }
  std::shared_ptr<Watched>& place = sockets_[socket];
  if (!place) place = std::make_shared<Watched>(loop_, socket);
  place->wanted = {readable, writable};
  wait(place);
}

void SocketWatch::wait(const std::shared_ptr<Watched>& watched) {
  wait_for(watched, Event::readable);
  wait_for(watched, Event::writable);
}

void SocketWatch::wait_for(const std::shared_ptr<Watched>& watched, Event event) {
  const auto index = static_cast<std::size_t>(event);
  if (!watched->wanted[index] || watched->waiting[index]) return;
  watched->waiting[index] = true;
  const auto type = event == Event::readable ? Descriptor::wait_read : Descriptor::wait_write;
  watched->descriptor.async_wait(
      type, [this, watched, event, index](const boost::system::error_code& error) {
        watched->waiting[index] = false;
        if (error || watched->gone) return;
        if (watched->wanted[index]) ready_(watched->number, event);
        if (!watched->gone) wait(watched);
      });
}

}  // namespace vitalsd::net
