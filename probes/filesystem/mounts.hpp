// The mount table of the process's own mount namespace, as the kernel writes it. Pure but for
// read_mount_table().
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

struct Mount {
  std::string mountpoint;
  std::string device;  ///< the source: "/dev/sda1", "server:/export", "tmpfs"
  std::string fstype;
  bool read_only = false;
};

/// The text of /proc/self/mountinfo (proc(5)). Lines that are none are passed over; of several
/// mounts on one point the last, which hides the others, counts. Those that are hidden by a mount
/// over a directory above them are left out.
std::vector<Mount> parse_mountinfo(std::string_view text);

/// The table as it is now; throws ProbeError(internal) where /proc cannot be read.
std::vector<Mount> read_mount_table();

/// File systems that hold no data that could run out (proc, cgroup), or are full by nature
/// (squashfs, iso9660): they have no free space to watch.
bool has_no_free_space(std::string_view fstype);

/// Whether a look at it mounts something else there (autofs), which nobody has asked for.
bool mounts_when_looked_at(std::string_view fstype);

}  // namespace vitalsd
