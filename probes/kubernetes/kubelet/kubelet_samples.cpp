#include "probes/kubernetes/kubelet/kubelet_samples.hpp"

#include "exporter/model/metric_table.hpp"
#include "probes/filesystem/metrics.hpp"
#include "probes/kubernetes/watch/selection.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

namespace vitalsd::kubernetes {
namespace {

using Clock = std::chrono::steady_clock;

// ---- metrics of the summary ---------------------------------------------------------------------

constexpr MetricTable kNode(
    MetricRow{Metric({.name = "node_cpu_usage_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "CPU time that the node used, over all cores."},
                     "node"),
              [](const UsageStats& usage) { return usage.cpu_seconds; }},
    MetricRow{Metric({.name = "node_memory_working_set_bytes",
                      .unit = Unit::bytes,
                      .help = "Memory of the node in use, without what the kernel can easily "
                              "reclaim."},
                     "node"),
              [](const UsageStats& usage) { return usage.memory_working_set_bytes; }});

constexpr MetricTable kPod(
    MetricRow{Metric({.name = "pod_cpu_usage_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "CPU time that the pod used."},
                     "namespace", "pod", "node"),
              [](const UsageStats& usage) { return usage.cpu_seconds; }},
    MetricRow{Metric({.name = "pod_memory_working_set_bytes",
                      .unit = Unit::bytes,
                      .help = "Memory of the pod in use, without what the kernel can easily "
                              "reclaim."},
                     "namespace", "pod", "node"),
              [](const UsageStats& usage) { return usage.memory_working_set_bytes; }});

consteval auto volume_metric(const MetricSpec& spec) {
  return Metric(spec, "namespace", "persistentvolumeclaim", "node");
}

constexpr MetricTable kVolume(
    MetricRow{volume_metric({.name = "kubelet_volume_stats_available_bytes",
                             .unit = Unit::bytes,
                             .help = "Available space of the claim's volume."}),
              [](const FsStats& fs) { return fs.available_bytes; }},
    MetricRow{volume_metric({.name = "kubelet_volume_stats_capacity_bytes",
                             .unit = Unit::bytes,
                             .help = "Capacity of the claim's volume."}),
              [](const FsStats& fs) { return fs.capacity_bytes; }},
    MetricRow{volume_metric({.name = "kubelet_volume_stats_used_bytes",
                             .unit = Unit::bytes,
                             .help = "Used space of the claim's volume."}),
              [](const FsStats& fs) { return fs.used_bytes; }},
    MetricRow{volume_metric({.name = "kubelet_volume_stats_inodes",
                             .help = "Maximum number of inodes of the claim's volume."}),
              [](const FsStats& fs) { return fs.inodes; }},
    MetricRow{volume_metric({.name = "kubelet_volume_stats_inodes_free",
                             .help = "Free inodes of the claim's volume."}),
              [](const FsStats& fs) { return fs.inodes_free; }});

// ---- metrics of cAdvisor ------------------------------------------------------------------------

constexpr std::array kContainerSpecs = {
    MetricSpec{.name = "container_memory_working_set_bytes",
               .unit = Unit::bytes,
               .help = "Memory of the container that counts against its limit."},
    MetricSpec{.name = "container_memory_usage_bytes",
               .unit = Unit::bytes,
               .help = "Memory of the container, including the page cache."},
    MetricSpec{.name = "container_spec_memory_limit_bytes",
               .unit = Unit::bytes,
               .help = "Memory limit of the container; absent without a limit."},
    MetricSpec{.name = "container_cpu_usage_seconds_total",
               .type = Type::counter,
               .unit = Unit::seconds,
               .help = "CPU time that the container used."},
    MetricSpec{.name = "container_cpu_cfs_periods_total",
               .type = Type::counter,
               .help = "Scheduling periods in which the container was runnable; absent without a "
                       "CPU limit."},
    MetricSpec{.name = "container_cpu_cfs_throttled_periods_total",
               .type = Type::counter,
               .help = "Scheduling periods in which the container was throttled."},
    MetricSpec{.name = "container_cpu_cfs_throttled_seconds_total",
               .type = Type::counter,
               .unit = Unit::seconds,
               .help = "Time for which the container's threads were throttled, summed over all "
                       "threads."},
    MetricSpec{.name = "container_oom_events_total",
               .type = Type::counter,
               .help = "Times that the kernel killed a process of the container for lack of "
                       "memory."},
};

constexpr auto kFamilies = [] {
  std::array<std::string_view, kContainerSpecs.size()> names;
  std::ranges::transform(kContainerSpecs, names.begin(), &MetricSpec::name);
  return names;
}();

/// The index of a family in ContainerMetrics::values, which has the order of kFamilies.
consteval std::size_t column_of(std::string_view family) {
  const auto* const found = std::ranges::find(kFamilies, family);
  lint::require(found != kFamilies.end(), "no such family");
  return static_cast<std::size_t>(found - kFamilies.begin());
}
constexpr std::size_t kWorkingSet = column_of("container_memory_working_set_bytes");
constexpr std::size_t kLimit = column_of("container_spec_memory_limit_bytes");
constexpr std::size_t kPeriods = column_of("container_cpu_cfs_periods_total");
constexpr std::size_t kThrottledPeriods = column_of("container_cpu_cfs_throttled_periods_total");

template <std::size_t column>
struct ReadColumn {
  const std::optional<double>& operator()(const ContainerMetrics& container) const {
    return container.values[column];
  }
};

constexpr auto kContainer = []<std::size_t... column>(std::index_sequence<column...>) consteval {
  return MetricTable(MetricRow{
      Metric(kContainerSpecs[column], "namespace", "pod", "container", "image", "name", "node"),
      ReadColumn<column>{}}...);
}(std::make_index_sequence<kFamilies.size()>());

constexpr auto kMetrics = metric_list(
    filesystem_metrics::kAvail, filesystem_metrics::kSize, filesystem_metrics::kFiles,
    filesystem_metrics::kFilesFree, kNode, kPod, kVolume, kContainer, kLastHeard, kSelectedObjects);

// ---- checks -------------------------------------------------------------------------------------

constexpr Check kDiskUsed{.name = "disk_used",
                          .unit = Unit::ratio,
                          .warn = 0.80,
                          .critical = 0.90,
                          .help = "used space over size, of each file system of a node"};
constexpr Check kVolumeUsed{.name = "volume_used",
                            .unit = Unit::ratio,
                            .warn = 0.80,
                            .critical = 0.90,
                            .help = "used space over size, of the volume of each claim"};
constexpr Check kNodeCpu{.name = "node_cpu",
                         .unit = Unit::ratio,
                         .warn = 0.70,
                         .critical = {},
                         .help = "used CPU time over cores, of each node, over one minute"};
constexpr Check kNodeMemory{.name = "node_memory",
                            .unit = Unit::ratio,
                            .warn = 0.80,
                            .critical = {},
                            .help = "used memory over capacity, of each node"};
constexpr Check kContainerMemory{.name = "container_memory",
                                 .unit = Unit::ratio,
                                 .warn = 0.85,
                                 .critical = 0.90,
                                 .help =
                                     "used memory over the memory limit, of each container "
                                     "that has a limit"};
constexpr Check kThrottled{.name = "throttled",
                           .unit = Unit::ratio,
                           .warn = 0.25,
                           .critical = {},
                           .help =
                               "throttled scheduling periods over all periods, of each "
                               "container, over one minute"};

constexpr std::array<const Check*, 7> kChecks = {&kDiskUsed,      &kVolumeUsed,      &kNodeCpu,
                                                 &kNodeMemory,    &kContainerMemory, &kThrottled,
                                                 &kUnmatchedCheck};

// Whether two entries of the summary describe the same file system. The kubelet does not name
// devices, and disks of equal size are common, so all numbers that both entries have must agree.
// The kubelet measures one entry after the other while processes write, so free space may differ a
// little.
bool is_same(const FsStats& a, const FsStats& b) {
  // Share of the size: image pulls between two measurements.
  constexpr double kMaxChange = 0.02;
  // Share of the inodes, which XFS derives from free space.
  constexpr double kMaxInodeChange = 0.005;
  const auto agree = [](const std::optional<double>& left, const std::optional<double>& right,
                        double max) { return !left || !right || std::abs(*left - *right) <= max; };
  return agree(a.capacity_bytes, b.capacity_bytes, 0) &&
         agree(a.inodes, b.inodes, kMaxInodeChange * a.inodes.value_or(0)) &&
         agree(a.available_bytes, b.available_bytes, kMaxChange * a.capacity_bytes.value_or(0)) &&
         agree(a.inodes_free, b.inodes_free, kMaxChange * a.inodes.value_or(0));
}

}  // namespace

constinit const std::span<const MetricInfo* const> kKubeletMetrics = kMetrics;
constinit const std::span<const Check* const> kKubeletChecks = kChecks;
constinit const std::span<const std::string_view> kCadvisorFamilies = kFamilies;

void NodeSamples::add_summary(const KubeletSummary& summary) {
  kNode.add(samples_, summary.usage, node_.name);
  add_file_systems(summary);
  check_node(summary.usage);
  // Several pods may mount the same claim.
  std::set<std::pair<std::string_view, std::string_view>> claims;
  for (const PodSummary& pod : summary.pods) {
    if (!select(pod.namespace_name)) continue;
    kPod.add(samples_, pod.usage, pod.namespace_name, pod.name, node_.name);
    for (const VolumeSummary& volume : pod.volumes) {
      if (volume.claim.empty()) continue;
      if (claims.emplace(volume.claim_namespace, volume.claim).second) add_volume(volume);
    }
  }
}

void NodeSamples::add_file_systems(const KubeletSummary& summary) {
  add_file_system("/", summary.fs);
  // Usually all three entries describe the same file system, which must be counted once.
  if (!is_same(summary.image_fs, summary.fs)) add_file_system("imagefs", summary.image_fs);
  if (!is_same(summary.container_fs, summary.fs) &&
      !is_same(summary.container_fs, summary.image_fs)) {
    add_file_system("containerfs", summary.container_fs);
  }
}

void NodeSamples::add_file_system(std::string_view mountpoint, const FsStats& fs) {
  if (!fs.capacity_bytes || *fs.capacity_bytes <= 0) return;
  const auto add = [&](const auto& metric, const std::optional<double>& value) {
    samples_.add(metric, value, mountpoint, "", "", node_.name);
  };
  add(filesystem_metrics::kSize, fs.capacity_bytes);
  add(filesystem_metrics::kAvail, fs.available_bytes);
  add(filesystem_metrics::kFiles, fs.inodes);
  add(filesystem_metrics::kFilesFree, fs.inodes_free);
  if (fs.available_bytes) {
    checks_.check(kDiskUsed, 1 - *fs.available_bytes / *fs.capacity_bytes,
                  node_.name + ' ' + std::string(mountpoint));
  }
}

void NodeSamples::check_node(const UsageStats& usage) {
  const auto capacity = [&](std::string_view resource) {
    const auto found = std::ranges::find(node_.capacity, resource, &Amounts::value_type::first);
    return found == node_.capacity.end() ? 0.0 : found->second;
  };
  const double bytes = capacity("memory");
  if (bytes > 0 && usage.memory_working_set_bytes) {
    checks_.check(kNodeMemory, *usage.memory_working_set_bytes / bytes, node_.name);
  }
  const double cores = capacity("cpu");
  if (cores > 0 && usage.cpu_seconds) {
    const Clock::time_point now = Clock::now();
    const double seconds = std::chrono::duration<double>(now.time_since_epoch()).count();
    counters_.cpu.update(now, *usage.cpu_seconds, seconds * cores);
    if (counters_.cpu.value()) checks_.check(kNodeCpu, *counters_.cpu.value(), node_.name);
  }
}

void NodeSamples::add_volume(const VolumeSummary& volume) {
  const FsStats& fs = volume.fs;
  kVolume.add(samples_, fs, volume.claim_namespace, volume.claim, node_.name);
  if (fs.available_bytes && fs.capacity_bytes.value_or(0) > 0) {
    checks_.check(kVolumeUsed, 1 - *fs.available_bytes / *fs.capacity_bytes,
                  volume.claim_namespace + '/' + volume.claim);
  }
}

void NodeSamples::add_containers(const std::vector<ContainerMetrics>& containers) {
  std::map<std::string, CounterRatio> throttled;  // for the containers that still exist
  for (const ContainerMetrics& container : containers) {
    if (!select(container.namespace_name)) continue;
    kContainer.add(samples_, container, container.namespace_name, container.pod,
                   container.container, container.image, container.name, node_.name);
    const std::string name =
        container.namespace_name + '/' + container.pod + " (" + container.container + ')';
    const auto& values = container.values;
    if (values[kLimit] && *values[kLimit] > 0 && values[kWorkingSet]) {
      checks_.check(kContainerMemory, *values[kWorkingSet] / *values[kLimit], name);
    }
    if (!values[kPeriods] || !values[kThrottledPeriods]) continue;
    CounterRatio& ratio = throttled[name] = counters_.throttled[name];
    ratio.update(Clock::now(), *values[kThrottledPeriods], *values[kPeriods]);
    if (ratio.value()) checks_.check(kThrottled, *ratio.value(), name);
  }
  counters_.throttled = std::move(throttled);
}

}  // namespace vitalsd::kubernetes
