// File systems as node_exporter names them: for kind `filesystem`, which asks the kernel of its own
// host, and for kind `kubelet`, which asks each node's kubelet.
#pragma once

#include "exporter/model/metric.hpp"

namespace vitalsd::filesystem_metrics {

inline constexpr Metric kAvail({.name = "node_filesystem_avail_bytes",
                                .unit = Unit::bytes,
                                .help = "Space that is left for users other than root."},
                               "mountpoint", "device", "fstype", "node");
inline constexpr Metric kSize({.name = "node_filesystem_size_bytes",
                               .unit = Unit::bytes,
                               .help = "Size of the file system."},
                              "mountpoint", "device", "fstype", "node");
inline constexpr Metric kFiles({.name = "node_filesystem_files",
                                .help = "Files that the file system can hold."},
                               "mountpoint", "device", "fstype", "node");
inline constexpr Metric kFilesFree({.name = "node_filesystem_files_free",
                                    .help = "Files that can still be made."},
                                   "mountpoint", "device", "fstype", "node");

}  // namespace vitalsd::filesystem_metrics
