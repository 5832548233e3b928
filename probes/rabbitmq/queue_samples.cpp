#include "probes/rabbitmq/queue_samples.hpp"

#include "probes/kubernetes/watch/watched.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace vitalsd::rabbitmq {
namespace {

/// The number of queues in one fragment, and in one step between two yields.
constexpr std::size_t kChunk = 128;

using Yield = kubernetes::LoopYield;

void add(std::optional<double>& sum, const std::optional<double>& value) {
  if (value) sum = sum.value_or(0) + *value;
}

void add(QueueSum& sum, const Queue& queue) {
  ++sum.queues;
  add(sum.ready, queue.ready);
  add(sum.unacked, queue.unacked);
  add(sum.messages, queue.messages);
  add(sum.consumers, queue.consumers);
}

/// The sums of a group without queues are 0. Those of queues without counts are unknown.
QueueSum or_zero(const QueueSum& sum) {
  if (sum.queues > 0) return sum;
  return {.ready = 0, .unacked = 0, .messages = 0, .consumers = 0};
}

/// Sorts the deepest queues first. Queues of the same depth have the same order in all runs.
bool is_deeper(const Queue* a, const Queue* b) {
  const auto order = [](const Queue* queue) {
    return std::tuple(-queue->ready.value_or(0), std::string_view(queue->vhost),
                      std::string_view(queue->name));
  };
  return order(a) < order(b);
}

std::string_view to_text(const std::optional<bool>& flag) {
  return !flag ? "" : *flag ? "true" : "false";
}

void add_samples(Part& part, const Queue& queue, bool kbudde) {
  const QueueAttributes& is = queue.attributes;
  if (kbudde) {
    kKbuddeQueueTable.add(part, queue, queue.vhost, queue.name, to_text(is.durable), is.policy,
                          kSelf);
  } else {
    kQueueTable.add(part, queue, queue.vhost, queue.name);
  }
  if (!is.type.empty()) {
    part.add(kQueueInfo, 1, queue.vhost, queue.name, is.type, to_text(is.durable), is.policy);
  }
}

void keep_worse(const Queue*& worst, const Queue* queue) {
  if (queue->ready && (worst == nullptr || *queue->ready > *worst->ready)) worst = queue;
}

/// Whether it is known whether the queue needs a consumer.
bool is_judged(const Queue& queue, const QueueOptions& options) {
  return !options.has_types || !queue.attributes.type.empty();
}

/// Messages stay in a stream after they have been consumed.
bool lacks_consumer(const Queue& queue, const QueueOptions& options) {
  return queue.consumers == 0.0 && is_judged(queue, options) && queue.attributes.type != "stream" &&
         !options.no_consumers.matches_name(queue.name);
}

}  // namespace

asio::awaitable<Queues> merge(std::vector<std::vector<Queue>*> current,
                              std::vector<std::vector<Queue>*> previous) {
  Yield yield;
  Queues merged;
  std::unordered_map<std::string, std::size_t> index;  // into merged
  std::string key;
  std::size_t count = 0;
  const auto take = [&](const Queue& queue, bool is_current) {
    make_key(key, queue.vhost, queue.name);
    const auto [found, is_new] = index.try_emplace(key, merged.size());
    if (is_new) {
      merged.push_back(&queue);
    } else if (is_current) {
      const Queue*& other = merged[found->second];
      if (queue.messages.value_or(-1) > other->messages.value_or(-1)) other = &queue;
    }
  };
  for (const bool is_current : {true, false}) {
    for (const std::vector<Queue>* queues : is_current ? current : previous) {
      for (const Queue& queue : *queues) {
        take(queue, is_current);
        if (++count % kChunk == 0) co_await yield.yield_if_due();
      }
    }
  }
  co_return merged;
}

asio::awaitable<AttributeMap> map_attributes(const std::vector<Queue>& queues) {
  Yield yield;
  AttributeMap attributes;
  std::string key;
  for (std::size_t i = 0; i < queues.size(); ++i) {
    make_key(key, queues[i].vhost, queues[i].name);
    attributes[key] = queues[i].attributes;
    if ((i + 1) % kChunk == 0) co_await yield.yield_if_due();
  }
  co_return attributes;
}

asio::awaitable<void> set_attributes(std::vector<Queue>& queues, const AttributeMap& attributes) {
  Yield yield;
  std::string key;
  for (std::size_t i = 0; i < queues.size(); ++i) {
    make_key(key, queues[i].vhost, queues[i].name);
    const auto found = attributes.find(key);
    if (found != attributes.end()) queues[i].attributes = found->second;
    if ((i + 1) % kChunk == 0) co_await yield.yield_if_due();
  }
}

asio::awaitable<void> add_queues(const QueueOptions& options, Queues queues, bool complete,
                                 SampleSet& out) {
  Yield yield;
  if (complete) out.add(kQueues, static_cast<double>(queues.size()));
  QueueSum temporary;
  QueueSum rest;
  const Queue* deepest = nullptr;
  const Queue* unconsumed = nullptr;
  bool has_judged = false;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < queues.size(); ++i) {
    const Queue* const queue = queues[i];
    if (!options.temporary && queue->is_temporary()) {
      add(temporary, *queue);
    } else {
      queues[kept++] = queue;
      keep_worse(deepest, queue);
      has_judged = has_judged || (queue->ready && is_judged(*queue, options));
      if (lacks_consumer(*queue, options)) keep_worse(unconsumed, queue);
    }
    if ((i + 1) % kChunk == 0) co_await yield.yield_if_due();
  }
  queues.resize(kept);
  if (deepest != nullptr) out.check(kReadyCheck, *deepest->ready, deepest->title());
  if (unconsumed != nullptr) {
    out.check(kUnconsumedCheck, *unconsumed->ready, unconsumed->title());
  } else if (has_judged) {
    out.check(kUnconsumedCheck, 0);
  }

  if (kept > options.max_queues) {
    const auto end = queues.begin() + static_cast<std::ptrdiff_t>(options.max_queues);
    std::ranges::nth_element(queues, end, is_deeper);
    for (auto queue = end; queue != queues.end(); ++queue) add(rest, **queue);
    queues.erase(end, queues.end());
    co_await yield.yield_if_due();
  }
  if (complete) {
    // Both groups are always added, so that a sum of 0 differs from an unknown sum.
    kOtherTable.add(out, or_zero(temporary), "temporary");
    kOtherTable.add(out, or_zero(rest), "over_max_queues");
  }

  // Rendered here in steps, because the ledger would render all queues in one step.
  Part samples;
  for (std::size_t i = 0; i < queues.size(); i += kChunk) {
    samples.clear();
    for (const Queue* queue : std::span(queues).subspan(i, std::min(kChunk, queues.size() - i))) {
      add_samples(samples, *queue, options.kbudde);
    }
    Rendering lines;
    std::size_t duplicates = 0;
    samples.render(lines, out.constant_labels(), duplicates);
    out.attach(to_fragment(std::move(lines)));
    co_await yield.yield_if_due();
  }
}

}  // namespace vitalsd::rabbitmq
