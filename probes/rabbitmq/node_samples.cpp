#include "probes/rabbitmq/node_samples.hpp"

#include "probes/rabbitmq/metrics.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace vitalsd::rabbitmq {

void set_alarms(std::vector<ManagedNode>& nodes, const std::vector<Alarm>& alarms) {
  for (ManagedNode& node : nodes) {
    if (!node.running) continue;
    const auto has = [&](std::string_view resource) {
      return std::ranges::any_of(alarms, [&](const Alarm& alarm) {
        return alarm.node == node.name && alarm.resource == resource;
      });
    };
    node.memory_alarm = has("memory");
    node.disk_alarm = has("disk");
  }
}

void add_nodes(const std::vector<ManagedNode>& managed, std::map<std::string, bool> up, bool kbudde,
               SampleSet& out) {
  std::size_t alarms = 0;
  std::size_t partitioned = 0;
  bool knows_alarms = false;
  bool knows_partitions = false;
  for (const ManagedNode& node : managed) {
    bool& is_up = up[node.name];
    is_up = is_up || node.running;
    if (kbudde) {
      kKbuddeNodeTable.add(out, node, node.name, kSelf);
    } else {
      kNodeTable.add(out, node, node.name);
    }
    knows_alarms = knows_alarms || node.memory_alarm || node.disk_alarm;
    knows_partitions = knows_partitions || node.partitions;
    alarms += node.memory_alarm.value_or(false) + node.disk_alarm.value_or(false);
    partitioned += node.partitions.value_or(0) > 0;
  }
  if (knows_alarms) out.check(kAlarmsCheck, static_cast<double>(alarms));
  if (knows_partitions) out.check(kPartitionsCheck, static_cast<double>(partitioned));

  std::vector<std::string_view> down;
  for (const auto& [name, runs] : up) {
    if (kbudde) {
      out.add(kRunning, runs, name, kSelf);
    } else {
      out.add(kNodeUp, runs, name);
    }
    if (!runs) down.push_back(name);
  }
  // Quorum queues and, with pause_minority, whole nodes need a majority of the nodes.
  const std::size_t may_be_down = up.empty() ? 0 : (up.size() - 1) / 2;
  out.check(kNodesDownCheck, static_cast<double>(down.size()),
            fmt::format("{}", fmt::join(down, ", ")),
            {.warn = {}, .critical = static_cast<double>(may_be_down)});
}

}  // namespace vitalsd::rabbitmq
