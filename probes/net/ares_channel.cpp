#include "probes/net/ares_channel.hpp"

#include "config/problems.hpp"
#include "probes/error.hpp"

#include <cctype>
#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>
#include <utility>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

namespace vitalsd::net {
namespace {

// c-ares reads datagrams as long as any are available, so a server that sends them fast enough
// would block the loop. The rest is read when the socket is reported as readable again.
constexpr int kMaxReads = 32;

}  // namespace

const ares_socket_functions AresChannel::kSockets = {
    .asocket = [](int family, int type, int protocol, void*) -> ares_socket_t {
      return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    },
    .aclose = [](ares_socket_t socket, void*) { return close(socket); },
    .aconnect = [](ares_socket_t socket, const sockaddr* to, ares_socklen_t size,
                   void*) { return connect(socket, to, size); },
    .arecvfrom = [](ares_socket_t socket, void* into, std::size_t size, int flags, sockaddr* from,
                    ares_socklen_t* from_size, void* self) -> ares_ssize_t {
      if (static_cast<AresChannel*>(self)->reads_left_-- > 0) {
        return recvfrom(socket, into, size, flags, from, from_size);
      }
      errno = EAGAIN;
      return -1;
    },
    .asendv = [](ares_socket_t socket, const iovec* pieces, int count, void*) -> ares_ssize_t {
      return writev(socket, pieces, count);
    },
};

AresChannel::AresChannel(boost::asio::io_context& loop, TimerWheel& wheel, const Options& options)
    : wheel_(wheel),
      timer_([this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }),
      sockets_(loop, [this](int socket, SocketWatch::Event event) {
        const bool readable = event == SocketWatch::Event::readable;
        process(readable ? socket : ARES_SOCKET_BAD, readable ? ARES_SOCKET_BAD : socket);
      }) {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
  ares_options settings{};
  settings.timeout = options.timeout_ms;
  settings.tries = options.tries;
  settings.flags = (options.tcp ? ARES_FLAG_USEVC : 0) |
                   (options.recurse ? 0 : ARES_FLAG_NORECURSE) |
                   (options.take_errors ? ARES_FLAG_NOCHECKRESP : 0);
  settings.sock_state_cb = [](void* self, ares_socket_t socket, int readable, int writable) {
    try {
      static_cast<AresChannel*>(self)->sockets_.set(socket, readable != 0, writable != 0);
    } catch (const std::exception&) {  // cannot pass through c-ares; the query times out
    }
  };
  settings.sock_state_cb_data = this;
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS;
  int status = ares_init_options(&channel_, &settings, mask);
  if (status != ARES_SUCCESS) {
    throw ProbeError(Reason::config, "cannot set up DNS: " + ares_text(status));
  }
  ares_set_socket_functions(channel_, &kSockets, this);
  if (options.servers.empty()) return;
  std::string list;
  for (const std::string& server : options.servers) list += (list.empty() ? "" : ",") + server;
  status = ares_set_servers_ports_csv(channel_, list.c_str());
  if (status != ARES_SUCCESS) {
    ares_destroy(channel_);
    throw ProbeError(Reason::config, config::quoted(list) + " is not a valid list of DNS servers");
  }
}

AresChannel::~AresChannel() { ares_destroy(channel_); }

void AresChannel::process(ares_socket_t readable, ares_socket_t writable) {
  reads_left_ = kMaxReads;
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
