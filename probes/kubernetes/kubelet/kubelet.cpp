// Kind `kubelet`: what each node's kubelet knows of its file systems, volumes, pods and containers,
// asked at its own address (rights: nodes/stats for the summary, nodes/metrics for cAdvisor). Names
// are those of node_exporter, of the kubelet itself and of cAdvisor. One part a node: a kubelet
// that does not answer costs its own node only.
#include "probes/filesystem/metrics.hpp"
#include "probes/kubernetes/kubelet/cadvisor.hpp"
#include "probes/kubernetes/kubelet/kubelet_summary.hpp"
#include "probes/kubernetes/kubelet/pace.hpp"
#include "probes/kubernetes/kubelet/share.hpp"
#include "probes/kubernetes/objects/label_selector.hpp"
#include "probes/kubernetes/objects/node_object.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/concurrently.hpp"
#include "probes/net/pause.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/algorithm/string/replace.hpp>

namespace vitalsd {
namespace {

using Clock = std::chrono::steady_clock;
using kubernetes::ContainerMetrics;
using kubernetes::FsStats;
using kubernetes::KubeletSummary;
using kubernetes::Node;
using kubernetes::Share;

constexpr net::kubernetes::Resource kNodes{.group = "", .version = "v1", .plural = "nodes"};

// ---- metrics of the summary ---------------------------------------------------------------------

constexpr Metric kNodeCpu({.name = "node_cpu_usage_seconds_total",
                           .type = Type::counter,
                           .unit = Unit::seconds,
                           .help = "CPU time that the node has used, over all its cores."},
                          "node");
constexpr Metric kNodeMemory({.name = "node_memory_working_set_bytes",
                              .unit = Unit::bytes,
                              .help = "Memory of the node that is in use and cannot be given up "
                                      "easily."},
                             "node");
constexpr Metric kPodCpu({.name = "pod_cpu_usage_seconds_total",
                          .type = Type::counter,
                          .unit = Unit::seconds,
                          .help = "CPU time that the pod has used."},
                         "namespace", "pod", "node");
constexpr Metric kPodMemory({.name = "pod_memory_working_set_bytes",
                             .unit = Unit::bytes,
                             .help = "Memory of the pod that is in use and cannot be given up "
                                     "easily."},
                            "namespace", "pod", "node");
constexpr Metric kVolumeAvailable({.name = "kubelet_volume_stats_available_bytes",
                                   .unit = Unit::bytes,
                                   .help = "Space that is left in the claim's volume."},
                                  "namespace", "persistentvolumeclaim", "node");
constexpr Metric kVolumeCapacity({.name = "kubelet_volume_stats_capacity_bytes",
                                  .unit = Unit::bytes,
                                  .help = "Size of the claim's volume."},
                                 "namespace", "persistentvolumeclaim", "node");
constexpr Metric kVolumeUsed({.name = "kubelet_volume_stats_used_bytes",
                              .unit = Unit::bytes,
                              .help = "Space that is used in the claim's volume."},
                             "namespace", "persistentvolumeclaim", "node");
constexpr Metric kVolumeInodes({.name = "kubelet_volume_stats_inodes",
                                .help = "Files that the claim's volume can hold."},
                               "namespace", "persistentvolumeclaim", "node");
constexpr Metric kVolumeInodesFree({.name = "kubelet_volume_stats_inodes_free",
                                    .help = "Files that can still be made in the claim's volume."},
                                   "namespace", "persistentvolumeclaim", "node");

// ---- metrics of cAdvisor ------------------------------------------------------------------------

#define VITALSD_CONTAINER "namespace", "pod", "container", "node"
constexpr Metric kWorkingSet({.name = "container_memory_working_set_bytes",
                              .unit = Unit::bytes,
                              .help = "Memory of the container that counts against its limit."},
                             VITALSD_CONTAINER);
constexpr Metric kUsage({.name = "container_memory_usage_bytes",
                         .unit = Unit::bytes,
                         .help = "Memory of the container, the page cache included."},
                        VITALSD_CONTAINER);
constexpr Metric kLimit({.name = "container_spec_memory_limit_bytes",
                         .unit = Unit::bytes,
                         .help = "Memory that the container may use; absent without a limit."},
                        VITALSD_CONTAINER);
constexpr Metric kCpu({.name = "container_cpu_usage_seconds_total",
                       .type = Type::counter,
                       .unit = Unit::seconds,
                       .help = "CPU time that the container has used."},
                      VITALSD_CONTAINER);
constexpr Metric kPeriods(
    {.name = "container_cpu_cfs_periods_total",
     .type = Type::counter,
     .help = "Scheduling periods in which the container wanted to run; absent "
             "without a CPU limit."},
    VITALSD_CONTAINER);
constexpr Metric kThrottledPeriods({.name = "container_cpu_cfs_throttled_periods_total",
                                    .type = Type::counter,
                                    .help = "Those of them in which it was held up."},
                                   VITALSD_CONTAINER);
constexpr Metric kThrottledSeconds({.name = "container_cpu_cfs_throttled_seconds_total",
                                    .type = Type::counter,
                                    .unit = Unit::seconds,
                                    .help = "How long the container's threads were held up, all "
                                            "together."},
                                   VITALSD_CONTAINER);
constexpr Metric kOom(
    {.name = "container_oom_events_total",
     .type = Type::counter,
     .help = "Times that the kernel killed something in the container for lack of "
             "memory."},
    VITALSD_CONTAINER);
#undef VITALSD_CONTAINER

enum Column : std::size_t {
  working_set,
  usage,
  limit,
  cpu,
  periods,
  throttled_periods,
  throttled_seconds,
  oom
};
constexpr std::array<const Metric<4>*, 8> kColumns = {
    &kWorkingSet,       &kUsage, &kLimit, &kCpu, &kPeriods, &kThrottledPeriods,
    &kThrottledSeconds, &kOom};
constexpr std::array<std::string_view, kColumns.size()> kFamilies = [] {
  std::array<std::string_view, kColumns.size()> names;
  std::ranges::transform(kColumns, names.begin(), [](const auto* metric) { return metric->name; });
  return names;
}();

// ---- checks -------------------------------------------------------------------------------------

constexpr Check kDiskUsed{.name = "disk_used",
                          .unit = Unit::ratio,
                          .warn = 0.80,
                          .critical = 0.90,
                          .help = "space in use over size, on each node"};
constexpr Check kVolumeUsedCheck{.name = "volume_used",
                                 .unit = Unit::ratio,
                                 .warn = 0.80,
                                 .critical = 0.90,
                                 .help = "space in use over size, of each claim's volume"};
constexpr Check kNodeCpuCheck{.name = "node_cpu",
                              .unit = Unit::ratio,
                              .warn = 0.70,
                              .critical = {},
                              .help = "CPU in use over cores, of each node, over a minute"};
constexpr Check kNodeMemoryCheck{.name = "node_memory",
                                 .unit = Unit::ratio,
                                 .warn = 0.80,
                                 .critical = {},
                                 .help = "memory in use over memory, of each node"};
constexpr Check kContainerMemory{.name = "container_memory",
                                 .unit = Unit::ratio,
                                 .warn = 0.85,
                                 .critical = 0.90,
                                 .help =
                                     "memory in use over its limit, of each container that has "
                                     "one"};
constexpr Check kThrottled{.name = "throttled",
                           .unit = Unit::ratio,
                           .warn = 0.25,
                           .critical = {},
                           .help =
                               "scheduling periods in which a container was held up, over all, "
                               "within a minute"};

// What lasts of a node between runs.
struct NodeMemory {
  bool failed = false;  // when it was last asked, or it has not answered yet
  Share cpu;
  std::map<std::string, Share> throttled;  // by container, "namespace/pod (name)"
};

class KubeletProbe final : public Probe {
 public:
  KubeletProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        selector_(options.get<kubernetes::LabelSelector>("selector", {}, "only these nodes")),
        tls_(net::TlsOptions::read(options)),
        summary_(options.get<bool>("summary", true,
                                   "file systems, volumes, CPU and memory of nodes and pods")),
        cadvisor_(options.get<bool>("cadvisor", true, "CPU and memory of containers")),
        concurrency_(static_cast<std::size_t>(options.get<std::int64_t>(
            "concurrency", 32, "kubelets that are asked at a time", {1, 1000}))),
        nodes_(std::make_unique<Nodes>(
            environment,
            net::kubernetes::Query{.resource = kNodes, .label_selector = selector_.text()},
            [shard = environment.shard](std::string_view message) -> std::optional<Node> {
              Node node = kubernetes::read_node(message);
              if (!shard.owns(node.name)) return std::nullopt;
              return node;
            })) {
    for (const std::string& name :
         options.list<std::string>("namespaces", "only pods in these; without it in all")) {
      namespaces_.insert(name);
    }
    if (!summary_ && !cadvisor_) options.error("summary", "with cadvisor off too nothing is left");
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    if (!co_await nodes_->judge(out, out)) co_return;
    access_ = environment_.kubernetes.api().access();
    if (access_.token) {
      std::expected<std::string, std::string> token = access_.token.read();
      if (!token) throw ProbeError(Reason::config, token.error());  // no kubelet has been asked
      token_ = std::move(*token);
    }
    std::erase_if(memory_, [&](const auto& entry) { return nodes_->find(entry.first) == nullptr; });
    std::vector<Node> nodes;
    // Where many hang, as of a lost zone, those that answer must not wait for them.
    for (const bool failed : {false, true}) {
      nodes_->for_each([&](const Node& node) {
        if (memory_[node.name].failed == failed) nodes.push_back(node);
      });
    }
    for (const Node& node : nodes) out.part(node.name);
    out.doing("asking " + std::to_string(nodes.size()) + " kubelets");

    Round round{.out = out,
                .nodes = nodes,
                .pace = {Clock::now(), out.time_limit(), nodes.size(), concurrency_}};
    std::vector<asio::awaitable<void>> workers;
    for (std::size_t i = 0; i < std::min(concurrency_, nodes.size()); ++i) {
      workers.push_back(work(round));
    }
    co_await net::concurrently(std::move(workers));
  }

