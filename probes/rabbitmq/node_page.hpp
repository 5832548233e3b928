// A streaming reader of a node's /metrics/detailed, a page of the Prometheus plug-in: the queues
// whose leader is on the node, and the node's identity. Pure.
#pragma once

#include "probes/net/text_page.hpp"
#include "probes/rabbitmq/queue.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vitalsd::rabbitmq {

/// The path and the query of the page.
constexpr std::string_view kNodePagePath = "/metrics/detailed";
constexpr std::string_view kNodePageQuery =
    "family=queue_coarse_metrics&family=queue_consumer_count";

struct NodePage {
  std::string node;  ///< "rabbit@host"
  /// The permanent id of the cluster. The cluster's name is not used, because it differs between
  /// nodes until it is set.
  std::string cluster;
  std::vector<Queue> queues;
};

class NodePageReader {
 public:
  NodePageReader();

  /// Parses a piece of the page. Skips lines of queues that cannot be read. Throws
  /// ProbeError(protocol) with the line number for a line without a name or longer than 64 KiB, and
  /// for a page over 128 MiB or with more than kMaxQueues.
  void feed(std::string_view bytes);

  /// Call it once, after the last piece. Throws ProbeError(protocol) if the page ends in the middle
  /// of a line or does not name the node.
  NodePage finish();

 private:
  struct Family {
    std::string_view name;
    std::optional<double> Queue::* count;
  };
  static const std::array<Family, 4> kFamilies;

  void read_queue(std::string_view rest);
  void read_identity(std::string_view rest);

  net::TextPage text_;
  NodePage page_;
  std::unordered_map<std::string, std::size_t> index_;  // into page_.queues
  std::string key_;                                     // buffer for a key of index_
  std::size_t last_ = 0;                                // the queue of the last line
  std::string family_;                                  // the family of the last line
  // The field of that family; null if it is not selected.
  std::optional<double> Queue::* count_ = nullptr;
};

}  // namespace vitalsd::rabbitmq
