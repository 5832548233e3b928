#include "probes/rabbitmq/node_page.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

namespace vitalsd::rabbitmq {
namespace {

constexpr std::size_t kMaxMebibytes = 128;
constexpr std::string_view kIdentity = "rabbitmq_identity_info";
constexpr std::string_view kPrefix = "rabbitmq_detailed_";

/// Reads a line that is not valid in the text format: RabbitMQ 3.10 does not escape quotes and
/// backslashes in names.
std::optional<double> read_unescaped(std::string_view rest, net::TextLabel& vhost,
                                     net::TextLabel& name) {
  constexpr std::string_view kVhost = "{vhost=\"";
  constexpr std::string_view kQueue = "\",queue=\"";
  constexpr std::string_view kEnd = "\"} ";
  const std::size_t middle = rest.find(kQueue);
  const std::size_t end = rest.rfind(kEnd);
  if (!rest.starts_with(kVhost) || middle == std::string_view::npos ||
      end == std::string_view::npos || end < middle + kQueue.size()) {
    return std::nullopt;
  }
  vhost.value = rest.substr(kVhost.size(), middle - kVhost.size());
  name.value = rest.substr(middle + kQueue.size(), end - middle - kQueue.size());
  const std::string_view number = rest.substr(end + kEnd.size());
  double value = 0;
  const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  const bool is_number = error == std::errc() && stop == number.data() + number.size();
  return is_number ? std::optional(value) : std::nullopt;
}

}  // namespace

const std::array<NodePageReader::Family, 4> NodePageReader::kFamilies = {{
    {"queue_messages_ready", &Queue::ready},
    {"queue_messages_unacked", &Queue::unacked},
    {"queue_messages", &Queue::messages},
    {"queue_consumers", &Queue::consumers},
}};

NodePageReader::NodePageReader() : text_(kNodePagePath, kMaxMebibytes) {}

void NodePageReader::feed(std::string_view bytes) {
  while (const auto line = text_.next(bytes)) {
    if (line->name != family_) {
      family_ = line->name;
      const bool has_prefix = family_.starts_with(kPrefix);
      const auto known = std::ranges::find(
          kFamilies, line->name.substr(has_prefix ? kPrefix.size() : 0), &Family::name);
      count_ = has_prefix && known != kFamilies.end() ? known->count : nullptr;
    }
    if (count_ != nullptr) {
      read_queue(line->rest);
    } else if (family_ == kIdentity) {
      read_identity(line->rest);
    }
  }
}

void NodePageReader::read_queue(std::string_view rest) {
  std::array<net::TextLabel, 2> labels = {{{"vhost"}, {"queue"}}};
  const auto& [vhost, name] = labels;
  std::optional<double> value;
  try {
    value = text_.read(rest, labels);
  } catch (const ProbeError&) {
    // A name that cannot be parsed must not hide the other queues.
    value = read_unescaped(rest, labels[0], labels[1]);
  }
  if (!value || !std::isfinite(*value) || *value < 0) return;
  // Most families list the queues in the same order.
  std::vector<Queue>& queues = page_.queues;
  const auto is_this = [&](std::size_t at) {
    return at < queues.size() && queues[at].name == name.value && queues[at].vhost == vhost.value;
  };
  if (is_this(last_ + 1)) {
    ++last_;
  } else {
    make_key(key_, vhost.value, name.value);
    const auto [found, is_new] = index_.try_emplace(key_, queues.size());
    last_ = found->second;
    if (is_new) {
      if (queues.size() == kMaxQueues) text_.fail("too many queues");
      Queue& added = queues.emplace_back();
      added.vhost = vhost.value;
      added.name = name.value;
    }
  }
  queues[last_].*count_ = *value;
}

void NodePageReader::read_identity(std::string_view rest) {
  std::array<net::TextLabel, 2> labels = {{{"rabbitmq_node"}, {"rabbitmq_cluster_permanent_id"}}};
  text_.read(rest, labels);
  page_.node = labels[0].value;
  page_.cluster = labels[1].value;
}

NodePage NodePageReader::finish() {
  text_.finish();
  // Parsing has already failed for an HTML page. This rejects an empty page and the page of another
  // exporter.
  if (page_.node.empty()) {
    throw ProbeError(Reason::protocol, std::string(kNodePagePath) + " has no " +
                                           std::string(kIdentity) +
                                           ": it is not that of RabbitMQ's Prometheus plug-in");
  }
  // The consumers of a deleted queue stay on the page for some seconds.
  std::erase_if(page_.queues, [](const Queue& queue) {
    return !queue.ready && !queue.unacked && !queue.messages;
  });
  return std::move(page_);
}

}  // namespace vitalsd::rabbitmq