  [[nodiscard]] std::string target() const override {
    return selector_.empty() ? "kubelets of all nodes"
                             : "kubelets of nodes with " + selector_.text();
  }

  [[nodiscard]] bool overlaps(const Probe& other) const override {
    return !selector_.disjoint(dynamic_cast<const KubeletProbe&>(other).selector_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<KubeletProbe&>(predecessor);
    nodes_ = std::move(old.nodes_);
    memory_ = std::move(old.memory_);
  }

 private:
  using Nodes = kubernetes::Watched<Node>;

  // One run's work, which its workers share.
  struct Round {
    SampleSet& out;
    const std::vector<Node>& nodes;
    kubernetes::Pace pace;
    std::size_t next = 0;
  };

  asio::awaitable<void> work(Round& round) {
    while (round.next < round.nodes.size()) {
      const std::size_t index = round.next++;
      const auto early = round.pace.due(index) - Clock::now();
      if (early > net::TimerWheel::kSlot) co_await net::pause(environment_.wheel, early);
      const Node& node = round.nodes[index];
      Part& part = round.out.part(node.name);
      bool& failed = memory_[node.name].failed;
      failed = true;
      try {
        co_await ask(round, node, round.pace.limit(index, Clock::now()), part);
        failed = false;
      } catch (const ProbeError& error) {
        part.fail(error.reason(), error.what());
      }
      part.complete();
    }
  }

  // With that limit for each request.
  asio::awaitable<void> ask(const Round& round, const Node& node, config::Duration limit,
                            Part& part) {
    if (node.internal_ip.empty()) {
      throw ProbeError(Reason::config, "the node has no address of type InternalIP");
    }
    Part samples;  // rendered at once, so that the end of the run has little to do
    std::optional<ProbeError> failure;
    if (summary_) {
      try {
        kubernetes::SummaryReader reader;
        co_await get(limit, node, "/stats/summary", "nodes/stats", reader);
        add_summary(node, reader.finish(), samples, part);
      } catch (const ProbeError& error) {
        if (!has_answered(error)) throw;
        failure = error;
      }
    }
    if (cadvisor_) {
      try {
        kubernetes::CadvisorReader reader(kFamilies);
        co_await get(limit, node, "/metrics/cadvisor", "nodes/metrics", reader);
        add_containers(node, reader.finish(), samples, part);
        if (reader.incomplete()) {
          throw ProbeError(Reason::mismatch,
                           "the kubelet cannot tell of all its containers: container_scrape_error "
                           "is not 0 on /metrics/cadvisor");
        }
      } catch (const ProbeError& error) {
        if (!failure) failure = error;
      }
    }
    Rendering rendering;
    std::size_t duplicates = 0;
    samples.render(rendering, round.out.constant_labels(), duplicates);
    part.attach(to_fragment(std::move(rendering)));
    if (failure) throw ProbeError(*failure);
  }

  // Whether it is worth while to ask for another page: one page may be refused or broken while the
  // other one is well. A kubelet that does not answer must not take the time twice.
  static bool has_answered(const ProbeError& error) {
    switch (error.reason()) {
      case Reason::permission:
      case Reason::mismatch:
      case Reason::protocol:
      case Reason::overload:
      case Reason::unready:
        return true;
      default:
        return false;
    }
  }

  // Streams a page of a kubelet into `reader`.
  template <class Reader>
  asio::awaitable<void> get(config::Duration limit, const Node& node, std::string path,
                            std::string_view right, Reader& reader) {
    constexpr std::uint16_t kKubeletPort = 10250;
    net::HttpRequest request;
    request.url.scheme = "https";
    request.url.host = node.internal_ip;
    request.url.port = node.kubelet_port != 0 ? node.kubelet_port : kKubeletPort;
    request.url.path = std::move(path);
    request.tls = tls_;
    if (request.tls.ca.empty()) request.tls.ca = access_.tls.ca;
    if (request.tls.certificate.empty()) {
      request.tls.certificate = access_.tls.certificate;
      request.tls.key = access_.tls.key;
    }
    request.bearer = token_;
    request.limit = limit;
    request.reuse_connection = true;
    std::exception_ptr error;
    request.on_data = [&](std::string_view piece) {
      try {
        reader.feed(piece);
      } catch (...) {  // cannot pass libcurl; rethrown below
        error = std::current_exception();
      }
      return error == nullptr;
    };
    SampleSet steps;
    net::HttpResponse response = co_await environment_.http.perform(request, steps);
    if (error) std::rethrow_exception(error);
    if (response.status >= 200 && response.status <= 299) co_return;
    constexpr std::size_t kShown = 300;
    if (!token_.empty()) boost::replace_all(response.body, token_, "[the token]");
    const std::string detail = request.url.text() + ": status " + std::to_string(response.status) +
                               ": " + response.body.substr(0, kShown);
    if (response.status == 401) throw ProbeError(Reason::auth, detail);
    if (response.status == 403) {
      throw ProbeError(Reason::permission, detail + "; it needs the right to get resource \"" +
                                               std::string(right) + "\" in API group \"\"");
    }
    throw ProbeError(Reason::mismatch, detail);
  }

  void add_file_system(const std::string& node, const std::string& mountpoint, const FsStats& fs,
                       Part& samples, Part& part) const {
    if (!fs.capacity_bytes || *fs.capacity_bytes <= 0) return;
    const auto add = [&](const auto& metric, const std::optional<double>& value) {
      samples.add(metric, value, mountpoint, "", "", node);
    };
    add(filesystem_metrics::kSize, fs.capacity_bytes);
    add(filesystem_metrics::kAvail, fs.available_bytes);
    add(filesystem_metrics::kFiles, fs.inodes);
    add(filesystem_metrics::kFilesFree, fs.inodes_free);
    if (fs.available_bytes) {
      part.check(kDiskUsed, 1 - *fs.available_bytes / *fs.capacity_bytes, node + ' ' + mountpoint);
    }
  }

  // The kubelet does not name devices, and disks of one size are common: all numbers must agree, as
  // far as both have them. It measures one after another while others write, so that what is free
  // may differ a little.
  static bool is_same(const FsStats& a, const FsStats& b) {
    constexpr double kMeanwhile = 0.02;  // of the whole, which images take that are pulled
    constexpr double kMade = 0.005;      // of the inodes, which XFS makes of what is free
    const auto agree = [](const std::optional<double>& one, const std::optional<double>& other,
                          double max) { return !one || !other || std::abs(*one - *other) <= max; };
    return agree(a.capacity_bytes, b.capacity_bytes, 0) &&
           agree(a.inodes, b.inodes, kMade * a.inodes.value_or(0)) &&
           agree(a.available_bytes, b.available_bytes, kMeanwhile * a.capacity_bytes.value_or(0)) &&
           agree(a.inodes_free, b.inodes_free, kMeanwhile * a.inodes.value_or(0));
  }

  [[nodiscard]] bool wanted(const std::string& namespace_name) const {
    return namespaces_.empty() || namespaces_.contains(namespace_name);
  }

  void add_summary(const Node& node, const KubeletSummary& summary, Part& samples, Part& part) {
    samples.add(kNodeCpu, summary.usage.cpu_seconds, node.name);
    samples.add(kNodeMemory, summary.usage.memory_working_set_bytes, node.name);
    add_file_system(node.name, "/", summary.fs, samples, part);
    // Mostly it is the same file system, and one that is told twice would be counted twice.
    if (!is_same(summary.image_fs, summary.fs)) {
      add_file_system(node.name, "imagefs", summary.image_fs, samples, part);
    }
    if (!is_same(summary.container_fs, summary.fs) &&
        !is_same(summary.container_fs, summary.image_fs)) {
      add_file_system(node.name, "containerfs", summary.container_fs, samples, part);
    }
    const auto capacity = [&](std::string_view resource) {
      const auto found =
          std::ranges::find(node.capacity, resource, &kubernetes::Amounts::value_type::first);
      return found == node.capacity.end() ? 0.0 : found->second;
    };
    if (const double bytes = capacity("memory");
        bytes > 0 && summary.usage.memory_working_set_bytes) {
      part.check(kNodeMemoryCheck, *summary.usage.memory_working_set_bytes / bytes, node.name);
    }
    if (const double cores = capacity("cpu"); cores > 0 && summary.usage.cpu_seconds) {
      Share& share = memory_[node.name].cpu;
      const auto now = Clock::now();
      const double seconds = std::chrono::duration<double>(now.time_since_epoch()).count();
      share.see(now, *summary.usage.cpu_seconds, seconds * cores);
      if (share.share()) part.check(kNodeCpuCheck, *share.share(), node.name);
    }
    std::set<std::pair<std::string_view, std::string_view>> claims;  // several pods may mount one
    for (const kubernetes::PodSummary& pod : summary.pods) {
      if (!wanted(pod.namespace_name)) continue;
      samples.add(kPodCpu, pod.usage.cpu_seconds, pod.namespace_name, pod.name, node.name);
      samples.add(kPodMemory, pod.usage.memory_working_set_bytes, pod.namespace_name, pod.name,
                  node.name);
      for (const kubernetes::VolumeSummary& volume : pod.volumes) {
        if (volume.claim.empty()) continue;
        if (!claims.emplace(volume.claim_namespace, volume.claim).second) continue;
        add_volume(node.name, volume, samples, part);
      }
    }
  }

  static void add_volume(const std::string& node, const kubernetes::VolumeSummary& volume,
                         Part& samples, Part& part) {
    const auto add = [&](const auto& metric, const std::optional<double>& value) {
      samples.add(metric, value, volume.claim_namespace, volume.claim, node);
    };
    add(kVolumeAvailable, volume.fs.available_bytes);
    add(kVolumeCapacity, volume.fs.capacity_bytes);
    add(kVolumeUsed, volume.fs.used_bytes);
    add(kVolumeInodes, volume.fs.inodes);
    add(kVolumeInodesFree, volume.fs.inodes_free);
    if (volume.fs.available_bytes && volume.fs.capacity_bytes.value_or(0) > 0) {
      part.check(kVolumeUsedCheck, 1 - *volume.fs.available_bytes / *volume.fs.capacity_bytes,
                 volume.claim_namespace + '/' + volume.claim);
    }
  }

  void add_containers(const Node& node, const std::vector<ContainerMetrics>& containers,
                      Part& samples, Part& part) {
    std::map<std::string, Share>& throttled = memory_[node.name].throttled;
    std::map<std::string, Share> still_there;
    for (const ContainerMetrics& each : containers) {
      if (!wanted(each.namespace_name)) continue;
      for (std::size_t i = 0; i < kColumns.size(); ++i) {
        samples.add(*kColumns[i], each.values[i], each.namespace_name, each.pod, each.container,
                    node.name);
      }
      const std::string name = each.namespace_name + '/' + each.pod + " (" + each.container + ')';
      const std::optional<double>& max = each.values[limit];
      if (max && *max > 0 && each.values[working_set]) {
        part.check(kContainerMemory, *each.values[working_set] / *max, name);
      }
      if (!each.values[periods] || !each.values[throttled_periods]) continue;
      Share& share = still_there[name] = throttled[name];
      share.see(Clock::now(), *each.values[throttled_periods], *each.values[periods]);
      if (share.share()) part.check(kThrottled, *share.share(), name);
    }
    throttled = std::move(still_there);
  }

  const Environment& environment_;
  kubernetes::LabelSelector selector_;
  net::TlsOptions tls_;
  bool summary_;
  bool cadvisor_;
  std::size_t concurrency_;
  std::set<std::string> namespaces_;
  std::unique_ptr<Nodes> nodes_;
  net::kubernetes::Access access_;  // as it was when the run began
  std::string token_;
  std::map<std::string, NodeMemory> memory_;
};

constexpr auto kMetrics = metric_list(
    filesystem_metrics::kAvail, filesystem_metrics::kSize, filesystem_metrics::kFiles,
    filesystem_metrics::kFilesFree, kNodeCpu, kNodeMemory, kPodCpu, kPodMemory, kVolumeAvailable,
    kVolumeCapacity, kVolumeUsed, kVolumeInodes, kVolumeInodesFree, kWorkingSet, kUsage, kLimit,
    kCpu, kPeriods, kThrottledPeriods, kThrottledSeconds, kOom, kubernetes::kLastHeard);
constexpr std::array<const Check*, 6> kChecks = {&kDiskUsed,        &kVolumeUsedCheck,
                                                 &kNodeCpuCheck,    &kNodeMemoryCheck,
                                                 &kContainerMemory, &kThrottled};

}  // namespace

namespace kinds {
extern const ProbeKind kubelet;
const ProbeKind kubelet = {
    .name = "kubelet",
    .help = "Disks, memory and CPU of nodes, volumes and containers, as the kubelets tell.",
    .make = make_probe<KubeletProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .divides = true,
};
}  // namespace kinds

}  // namespace vitalsd
