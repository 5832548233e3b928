// The counted log lines, and the positions up to which logs have been read. Both are saved
// together: after a crash no line is counted twice and no line is lost. Only saved counts are
// published: no counter ever decreases. Probe loop only.
#pragma once

#include "probes/kubernetes/logs/log_lines.hpp"
#include "probes/net/options.hpp"
#include "probes/probe.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::kubernetes {

/// Selects the lines that match `match` and do not match `exclude`.
struct LogPattern {
  std::string name;
  net::Pattern match;
  std::optional<net::Pattern> exclude{};

  [[nodiscard]] bool matches(std::string_view line) const {
    return match.matches(line) && !(exclude && exclude->matches(line));
  }
};

class LogCounts final : public Notes {
 public:
  /// The counts of all containers with the same name in a namespace, over all pods that have
  /// existed. Each vector has one count for each pattern.
  struct Row {
    std::vector<std::uint64_t> current;
    std::vector<std::uint64_t> serialized;  ///< in the last serialize()
    std::vector<std::uint64_t> saved;       ///< on disk: these may be published
    std::size_t containers = 0;             ///< existing containers
    std::int64_t last_seen = 0;             ///< Unix seconds when a container last existed
  };
  /// By namespace and container name.
  using Rows = std::map<std::pair<std::string, std::string>, Row>;

  /// Seconds for which a row without containers is kept: longer than the range of usual queries.
  static constexpr std::int64_t kRetention = std::int64_t{48} * 3600;
  /// Seconds for which the position in the log of a container that does not exist is kept: a pod
  /// that leaves a selector may return.
  static constexpr std::int64_t kPositionRetention = 600;

  explicit LogCounts(std::vector<LogPattern> patterns) : patterns_(std::move(patterns)) {}

  [[nodiscard]] const std::vector<LogPattern>& patterns() const { return patterns_; }
  /// Replaces the patterns. A pattern keeps its counts if an old pattern has the same name.
  void set_patterns(std::vector<LogPattern> patterns);

  /// Starts counting: lines with a timestamp from `now` (nanoseconds since 1970) on are counted.
  /// Has no effect if counting has already started, even before a restart.
  void start(std::int64_t now);

  [[nodiscard]] const Rows& rows() const { return rows_; }
  /// Returns the row; a new row starts at 0. The reference is valid while the row has containers.
  Row& row(const std::string& namespace_name, const std::string& container);
  void count(Row& row, std::string_view line);

  /// Returns the position in the log of a container ("namespace/pod/name"), or a new one. The
  /// reference is valid until forget().
  LogPosition& position(const std::string& container);
  /// Records that the container no longer exists at `now` (Unix seconds). A later call removes its
  /// position after kPositionRetention, unless position() is called before.
  void forget(const std::string& container, std::int64_t now);
  /// Calls forget() for all containers for which `exists` returns false. A restored position is
  /// kept for the whole kPositionRetention, because it is unknown when the container was deleted.
  void forget_unless(const std::function<bool(const std::string&)>& exists, std::int64_t now);

  std::string serialize() override;
  void saved() override;
  void restore(std::string_view text) override;
  [[nodiscard]] std::uint64_t version() const override { return version_; }

 private:
  void drop_old_positions(std::int64_t now);
  void drop_old_rows(std::int64_t now);

  std::vector<LogPattern> patterns_;
  Rows rows_;
  struct Position {
    LogPosition position;
    std::optional<std::int64_t> forgotten{};  // Unix seconds
  };
  std::map<std::string, Position> positions_;
  // May contain containers that were used again since then.
  std::deque<std::pair<std::int64_t, std::string>> forgotten_;
  std::optional<std::int64_t> started_;
  std::uint64_t version_ = 0;
};

}  // namespace vitalsd::kubernetes
