// The receive side of sockets that a library reads: how much has arrived, when the socket counts as
// readable, and a way to block new data. Failures of the system calls are ignored unless documented
// otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vitalsd::net {

/// The number of bytes received on a TCP connection; 0 for other sockets.
std::uint64_t bytes_received(int socket);

/// The number of bytes that have arrived and have not been read.
std::size_t unread_bytes(int socket);

/// Sets the number of bytes that must be available before the socket counts as readable. No effect
/// on Unix sockets.
void set_min_readable(int socket, std::size_t bytes);

/// Whether the peer is on this machine: it has a loopback address or is a Unix socket.
bool is_loopback(int socket);

/// Blocks new data on a socket during its lifetime: the kernel drops arriving packets, and the
/// peer's kernel sends them again later. The library therefore reads exactly the bytes that the
/// caller has peeked at. The object uses a duplicate of the descriptor.
class FrozenInput {
 public:
  explicit FrozenInput(int socket);
  FrozenInput(FrozenInput&& other) noexcept;
  FrozenInput& operator=(FrozenInput&&) = delete;
  ~FrozenInput();

 private:
  int socket_;
};

}  // namespace vitalsd::net
