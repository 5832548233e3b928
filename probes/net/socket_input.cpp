#include "probes/net/socket_input.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vitalsd::net {
namespace {

// glibc's tcp_info ends before the fields that are needed here. <linux/tcp.h> has all of them, but
// cannot be included together with <netinet/tcp.h>.
struct TcpInfo {
  tcp_info known;
  std::uint64_t pacing_rate;
  std::uint64_t max_pacing_rate;
  std::uint64_t bytes_acked;
  std::uint64_t bytes_received;
};

}  // namespace

std::uint64_t bytes_received(int socket) {
  TcpInfo info{};
  socklen_t size = sizeof info;
  return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.bytes_received : 0;
}

std::size_t unread_bytes(int socket) {
  int count = 0;
  return ioctl(socket, FIONREAD, &count) == 0 ? static_cast<std::size_t>(count) : 0;
}

void set_min_readable(int socket, std::size_t bytes) {
  const int count = static_cast<int>(bytes);
  setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &count, sizeof count);
}

bool is_loopback(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.ss_family == AF_UNIX) return true;
  boost::asio::ip::tcp::endpoint peer;
  std::memcpy(peer.data(), &address, std::min<std::size_t>(size, peer.capacity()));
  return peer.address().is_loopback();
}

FrozenInput::FrozenInput(int socket) : socket_(fcntl(socket, F_DUPFD_CLOEXEC, 0)) {
  sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &drop_all};
  setsockopt(socket_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

FrozenInput::FrozenInput(FrozenInput&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)) {}

FrozenInput::~FrozenInput() {
  if (socket_ < 0) return;
  const int unused = 0;
  setsockopt(socket_, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
  close(socket_);
}

}  // namespace vitalsd::net
