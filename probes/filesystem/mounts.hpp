// The mount table of the process's own mount namespace, as the kernel writes it. Pure except for
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

/// Parses the text of /proc/self/mountinfo (proc(5)). Ignores invalid lines. If several mounts have
/// the same mount point, returns only the last one, because it is the visible one. Mounts that are
/// hidden by a mount over a parent directory are left out.
std::vector<Mount> parse_mountinfo(std::string_view text);

/// The current table. Throws ProbeError(internal) if /proc cannot be read.
std::vector<Mount> read_mount_table();

/// Whether a file system has no free space to observe: it stores no data (proc, cgroup), or it is
/// always full (squashfs, iso9660).
bool has_no_free_space(std::string_view fstype);

/// Whether statvfs would mount another file system there (autofs). A probe must not cause a mount.
bool mounts_on_access(std::string_view fstype);

}  // namespace vitalsd
