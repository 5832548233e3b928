// A queue of RabbitMQ, as the Prometheus plug-in and the management API report it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::rabbitmq {

/// A cluster with more queues is an error. This number of queues needs about 50 MiB.
constexpr std::size_t kMaxQueues = 200'000;

/// Attributes that a declaration sets, and the state. Only the management API reports them.
struct QueueAttributes {
  std::string type;   ///< "classic", "quorum", "stream", ...; empty if unknown
  std::string state;  ///< "running", "idle", "down", ...; empty if unknown
  std::string policy;
  std::optional<bool> durable;
  std::optional<bool> exclusive;
  std::optional<bool> auto_delete;
};

/// Counts are empty if they are unknown, for example for a queue that has just been declared.
struct Queue {
  std::string vhost;
  std::string name;
  std::optional<double> ready;
  std::optional<double> unacked;
  std::optional<double> messages;
  std::optional<double> consumers;
  QueueAttributes attributes;

  /// "emissions", or "shop/emissions" if the virtual host is not the default.
  [[nodiscard]] std::string title() const { return vhost == "/" ? name : vhost + '/' + name; }
  /// Whether the queue is deleted together with its consumers, or has a name that the server chose.
  [[nodiscard]] bool is_temporary() const {
    return attributes.exclusive.value_or(false) || attributes.auto_delete.value_or(false) ||
           name.starts_with("amq.gen-");
  }
};

/// Writes a key for maps. Virtual hosts and names contain no NUL.
inline void make_key(std::string& key, std::string_view vhost, std::string_view name) {
  key = vhost;
  key += '\0';
  key += name;
}

}  // namespace vitalsd::rabbitmq
