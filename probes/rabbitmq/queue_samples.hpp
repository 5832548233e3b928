// Merges the queues that several nodes report and adds their samples. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/options.hpp"
#include "probes/rabbitmq/metrics.hpp"
#include "probes/rabbitmq/queue.hpp"

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::rabbitmq {

namespace asio = boost::asio;

using Queues = std::vector<const Queue*>;

/// The queues of `current`, and those of `previous` that are not in it. A queue whose leader moves
/// may be reported by two nodes; the entry with more messages counts. Yields to the loop.
asio::awaitable<Queues> merge(std::vector<std::vector<Queue>*> current,
                              std::vector<std::vector<Queue>*> previous);

/// By make_key().
using AttributeMap = std::unordered_map<std::string, QueueAttributes>;

/// Both yield to the loop.
asio::awaitable<AttributeMap> map_attributes(const std::vector<Queue>& queues);
asio::awaitable<void> set_attributes(std::vector<Queue>& queues, const AttributeMap& attributes);

struct QueueOptions {
  std::size_t max_queues = 0;
  bool temporary = false;     ///< temporary queues have series of their own
  bool kbudde = false;        ///< names of kbudde
  net::Pattern no_consumers;  ///< queues that need no consumer
  bool has_types = false;     ///< a queue whose type is not known yet may be a stream
};

/// Adds the samples and the checks of the queues. If not `complete`, some queues are unknown, and
/// so are all sums. Yields to the loop.
asio::awaitable<void> add_queues(const QueueOptions& options, Queues queues, bool complete,
                                 SampleSet& out);

}  // namespace vitalsd::rabbitmq
