// Metrics of file systems with the names of node_exporter, shared by kind `filesystem`, which uses
// statvfs on its own host, and kind `kubelet`, which uses the response of each node's kubelet.
#pragma once

#include "exporter/model/metric.hpp"

namespace vitalsd::filesystem_metrics {

inline constexpr Metric kAvail({.name = "node_filesystem_avail_bytes",
                                .unit = Unit::bytes,
                                .help = "Space that is available to users other than root."},
                               "mountpoint", "device", "fstype", "node");
inline constexpr Metric kSize({.name = "node_filesystem_size_bytes",
                               .unit = Unit::bytes,
                               .help = "Size of the file system."},
                              "mountpoint", "device", "fstype", "node");
inline constexpr Metric kFiles({.name = "node_filesystem_files",
                                .help = "Files that the file system can hold."},
                               "mountpoint", "device", "fstype", "node");
inline constexpr Metric kFilesFree({.name = "node_filesystem_files_free",
                                    .help = "Files that can still be created."},
                                   "mountpoint", "device", "fstype", "node");

}  // namespace vitalsd::filesystem_metrics
