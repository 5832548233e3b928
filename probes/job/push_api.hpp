// The Pushgateway's API for one job: requests change its groups, and runs publish them. A push is
// also a success of the job. Probe loop only.
#pragma once

#include "config/node.hpp"
#include "exporter/model/check.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/job/groups.hpp"
#include "probes/job/history.hpp"
#include "probes/page/dropped.hpp"
#include "probes/receiver.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace vitalsd::job {

constexpr Metric kPushDropped({.name = "vitalsd_job_push_dropped_total",
                               .type = Type::counter,
                               .help = "Pushed series that are not published, because vitalsd "
                                       "declares their family."});
constexpr Check kUnpublishedCheck{
    .name = "unpublished",
    .warn = 0,
    .critical = {},
    .help =
        "pushed series that are not published, because another probe has their family with "
        "another type"};

class PushApi {
 public:
  /// Reads `push`. `foreign` has the families of vitalsd and of other publishers.
  PushApi(config::Node& options, ForeignFamilies& foreign);

  /// Returns one route for each path of the job, without a token, which the caller sets.
  static std::vector<PushRoute> routes(const std::string& name);

  void receive(const Push& push, History& history, double now, Receiver::Answer answer);

  /// Adds the groups that have not expired.
  void publish(SampleSet& out, History& history, double now);

  /// Continues the counter of the predecessor.
  void inherit(const PushApi& predecessor) { dropped_ = predecessor.dropped_; }

 private:
  [[nodiscard]] std::expected<Groups::Accepted, PushAnswer> accept(const Push& push,
                                                                   const GroupLabels& labels,
                                                                   Groups& groups,
                                                                   double now) const;
  void read(const SampleSet& out, const Groups& groups);

  ForeignFamilies& foreign_;
  std::optional<double> ttl_;  // seconds; nothing: pushes are refused
  double dropped_ = 0;

  // The page of the last run.
  std::string constant_labels_;
  std::optional<std::uint64_t> version_;  // of the groups
  Fragment fragment_;
  page::DroppedLines unpublished_;
};

}  // namespace vitalsd::job
