// Adds the samples and the checks of the nodes of a cluster. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/rabbitmq/management.hpp"

#include <map>
#include <string>
#include <vector>

namespace vitalsd::rabbitmq {

/// Sets the alarms of running nodes from `alarms`, because the alarms in ManagedNode are some
/// seconds old.
void set_alarms(std::vector<ManagedNode>& nodes, const std::vector<Alarm>& alarms);

/// `managed`: the nodes according to the management API; empty if unknown. `up`: which nodes
/// respond, if they were asked. A node is up if it responds or runs: its plug-in may be
/// unreachable. `kbudde`: whether the names are those of kbudde.
void add_nodes(const std::vector<ManagedNode>& managed, std::map<std::string, bool> up, bool kbudde,
               SampleSet& out);

}  // namespace vitalsd::rabbitmq
