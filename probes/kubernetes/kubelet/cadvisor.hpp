// A streaming reader of a kubelet's /metrics/cadvisor (text format 0.0.4). It keeps only the rows
// of selected families, because the page can have many megabytes. Pure.
#pragma once

#include "probes/net/text_page.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vitalsd::kubernetes {

/// One running container: the newest instance of its name in its pod.
struct ContainerMetrics {
  std::string namespace_name;
  std::string pod;
  std::string container;
  std::string image;
  std::string name;  ///< of the instance: its ID at the container runtime
  /// One value for each selected family, in their order; empty if the page has no such row.
  std::vector<std::optional<double>> values;
};

/// Skips rows of anything but containers (sums over pods and slices, pause containers), rows of a
/// single core (`cpu` other than "total"), values that are not finite, memory limits that mean no
/// limit (0, or more memory than any machine has), and all timestamps. After a restart the kubelet
/// lists the old instance for some time; only the instance with the latest
/// container_start_time_seconds counts.
class CadvisorReader {
 public:
  /// `families` must have one row for each container. The names must outlive the reader.
  explicit CadvisorReader(std::span<const std::string_view> families);

  /// Parses a piece of the page. Throws ProbeError(protocol) with the line number for a line longer
  /// than 64 KiB, for a line that is not a sample (labels and value are checked in the selected
  /// families only), and for a page over 128 MiB or over 64 MiB of containers.
  void feed(std::string_view bytes);

  /// Returns the containers, ordered by namespace, pod and name. Call it once, after the last
  /// piece. Throws ProbeError(protocol) if the page ends in the middle of a line.
  std::vector<ContainerMetrics> finish();

  /// Whether cAdvisor failed to read some or all containers (container_scrape_error is not 0).
  [[nodiscard]] bool is_incomplete() const { return is_incomplete_; }

 private:
  struct Instance {
    ContainerMetrics metrics;
    std::optional<double> started;
  };
  struct Labels {
    std::string_view namespace_name, pod, container, image, name, id;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;  // NOLINT(*-identifier-naming)
  };

  /// `text` is the line after the family's name.
  void read_row(std::string_view text);
  Instance& instance(const Labels& labels);

  std::span<const std::string_view> families_;
  net::TextPage page_;
  std::vector<Instance> instances_;
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> index_;  // into instances_
  std::size_t stored_ = 0;  // bytes of instances_ and index_, approximately
  std::string key_;         // buffer for a key of index_

  // The family of the last line. One lookup serves many lines, because the lines of a family are
  // adjacent.
  std::string family_;
  std::size_t column_ = 0;  // in families_; its size if the family is not selected
  bool is_start_ = false;
  bool is_limit_ = false;
  bool is_error_ = false;

  bool is_incomplete_ = false;
};

}  // namespace vitalsd::kubernetes
