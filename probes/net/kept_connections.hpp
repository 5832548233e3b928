// Connections that probes keep open between their runs. Their number is limited, so that
// descriptors remain for runs, files and the web server. Probe loop only.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

namespace vitalsd::net {

/// The connections of all probes.
class KeptConnections {
 public:
  /// A smaller limit closes no connection at once: keep() applies it after the next run.
  void set_max(std::size_t max) { max_ = max; }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  template <class Connection>
  friend class KeptConnection;

  std::size_t max_ = std::numeric_limits<std::size_t>::max();
  std::size_t count_ = 0;
};

/// The connection of one probe. A run takes it out, so that a run that ends early does not leave a
/// connection with an unread response to the next run.
template <class Connection>
class KeptConnection {
 public:
  explicit KeptConnection(KeptConnections& all) : all_(all) {}
  ~KeptConnection() { take(); }
  KeptConnection(const KeptConnection&) = delete;
  KeptConnection& operator=(const KeptConnection&) = delete;

  std::optional<Connection> take() {
    if (connection_) --all_.count_;
    return std::exchange(connection_, std::nullopt);
  }

  /// Closes the connection if there are too many.
  void keep(std::optional<Connection> connection) {
    take();
    if (!connection || all_.count_ >= all_.max_) return;
    ++all_.count_;
    connection_ = std::move(connection);
  }

 private:
  KeptConnections& all_;
  std::optional<Connection> connection_;
};

}  // namespace vitalsd::net
