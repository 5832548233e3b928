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

/// Returns the queues of `current`, and those of `previous` that are not in `current`. Two nodes
/// may report a queue whose leader moves; the entry with more messages is used. Yields to the loop.
asio::awaitable<Queues> merge(std::vector<std::vector<Queue>*> current,
                              std::vector<std::vector<Queue>*> previous);

/// The keys are those of make_key().
using AttributeMap = std::unordered_map<std::string, QueueAttributes>;

/// Both functions yield to the loop.
asio::awaitable<AttributeMap> map_attributes(const std::vector<Queue>& queues);
asio::awaitable<void> set_attributes(std::vector<Queue>& queues, const AttributeMap& attributes);

struct QueueOptions {
  std::size_t max_queues = 0;
  bool temporary = false;     ///< temporary queues have series of their own
  bool kbudde = false;        ///< names of kbudde
  net::Pattern no_consumers;  ///< queues that need no consumer
  bool has_types = false;     ///< types are read, so a queue without a known type may be a stream
};

/// Adds the samples and the checks of the queues. If `complete` is false, some queues are unknown,
/// so all sums are unknown. Yields to the loop.
asio::awaitable<void> add_queues(const QueueOptions& options, Queues queues, bool complete,
                                 SampleSet& out);

}  // namespace vitalsd::rabbitmq
