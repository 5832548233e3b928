// What a kubelet says of its containers on /metrics/cadvisor: some families of that page (text
// format 0.0.4), read as its bytes arrive, so that of a page of many megabytes only the rows asked
// for are ever held. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vitalsd::kubernetes {

/// One running container: the newest of its name in its pod.
struct ContainerMetrics {
  std::string namespace_name;
  std::string pod;
  std::string container;
  /// Of the families asked for, in their order; nothing where the page has no such row.
  std::vector<std::optional<double>> values;
};

/// Left out are rows of no container (sums over pods and slices, pause containers), rows of one
/// core (`cpu` other than "total"), values that are no number, limits of memory that are none (0,
/// or more than any machine has), and all timestamps. Where a container was restarted the kubelet
/// goes on listing the old one for a while: the one that started last counts, by the page's
/// container_start_time_seconds.
class CadvisorReader {
 public:
  /// Families that have one row a container; the names must outlive the reader.
  explicit CadvisorReader(std::span<const std::string_view> families);

  /// Takes a piece. Throws ProbeError(protocol), with number and fault of the line, for a line that
  /// is longer than 64 KiB or no sample (labels and value are looked at in the families asked for
  /// only), and for more than any node has to say (128 MiB, or 64 MiB of containers).
  void feed(std::string_view bytes);

  /// After the last piece: the containers, ordered by namespace, pod and name. Throws
  /// ProbeError(protocol) if the page ends within a line.
  std::vector<ContainerMetrics> finish();

  /// The page says that its maker has failed to read containers (container_scrape_error is not 0):
  /// some lack, or all.
  [[nodiscard]] bool incomplete() const { return incomplete_; }

 private:
  struct Instance {
    ContainerMetrics metrics;
    std::optional<double> started;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;  // NOLINT(*-identifier-naming)
  };

  void read_line(std::string_view line);
  void read_row(std::string_view line);
  Instance& instance(std::string_view namespace_name, std::string_view pod,
                     std::string_view container, std::string_view id);
  [[noreturn]] void fail(const std::string& why) const;

  std::span<const std::string_view> families_;
  std::vector<Instance> instances_;
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> index_;  // into instances_
  std::size_t size_ = 0;                                                       // bytes so far
  std::size_t stored_ = 0;                                                     // bytes, about
  std::string rest_;  // of a line, until its end comes
  std::string key_;   // room for building one
  std::size_t line_number_ = 0;

  // The family of the latest line, and whether it is wanted: families stand together.
  std::string family_;
  std::size_t column_ = 0;  // in families_, whose size stands for: not asked for
  bool is_start_ = false;
  bool is_limit_ = false;
  bool is_error_ = false;

  bool incomplete_ = false;
};

}  // namespace vitalsd::kubernetes
