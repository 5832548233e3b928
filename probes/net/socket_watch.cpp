#include "probes/net/socket_watch.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace vitalsd::net {

using namespace std::chrono_literals;
using Descriptor = boost::asio::posix::stream_descriptor;

namespace {

constexpr auto kReading = static_cast<std::size_t>(SocketWatch::Event::readable);
constexpr auto kWriting = static_cast<std::size_t>(SocketWatch::Event::writable);
// Of a stream that brings less than this at a time, a wake-up costs more than what it brings.
constexpr std::size_t kMuch = 32 * 1024;
constexpr std::chrono::milliseconds kMinRest = 1ms;
constexpr std::chrono::milliseconds kMaxRest = 200ms;  // nothing is published more often

}  // namespace

struct SocketWatch::Watched {
  Watched(boost::asio::io_context& loop, int socket)
      : descriptor(loop, socket), timer(loop), number(socket) {}

  Descriptor descriptor;
  boost::asio::steady_timer timer;  // finer than the wheel's slots
  std::chrono::milliseconds rest{0};
  int number;
  std::array<bool, 2> wanted{};  // by Event
  std::array<bool, 2> waiting{};
  bool gone = false;

  // Lets go of the socket without closing it; waits end with an error.
  void release() {
    gone = true;
    timer.cancel();
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
  if (writable) place->timer.cancel();  // it rests no longer
  wait(place);
}

void SocketWatch::gather(int socket, std::size_t bytes) {
  const auto found = sockets_.find(socket);
  if (found == sockets_.end() || found->second->waiting[kWriting]) return;
  const std::shared_ptr<Watched> watched = found->second;
  if (!watched->descriptor.is_open()) return;  // it rests
  watched->rest =
      bytes > kMuch ? watched->rest / 2 : std::clamp(2 * watched->rest, kMinRest, kMaxRest);
  watched->waiting[kReading] = true;
  watched->descriptor.release();  // else each piece that comes wakes the loop all the same
  watched->timer.expires_after(watched->rest);
  watched->timer.async_wait([this, watched](const boost::system::error_code&) {
    if (watched->gone) return;
    watched->descriptor.assign(watched->number);
    watched->waiting[kReading] = false;
    wait(watched);
  });
}

void SocketWatch::wait(const std::shared_ptr<Watched>& watched) {
  if (!watched->descriptor.is_open()) return;  // it rests
  wait_for(watched, Event::readable);
  wait_for(watched, Event::writable);
}

void SocketWatch::wait_for(const std::shared_ptr<Watched>& watched, Event event) {
  const auto index = static_cast<std::size_t>(event);
  if (!watched->wanted[index] || watched->waiting[index]) return;
  watched->waiting[index] = true;
  const auto type = index == kReading ? Descriptor::wait_read : Descriptor::wait_write;
  watched->descriptor.async_wait(
      type, [this, watched, event, index](const boost::system::error_code& error) {
        watched->waiting[index] = false;
        if (error || watched->gone) return;
        if (watched->wanted[index]) ready_(watched->number, event);
        if (!watched->gone) wait(watched);
      });
}

}  // namespace vitalsd::net
