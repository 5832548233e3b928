#include "probes/kubernetes/kubelet/cadvisor.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <utility>

namespace vitalsd::kubernetes {

namespace {

constexpr std::size_t kMaxMebibytes = 128;  // a container has some KiB
constexpr std::size_t kMaxStored = std::size_t{64} << 20;

constexpr std::string_view kStartFamily = "container_start_time_seconds";
constexpr std::string_view kErrorFamily = "container_scrape_error";
constexpr std::string_view kLimitFamily = "container_spec_memory_limit_bytes";
/// A limit of at least this value means no limit. cAdvisor uses the same bound; cgroup v1 reports
/// 2^63 - 4096 if there is no limit.
constexpr double kNoLimit = 0x1p62;

}  // namespace

CadvisorReader::CadvisorReader(std::span<const std::string_view> families)
    : families_(families), page_("/metrics/cadvisor", kMaxMebibytes) {}

void CadvisorReader::feed(std::string_view bytes) {
  while (const auto line = page_.next(bytes)) {
    if (line->name != family_) {
      family_ = line->name;
      column_ = static_cast<std::size_t>(std::ranges::find(families_, family_) - families_.begin());
      is_start_ = family_ == kStartFamily;
      is_limit_ = family_ == kLimitFamily;
      is_error_ = family_ == kErrorFamily;
    }
    if (column_ < families_.size() || is_start_ || is_error_) read_row(line->rest);
  }
}

void CadvisorReader::read_row(std::string_view text) {
  std::array<net::TextLabel, 7> labels = {
      {{"namespace"}, {"pod"}, {"container"}, {"image"}, {"name"}, {"id"}, {"cpu"}}};
  const auto& [namespace_name, pod, container, image, name, id, cpu] = labels;
  const double value = page_.read(text, labels);

  if (is_error_) {
    is_incomplete_ = is_incomplete_ || value != 0;
    return;
  }
  if (container.value.empty() || container.value == "POD") return;
  if (!cpu.value.empty() && cpu.value != "total") return;
  if (!std::isfinite(value) || (is_limit_ && (value <= 0 || value >= kNoLimit))) return;
  Instance& row = instance(
      {namespace_name.value, pod.value, container.value, image.value, name.value, id.value});
  if (is_start_) row.started = value;
  if (column_ < families_.size()) row.metrics.values[column_] = value;
}

CadvisorReader::Instance& CadvisorReader::instance(const Labels& labels) {
  key_.clear();
  for (const std::string_view part :
       {labels.namespace_name, labels.pod, labels.container, labels.id}) {
    key_ += part;
    key_ += '\0';
  }
  const auto found = index_.find(key_);
  if (found != index_.end()) return instances_[found->second];

  stored_ += 2 * key_.size() + labels.image.size() + labels.name.size() + sizeof(Instance) +
             families_.size() * sizeof(std::optional<double>);
  if (stored_ > kMaxStored) page_.fail("too many containers");
  index_.emplace(key_, instances_.size());
  Instance& added = instances_.emplace_back();
  added.metrics = {
      std::string(labels.namespace_name), std::string(labels.pod),
      std::string(labels.container),      std::string(labels.image),
      std::string(labels.name),           std::vector<std::optional<double>>(families_.size())};
  return added;
}

std::vector<ContainerMetrics> CadvisorReader::finish() {
  page_.finish();
  const auto name = [](const Instance& instance) {
    return std::tie(instance.metrics.namespace_name, instance.metrics.pod,
                    instance.metrics.container);
  };
  // The oldest instance comes first. An instance without a start time is considered the oldest.
  const auto order = [&](const Instance& instance) {
    return std::tuple_cat(name(instance), std::tie(instance.started, instance.metrics.values));
  };
  std::ranges::sort(instances_, std::less<>(), order);
  std::vector<ContainerMetrics> newest;
  for (std::size_t i = 0; i < instances_.size(); ++i) {
    const bool is_newest =
        i + 1 == instances_.size() || name(instances_[i]) != name(instances_[i + 1]);
    if (is_newest) newest.push_back(std::move(instances_[i].metrics));
  }
  return newest;
}

}  // namespace vitalsd::kubernetes
