// Kind `filesystem`: free space of mounted file systems. Calls statvfs on threads that may be
// abandoned, so that an unreachable NFS server affects only its own mount. Names are those of
// node_exporter.
#include "config/path.hpp"
#include "probes/filesystem/metrics.hpp"
#include "probes/filesystem/mounts.hpp"
#include "probes/net/concurrently.hpp"
#include "probes/net/offload.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <fnmatch.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using filesystem_metrics::kAvail;
using filesystem_metrics::kFiles;
using filesystem_metrics::kFilesFree;
using filesystem_metrics::kSize;

constexpr Metric kFree({.name = "node_filesystem_free_bytes",
                        .unit = Unit::bytes,
                        .help = "Free space, including what is reserved for root."},
                       "mountpoint", "device", "fstype", "node");
constexpr Metric kReadOnly({.name = "node_filesystem_readonly",
                            .help = "Whether the file system is mounted read-only."},
                           "mountpoint", "device", "fstype", "node");

constexpr Check kUsedCheck{.name = "used",
                           .unit = Unit::ratio,
                           .warn = 0.80,
                           .critical = 0.90,
                           .help = "space in use over size"};
constexpr Check kFilesCheck{.name = "files_used",
                            .unit = Unit::ratio,
                            .warn = 0.90,
                            .critical = 0.95,
                            .help = "files in use over the maximum"};

struct Space {
  int error = 0;  // errno
  struct statvfs values{};
};

std::string default_node() {
  const char* name =
      std::getenv("NODE_NAME");  // NOLINT(concurrency-mt-unsafe): vitalsd never sets it
  if (name != nullptr && *name != '\0') return name;
  std::array<char, 256> host{};
  return gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "";
}

class FilesystemProbe final : public Probe {
 public:
  FilesystemProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        patterns_(
            options.list<std::string>("mounts", "mount points; * and ? are allowed; default /")),
        root_(options
                  .get<config::Directory>("root", {},
                                          "where the host's root is mounted; removed from the "
                                          "label mountpoint")
                  .text),
        node_(options.get<std::string>("node", "",
                                       "value of the label node; default $NODE_NAME or the "
                                       "host name")) {
    if (node_.empty()) node_ = default_node();
    if (patterns_.empty()) patterns_.emplace_back("/");
    for (const std::string& pattern : patterns_) {
      if (!pattern.starts_with('/'))
        options.error("mounts", config::quoted(pattern) + " is not an absolute path");
    }
    while (root_.ends_with('/')) root_.pop_back();
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const std::vector<Mount> table = read_mount_table();
    std::vector<asio::awaitable<void>> measurements;
    std::vector<bool> matched(patterns_.size());
    for (const Mount& mount : table) {
      bool wanted = false;
      for (std::size_t i = 0; i < patterns_.size(); ++i) {
        if (!matches(patterns_[i], mount.mountpoint)) continue;
        matched[i] = wanted = true;
      }
      if (wanted && !mounts_on_access(mount.fstype)) {
        measurements.push_back(measure(mount, out.part(host_path(mount.mountpoint))));
      }
    }
    for (std::size_t i = 0; i < patterns_.size(); ++i) {
      if (!matched[i]) out.part(patterns_[i]).fail(Reason::mismatch, "nothing is mounted there");
    }
    out.doing("waiting for statvfs");
    co_await net::concurrently(std::move(measurements));
  }

  [[nodiscard]] std::string target() const override {
    std::string text;
    for (const std::string& pattern : patterns_) text += (text.empty() ? "" : " ") + pattern;
    return text;
  }

 private:
  // The mount point without the prefix at which the host's root is mounted.
  [[nodiscard]] std::string host_path(const std::string& mountpoint) const {
    if (root_.empty()) return mountpoint;
    const std::string rest = mountpoint.substr(root_.size());
    return rest.empty() ? "/" : rest;
  }

  [[nodiscard]] bool matches(const std::string& pattern, const std::string& mountpoint) const {
    if (!root_.empty() && mountpoint != root_ && !mountpoint.starts_with(root_ + '/')) return false;
    return fnmatch(pattern.c_str(), host_path(mountpoint).c_str(), FNM_PATHNAME) == 0;
  }

  asio::awaitable<void> measure(Mount mount, Part& part) {
    try {
      const auto call = [path = mount.mountpoint](const net::StopFlag&) {
        Space space;
        if (statvfs(path.c_str(), &space.values) != 0) space.error = errno;
        return space;
      };
      const Space space = co_await environment_.offload.run("statvfs " + mount.mountpoint, call);
      if (space.error != 0) {
        const bool forbidden = space.error == EACCES || space.error == EPERM;
        part.fail(forbidden ? Reason::permission : Reason::mismatch, std::strerror(space.error));
      } else {
        add(mount, space.values, part);
      }
    } catch (const ProbeError& error) {
      part.fail(error.reason(), error.what());
    }
    part.complete();
  }

  void add(const Mount& mount, const struct statvfs& values, Part& part) const {
    const std::string mountpoint = host_path(mount.mountpoint);
    const auto add = [&](const auto& metric, double value) {
      part.add(metric, value, mountpoint, mount.device, mount.fstype, node_);
    };
    add(kReadOnly, mount.read_only ? 1 : 0);
    const auto block = static_cast<double>(values.f_frsize);
    const double size = static_cast<double>(values.f_blocks) * block;
    // A file system without a size has no ratio, and one that is always full would always alert.
    if (size == 0 || has_no_free_space(mount.fstype)) return;
    const double avail = static_cast<double>(values.f_bavail) * block;
    const double free = static_cast<double>(values.f_bfree) * block;
    add(kSize, size);
    add(kAvail, avail);
    add(kFree, free);
    // The same computation as df: the space that is reserved for root does not count as usable.
    const double usable = size - free + avail;
    if (usable > 0) part.check(kUsedCheck, 1 - avail / usable, mountpoint);
    if (values.f_files == 0) return;  // no limit: the file system creates inodes on demand
    add(kFiles, static_cast<double>(values.f_files));
    add(kFilesFree, static_cast<double>(values.f_ffree));
    part.check(kFilesCheck,
               1 - static_cast<double>(values.f_ffree) / static_cast<double>(values.f_files),
               mountpoint);
  }

  const Environment& environment_;
  std::vector<std::string> patterns_;
  std::string root_;
  std::string node_;
};

constexpr auto kMetrics = metric_list(kAvail, kSize, kFree, kFiles, kFilesFree, kReadOnly);
constexpr std::array<const Check*, 2> kChecks = {&kUsedCheck, &kFilesCheck};

}  // namespace

namespace kinds {
extern const ProbeKind filesystem;
const ProbeKind filesystem = {
    .name = "filesystem",
    .help = "Free space and files of mounted file systems.",
    .make = make_probe<FilesystemProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .documented_series = "node_filesystem_size_bytes",
};
}  // namespace kinds

}  // namespace vitalsd
