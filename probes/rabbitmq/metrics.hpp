// The metrics and checks of kind `rabbitmq`. Names are those of RabbitMQ's Prometheus plug-in
// without the prefix `detailed_`, or on request those of rabbitmq_exporter (kbudde).
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "probes/rabbitmq/management.hpp"
#include "probes/rabbitmq/queue.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::rabbitmq {

/// One kbudde exporter runs beside each node, and each exporter reports the whole cluster. Rules
/// therefore select `self="1"`, which selects one series for each queue and node. A probe publishes
/// only that series.
inline constexpr std::string_view kSelf = "1";

inline constexpr Metric kUp({.name = "rabbitmq_up",
                             .help = "Whether the cluster is up (1) or down (0)."});

/// Names of the plug-in. Labels: vhost, queue.
inline constexpr MetricTable kQueueTable(
    MetricRow{Metric({.name = "rabbitmq_queue_messages_ready",
                      .help = "Messages that wait for a consumer."},
                     "vhost", "queue"),
              [](const Queue& queue) { return queue.ready; }},
    MetricRow{Metric({.name = "rabbitmq_queue_messages_unacked",
                      .help = "Messages that consumers have not acknowledged."},
                     "vhost", "queue"),
              [](const Queue& queue) { return queue.unacked; }},
    MetricRow{Metric({.name = "rabbitmq_queue_messages",
                      .help = "Messages of the queue, ready and unacknowledged."},
                     "vhost", "queue"),
              [](const Queue& queue) { return queue.messages; }},
    MetricRow{Metric({.name = "rabbitmq_queue_consumers", .help = "Consumers of the queue."},
                     "vhost", "queue"),
              [](const Queue& queue) { return queue.consumers; }},
    MetricRow{Metric({.name = "rabbitmq_queue_state",
                      .help = "Always 1; the label has the state. Needs the management API."},
                     "vhost", "queue", "state"),
              [](const Queue& queue, auto put) {
                if (!queue.attributes.state.empty()) put(1, queue.attributes.state);
              }});

/// Names of kbudde. Labels: vhost, queue, durable, policy, self. The label `cluster` of kbudde is
/// left out, because it would conflict with a label `cluster` of the user.
inline constexpr MetricTable kKbuddeQueueTable(
    MetricRow{Metric({.name = "rabbitmq_queue_messages_ready",
                      .help = "Messages that wait for a consumer; with `names: kbudde`."},
                     "vhost", "queue", "durable", "policy", "self"),
              [](const Queue& queue) { return queue.ready; }},
    MetricRow{Metric({.name = "rabbitmq_queue_messages_unacknowledged",
                      .help = "Messages that consumers have not acknowledged; with `names: "
                              "kbudde`."},
                     "vhost", "queue", "durable", "policy", "self"),
              [](const Queue& queue) { return queue.unacked; }},
    MetricRow{Metric({.name = "rabbitmq_queue_messages",
                      .help = "Messages of the queue, ready and unacknowledged; with `names: "
                              "kbudde`."},
                     "vhost", "queue", "durable", "policy", "self"),
              [](const Queue& queue) { return queue.messages; }},
    MetricRow{Metric({.name = "rabbitmq_queue_consumers",
                      .help = "Consumers of the queue; with `names: kbudde`."},
                     "vhost", "queue", "durable", "policy", "self"),
              [](const Queue& queue) { return queue.consumers; }},
    MetricRow{Metric({.name = "rabbitmq_queue_state",
                      .help = "Whether the state is running or idle (1) or another one (0); the "
                              "label has the state. With `names: kbudde`."},
                     "vhost", "queue", "durable", "policy", "self", "state"),
              [](const Queue& queue, auto put) {
                const std::string& state = queue.attributes.state;
                if (!state.empty()) put(state == "running" || state == "idle", state);
              }});

inline constexpr Metric kQueueInfo(
    {.name = "rabbitmq_queue_info",
     .help = "Always 1; the labels describe the queue. Needs the management API."},
    "vhost", "queue", "queue_type", "durable", "policy");

/// The sums of queues that have no series of their own.
struct QueueSum {
  std::size_t queues = 0;
  std::optional<double> ready;
  std::optional<double> unacked;
  std::optional<double> messages;
  std::optional<double> consumers;
};

/// Label: group.
inline constexpr MetricTable kOtherTable(
    MetricRow{Metric({.name = "rabbitmq_other_queues",
                      .help = "Queues that have no series of their own: `temporary` (exclusive, "
                              "auto-delete, amq.gen-*), and those over the limit max_queues."},
                     "group"),
              [](const QueueSum& sum) { return sum.queues; }},
    MetricRow{Metric({.name = "rabbitmq_other_queue_messages_ready",
                      .help = "Sum of rabbitmq_queue_messages_ready over queues without series."},
                     "group"),
              [](const QueueSum& sum) { return sum.ready; }},
    MetricRow{Metric({.name = "rabbitmq_other_queue_messages_unacked",
                      .help = "Sum of rabbitmq_queue_messages_unacked over queues without series."},
                     "group"),
              [](const QueueSum& sum) { return sum.unacked; }},
    MetricRow{Metric({.name = "rabbitmq_other_queue_messages",
                      .help = "Sum of rabbitmq_queue_messages over queues without series."},
                     "group"),
              [](const QueueSum& sum) { return sum.messages; }},
    MetricRow{Metric({.name = "rabbitmq_other_queue_consumers",
                      .help = "Sum of rabbitmq_queue_consumers over queues without series."},
                     "group"),
              [](const QueueSum& sum) { return sum.consumers; }});

