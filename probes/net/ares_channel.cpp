#include "probes/net/ares_channel.hpp"

#include "probes/error.hpp"

#include <cctype>
#include <chrono>
#include <mutex>
#include <utility>

#include <sys/time.h>

namespace vitalsd::net {

namespace asio = boost::asio;

struct AresChannel::Socket {
  explicit Socket(asio::io_context& loop, ares_socket_t fd) : descriptor(loop, fd), number(fd) {}
  asio::posix::stream_descriptor descriptor;
  ares_socket_t number;
  bool want_read = false;
  bool want_write = false;
  bool reading = false;  // an async_wait is under way
  bool writing = false;
  bool closed = false;  // c-ares is done with it
};

AresChannel::AresChannel(asio::io_context& loop, TimerWheel& wheel, const Options& options)
    : loop_(loop), wheel_(wheel), timer_([this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }) {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
  ares_options settings{};
  settings.timeout = options.timeout_ms;
  settings.tries = options.tries;
  settings.flags = (options.tcp ? ARES_FLAG_USEVC : 0) |
                   (options.recurse ? 0 : ARES_FLAG_NORECURSE) |
                   (options.take_errors ? ARES_FLAG_NOCHECKRESP : 0);
  settings.sock_state_cb = &AresChannel::on_state;
  settings.sock_state_cb_data = this;
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS;
  int status = ares_init_options(&channel_, &settings, mask);
  if (status != ARES_SUCCESS) {
    throw ProbeError(Reason::config, "cannot set up DNS: " + ares_text(status));
  }
  if (options.servers.empty()) return;
  std::string list;
  for (const std::string& server : options.servers) list += (list.empty() ? "" : ",") + server;
  status = ares_set_servers_ports_csv(channel_, list.c_str());
  if (status != ARES_SUCCESS) {
    ares_destroy(channel_);
    throw ProbeError(Reason::config, "not a list of DNS servers: " + list);
  }
}

AresChannel::~AresChannel() { ares_destroy(channel_); }

void AresChannel::on_state(void* self, ares_socket_t number, int readable, int writable) {
  auto& channel = *static_cast<AresChannel*>(self);
  std::shared_ptr<Socket>& place = channel.sockets_[number];
  if (!place) place = std::make_shared<Socket>(channel.loop_, number);
  const std::shared_ptr<Socket> socket = place;
  socket->want_read = readable != 0;
  socket->want_write = writable != 0;
  if (!socket->want_read && !socket->want_write) {
    // c-ares closes it next: let go of the number without closing it.
    socket->closed = true;
    socket->descriptor.release();
    channel.sockets_.erase(number);
    return;
  }
  channel.wait(socket);
}

void AresChannel::wait(const std::shared_ptr<Socket>& socket) {
  using Descriptor = asio::posix::stream_descriptor;
  if (socket->want_read && !socket->reading) {
    socket->reading = true;
    socket->descriptor.async_wait(Descriptor::wait_read,
                                  [this, socket](const boost::system::error_code& error) {
                                    socket->reading = false;
                                    if (error || socket->closed) return;
                                    process(socket->number, ARES_SOCKET_BAD);
                                    if (!socket->closed) wait(socket);
                                  });
  }
  if (socket->want_write && !socket->writing) {
    socket->writing = true;
    socket->descriptor.async_wait(Descriptor::wait_write,
                                  [this, socket](const boost::system::error_code& error) {
                                    socket->writing = false;
                                    if (error || socket->closed) return;
                                    process(ARES_SOCKET_BAD, socket->number);
                                    if (!socket->closed) wait(socket);
                                  });
  }
}

void AresChannel::process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel_, readable, writable);
  rearm();
}

void AresChannel::rearm() {
  timeval next{};
  if (ares_timeout(channel_, nullptr, &next) == nullptr) {
    timer_.disarm();
    return;
  }
  wheel_.arm_after(timer_,
                   std::chrono::seconds(next.tv_sec) + std::chrono::microseconds(next.tv_usec));
}

std::string ares_text(int status) {
  std::string text = ares_strerror(status);
  if (!text.empty() && text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

}  // namespace vitalsd::net
