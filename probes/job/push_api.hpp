// The Pushgateway's API for one job: requests change its groups, and runs publish them. A push is
// also a success of the job. Requests are processed one after the other; if there is much to parse,
// on the thread for computing, from a copy of the groups. Probe loop only.
#pragma once

#include "config/node.hpp"
#include "exporter/model/check.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/job/groups.hpp"
#include "probes/job/history.hpp"
#include "probes/job/ping.hpp"
#include "probes/page/dropped.hpp"
#include "probes/probe.hpp"
#include "probes/receiver.hpp"

#include <deque>
#include <exception>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <boost/asio/awaitable.hpp>

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
  /// Reads `push`. `name` is the name of the job.
  PushApi(config::Node& options, const Environment& environment, std::string name);
  /// Asks the senders of requests that were not processed to retry.
  ~PushApi();
  PushApi(const PushApi&) = delete;
  PushApi& operator=(const PushApi&) = delete;

  /// Returns one route for each path of the job, without a token, which the caller sets.
  static std::vector<PushRoute> routes(const std::string& name);

  /// See Receiver::receive(). `history` must outlive the object or its next call of inherit().
  void receive(Push push, History& history, double now, Receiver::Answer answer,
               Receiver::Changed changed);

  /// Adds the groups that have not expired.
  asio::awaitable<void> publish(SampleSet& out, History& history, double now);

  /// Continues the counter of the predecessor.
  void inherit(const PushApi& predecessor) { dropped_ = predecessor.dropped_; }

 private:
  struct Request {
    Push push;
    GroupLabels labels;
    std::optional<Ping> run;  // nothing: the request deletes a group, and is no run
    double now;
    Receiver::Answer answer;
    Receiver::Changed changed;
  };
  // The groups after a request, whether it was accepted or refused.
  struct Outcome {
    Groups groups{};
    std::expected<Groups::Accepted, PushAnswer> accepted{};
  };
  struct Page {
    Groups groups{};
    Fragment families{};
    page::DroppedLines unpublished{};
  };

  static Outcome apply(Groups groups, const Push& push, const GroupLabels& labels, double now,
                       const ForeignFamilies& declared);
  static Page render(Groups groups, const std::string& labels, ForeignFamilies& foreign);
  template <class Work>
  auto compute(Work work) const -> asio::awaitable<std::invoke_result_t<Work>>;
  void process_queue(History& history);
  void finish(History& history, Outcome outcome, const std::exception_ptr& error = nullptr);
  void record(Request& request, History& history, const Groups::Accepted& accepted);

  const Environment& environment_;
  std::string name_;
  std::optional<double> ttl_;  // seconds; nothing: pushes are refused
  double dropped_ = 0;
  // The first request is being processed. A computation that ends later than this object finds that
  // the queue is gone.
  std::shared_ptr<std::deque<Request>> queue_ = std::make_shared<std::deque<Request>>();
  Page page_;  // of the last run
};

}  // namespace vitalsd::job