inline constexpr Metric kQueues(
    {.name = "rabbitmq_queues",
     .help = "Queues of the cluster; absent if a node does not respond."});

/// Names of the plug-in. Label: node. All need the management API.
inline constexpr MetricTable kNodeTable(
    MetricRow{
        Metric({.name = "rabbitmq_partitions",
                .help = "Nodes that this node is partitioned from. Needs the management API."},
               "node"),
        [](const ManagedNode& node) { return node.partitions; }},
    MetricRow{Metric({.name = "rabbitmq_alarms_memory_used_watermark",
                      .help = "Whether the memory alarm is in effect, which blocks publishers."},
                     "node"),
              [](const ManagedNode& node) { return node.memory_alarm; }},
    MetricRow{Metric({.name = "rabbitmq_alarms_free_disk_space_watermark",
                      .help = "Whether the disk alarm is in effect, which blocks publishers."},
                     "node"),
              [](const ManagedNode& node) { return node.disk_alarm; }},
    MetricRow{Metric({.name = "rabbitmq_process_resident_memory_bytes",
                      .unit = Unit::bytes,
                      .help = "Memory that the node uses."},
                     "node"),
              [](const ManagedNode& node) { return node.memory_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_resident_memory_limit_bytes",
                      .unit = Unit::bytes,
                      .help = "Memory from which the node raises the memory alarm."},
                     "node"),
              [](const ManagedNode& node) { return node.memory_limit_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_disk_space_available_bytes",
                      .unit = Unit::bytes,
                      .help = "Free disk space of the node."},
                     "node"),
              [](const ManagedNode& node) { return node.disk_free_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_disk_space_available_limit_bytes",
                      .unit = Unit::bytes,
                      .help = "Free disk space below which the node raises the disk alarm."},
                     "node"),
              [](const ManagedNode& node) { return node.disk_limit_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_process_open_fds",
                      .help = "File descriptors that the node has open."},
                     "node"),
              [](const ManagedNode& node) { return node.descriptors; }},
    MetricRow{Metric({.name = "rabbitmq_process_max_fds",
                      .help = "File descriptors that the node may open."},
                     "node"),
              [](const ManagedNode& node) { return node.max_descriptors; }});

/// Names of kbudde. Labels: node, self.
inline constexpr MetricTable kKbuddeNodeTable(
    MetricRow{Metric({.name = "rabbitmq_partitions",
                      .help = "Nodes that this node is partitioned from; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.partitions; }},
    MetricRow{Metric({.name = "rabbitmq_node_mem_alarm",
                      .help = "Whether the memory alarm is in effect; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.memory_alarm; }},
    MetricRow{Metric({.name = "rabbitmq_node_disk_free_alarm",
                      .help = "Whether the disk alarm is in effect; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.disk_alarm; }},
    MetricRow{Metric({.name = "rabbitmq_node_mem_used",
                      .help = "Bytes of memory that the node uses; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.memory_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_node_mem_limit",
                      .help = "Bytes of memory from which the node raises the memory alarm; with "
                              "`names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.memory_limit_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_node_disk_free",
                      .help = "Bytes of free disk space; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.disk_free_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_node_disk_free_limit",
                      .help = "Bytes of free disk space below which the node raises the disk "
                              "alarm; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.disk_limit_bytes; }},
    MetricRow{Metric({.name = "rabbitmq_fd_used",
                      .help = "File descriptors that the node has open; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.descriptors; }},
    MetricRow{Metric({.name = "rabbitmq_fd_available",
                      .help = "File descriptors that the node may open; with `names: kbudde`."},
                     "node", "self"),
              [](const ManagedNode& node) { return node.max_descriptors; }});

inline constexpr Metric kNodeUp({.name = "rabbitmq_node_up",
                                 .help = "Whether a node of the cluster responds or, according to "
                                         "the management API, runs."},
                                "node");
inline constexpr Metric kRunning({.name = "rabbitmq_running",
                                  .help = "The same as rabbitmq_node_up; with `names: kbudde`."},
                                 "node", "self");

inline constexpr auto kMetrics =
    metric_list(kQueueTable, kQueueInfo, kQueues, kOtherTable, kNodeUp, kNodeTable,
                kKbuddeQueueTable, kRunning, kKbuddeNodeTable);

inline constexpr Check kReadyCheck{.name = "queue_depth",
                                   .worse = Worse::above,
                                   .warn = 1000,
                                   .critical = {},
                                   .help = "messages of a queue that wait for a consumer"};
inline constexpr Check kUnconsumedCheck{
    .name = "unconsumed",
    .worse = Worse::above,
    .warn = 0,
    .critical = {},
    .help = "messages that wait in a queue without a consumer, except in streams"};
inline constexpr Check kAlarmsCheck{.name = "alarms",
                                    .worse = Worse::above,
                                    .warn = {},
                                    .critical = 0,
                                    .help = "memory and disk alarms, which block publishers"};
inline constexpr Check kPartitionsCheck{
    .name = "partitions",
    .worse = Worse::above,
    .warn = {},
    .critical = 0,
    .help = "nodes that are partitioned from another node of the cluster"};
inline constexpr Check kNodesDownCheck{
    .name = "nodes_down",
    .worse = Worse::above,
    .warn = 0,
    .critical = {},
    .help = "nodes of the cluster that do not run; critical by default if no majority runs"};
inline constexpr std::array<const Check*, 5> kChecks = {
    &kReadyCheck, &kUnconsumedCheck, &kAlarmsCheck, &kPartitionsCheck, &kNodesDownCheck};

}  // namespace vitalsd::rabbitmq
