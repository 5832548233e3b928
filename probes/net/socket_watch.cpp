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
// A read that is smaller than this costs more for the wake-up than for processing the data.
constexpr std::size_t kLargeRead = 32 * 1024;
constexpr std::chrono::milliseconds kMinDelay = 1ms;
// Metrics are not published more often than this.
constexpr std::chrono::milliseconds kMaxDelay = 200ms;

}  // namespace

struct SocketWatch::Watched {
  Watched(boost::asio::io_context& loop, int socket)
      : descriptor(loop, socket), timer(loop), number(socket) {}
  ~Watched() {
    if (descriptor.is_open()) descriptor.release();  // the library closes it
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  Descriptor descriptor;
  boost::asio::steady_timer timer;  // more precise than the slots of the wheel
  std::chrono::milliseconds delay{0};
  int number;
  std::array<bool, 2> wanted{};  // by Event
  std::array<bool, 2> waiting{};
  bool released = false;

  // Detaches the socket without closing it; pending waits end with an error.
  void release() {
    released = true;
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
  auto found = sockets_.find(socket);
  if (found == sockets_.end()) {  // if no memory is left, there must be no entry without an object
    found = sockets_.emplace(socket, std::make_shared<Watched>(loop_, socket)).first;
  }
  const std::shared_ptr<Watched>& watched = found->second;
  watched->wanted = {readable, writable};
  if (writable) watched->timer.cancel();  // ends the delay
  wait(watched);
}

void SocketWatch::delay_reading(int socket, std::size_t bytes) {
  const auto found = sockets_.find(socket);
  if (found == sockets_.end() || found->second->waiting[kWriting]) return;
  const std::shared_ptr<Watched> watched = found->second;
  if (!watched->descriptor.is_open()) return;  // already delayed
  watched->delay = bytes > kLargeRead ? watched->delay / 2
                                      : std::clamp(2 * watched->delay, kMinDelay, kMaxDelay);
  watched->waiting[kReading] = true;
  watched->descriptor.release();  // an assigned socket would wake up the loop for each packet
  watched->timer.expires_after(watched->delay);
  watched->timer.async_wait([this, watched](const boost::system::error_code&) {
    if (watched->released) return;
    watched->descriptor.assign(watched->number);
    watched->waiting[kReading] = false;
    wait(watched);
  });
}

void SocketWatch::wait(const std::shared_ptr<Watched>& watched) {
  if (!watched->descriptor.is_open()) return;  // reading is delayed
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
        if (error || watched->released) return;
        if (watched->wanted[index]) ready_(watched->number, event);
        if (!watched->released) wait(watched);
      });
}

}  // namespace vitalsd::net
