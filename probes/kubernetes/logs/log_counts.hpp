// What has been counted in logs, and how far they have been read: both are saved together, so that
// after a crash no line counts twice and none is lost, and only what is saved is published, so that
// no counter ever goes back. Probe loop only.
#pragma once

#include "probes/kubernetes/logs/log_lines.hpp"
#include "probes/net/options.hpp"
#include "probes/probe.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::kubernetes {

/// Lines that match and are not excluded.
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
  /// The containers of one name in one namespace, whatever pods come and go. A number a pattern.
  struct Row {
    std::vector<std::uint64_t> now;
    std::vector<std::uint64_t> taken;
    std::vector<std::uint64_t> saved;  ///< what may be published
    std::size_t containers = 0;        ///< that are there
    std::int64_t last_there = 0;       ///< Unix seconds, when the last of them was
  };
  /// By namespace and name of the container.
  using Rows = std::map<std::pair<std::string, std::string>, Row>;

  /// A row without containers is kept for longer than anybody looks back.
  static constexpr std::int64_t kKept = std::int64_t{48} * 3600;

  explicit LogCounts(std::vector<LogPattern> patterns) : patterns_(std::move(patterns)) {}

  [[nodiscard]] const std::vector<LogPattern>& patterns() const { return patterns_; }
  /// Counts of patterns whose names stay stay.
  void set_patterns(std::vector<LogPattern> patterns);

  /// Lines from `now` (nanoseconds since 1970) on count, unless earlier ones did already.
  void begin(std::int64_t now);

  [[nodiscard]] const Rows& rows() const { return rows_; }
  /// The row, begun at 0 if it is not there. Stays valid while it has containers.
  Row& row(const std::string& namespace_name, const std::string& container);
  void count(Row& row, std::string_view line);

  /// How far the log of a container ("namespace/pod/name") has been read; begun if need be.
  LogPosition& position(const std::string& container);
  void forget(const std::string& container) { positions_.erase(container); }
  /// Forgets those of other containers than `is_there` says are there.
  void forget_unless(const std::function<bool(const std::string&)>& is_there);

  std::string serialize() override;
  void saved() override;
  void restore(std::string_view text) override;
  [[nodiscard]] std::uint64_t version() const override { return version_; }

 private:
  void drop_old_rows(std::int64_t now);

  std::vector<LogPattern> patterns_;
  Rows rows_;
  std::map<std::string, LogPosition> positions_;
  std::optional<std::int64_t> begun_;
  std::uint64_t version_ = 0;
};

}  // namespace vitalsd::kubernetes
