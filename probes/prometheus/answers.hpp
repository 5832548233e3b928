// The data that the probe reads from the responses of Prometheus's HTTP API. Pure.
#pragma once

#include "probes/prometheus/api_reader.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::prometheus {

/// Counts objects and keeps the names of the first ones.
class Names {
 public:
  void add(std::string name);
  [[nodiscard]] std::size_t count() const { return count_; }
  /// Formats the names: "a, b and 3 more".
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::size_t kMaxNames = 5;
  std::vector<std::string> first_;
  std::size_t count_ = 0;
};

/// /api/v1/targets?state=active
class Targets final : public ApiContent {
 public:
  struct Job {
    double up = 0;
    double down = 0;
    double unknown = 0;  ///< not scraped yet
  };

  void text(std::string_view path, std::string_view text) override;
  void object_ended(std::string_view path) override;

  [[nodiscard]] const std::map<std::string, Job>& jobs() const { return jobs_; }
  [[nodiscard]] const Names& down() const { return down_; }

 private:
  std::map<std::string, Job> jobs_;
  Names down_;
  std::string job_;  // of the current target, like the next two members
  std::string instance_;
  std::string health_;
};

/// /api/v1/rules
class Rules final : public ApiContent {
 public:
  void text(std::string_view path, std::string_view text) override;
  void object_ended(std::string_view path) override;

  /// The number of rules by health: ok, err, unknown (not evaluated yet).
  [[nodiscard]] const std::map<std::string, double, std::less<>>& by_health() const {
    return by_health_;
  }
  [[nodiscard]] const Names& failing() const { return failing_; }
  [[nodiscard]] bool has_alerts() const { return has_alerts_; }

 private:
  std::map<std::string, double, std::less<>> by_health_{{"err", 0}, {"ok", 0}, {"unknown", 0}};
  Names failing_;
  bool has_alerts_ = false;
  std::string name_;  // of the current rule, like the next two members
  std::string health_;
  std::string error_;
};

/// /api/v1/alertmanagers
class Alertmanagers final : public ApiContent {
 public:
  void text(std::string_view path, std::string_view text) override;
  void object_ended(std::string_view) override {}

  [[nodiscard]] double active() const { return active_; }
  [[nodiscard]] double dropped() const { return dropped_; }

 private:
  double active_ = 0;
  double dropped_ = 0;  // by relabelling
};

/// /api/v1/query
class QueryResult final : public ApiContent {
 public:
  void text(std::string_view path, std::string_view text) override;
  void object_ended(std::string_view path) override;

  /// Returns the only value; nothing if the result is empty or the value is not finite. Throws
  /// ProbeError(config) if the result is not a single value.
  [[nodiscard]] std::optional<double> value() const;

 private:
  std::string type_;
  std::string value_;  // the last one
  std::size_t samples_ = 0;
};

}  // namespace vitalsd::prometheus
