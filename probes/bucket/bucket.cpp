// Kind `bucket`: an S3 bucket can be reached and listed, and how much is stored under a prefix.
// Each run lists one object. A count of all objects is made at an interval of its own. It continues
// over as many runs as it needs, and stops after `max_pages`: the result is then only a lower
// bound.
#include "probes/bucket/usage.hpp"
#include "probes/kubernetes/watch/selection.hpp"
#include "probes/net/s3.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

using bucket::Usage;
using Clock = std::chrono::steady_clock;

/// Labels: bucket, prefix. The first two metrics have the names that s3_exporter uses.
constexpr MetricTable kUsageTable(
    MetricRow{Metric({.name = "s3_objects",
                      .help = "Objects under the prefix; absent if the count is incomplete."},
                     "bucket", "prefix"),
              [](const Usage& usage) {
                return usage.is_complete() ? std::optional(usage.objects()) : std::nullopt;
              }},
    MetricRow{Metric({.name = "s3_objects_size_sum_bytes",
                      .unit = Unit::bytes,
                      .help = "Size of all objects under the prefix; absent if the count is "
                              "incomplete."},
                     "bucket", "prefix"),
              [](const Usage& usage) {
                return usage.is_complete() ? std::optional(usage.bytes()) : std::nullopt;
              }},
    MetricRow{Metric({.name = "vitalsd_bucket_usage_complete",
                      .help = "Whether the last count saw all objects (1) or ended after max_pages "
                              "(0)."},
                     "bucket", "prefix"),
              [](const Usage& usage) { return usage.is_complete(); }},
    MetricRow{Metric({.name = "vitalsd_bucket_usage_pages",
                      .help = "Pages of up to 1,000 objects that the last count has read."},
                     "bucket", "prefix"),
              [](const Usage& usage) { return usage.pages(); }},
    MetricRow{Metric({.name = "vitalsd_bucket_usage_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the last count ended, in Unix time."},
                     "bucket", "prefix"),
              [](const Usage& usage) { return usage.ended_at(); }});
constexpr Metric kQuota({.name = "vitalsd_bucket_quota_bytes",
                         .unit = Unit::bytes,
                         .help = "The option quota."},
                        "bucket", "prefix");
constexpr auto kMetrics = metric_list(kUsageTable, kQuota, kubernetes::kSelectedObjects);

constexpr Check kQuotaCheck{.name = "quota",
                            .unit = Unit::ratio,
                            .warn = 0.80,
                            .critical = 0.90,
                            .help = "size of all objects under the prefix over quota"};
constexpr std::array<const Check*, 2> kChecks = {&kQuotaCheck, &kubernetes::kUnmatchedCheck};

std::optional<net::S3Bucket> read_bucket(config::Node& options, const Environment& environment) {
  config::Node* const s3 = options.find_section("s3", "the bucket, and the prefix to count");
  if (s3 != nullptr) return net::S3Bucket(environment, net::S3Options::read(*s3));
  options.error("s3", "required key 's3' is missing: write for example s3: {bucket: NAME}");
  return std::nullopt;
}

class BucketProbe final : public Probe {
 public:
  BucketProbe(config::Node& options, const Environment& environment)
      : bucket_(read_bucket(options, environment)),
        quota_(options.find<config::Bytes>(
            "quota", "maximum size of all objects under the prefix; requires usage")),
        counts_(options.get<bool>(
            "usage", quota_.has_value(),
            "count the objects under the prefix and their bytes, by requests for 1,000 "
            "objects each; true by default if quota is set")),
        interval_(options.get<config::Duration>("usage_interval", 1h, "time between two counts",
                                                {1s, 720h})),
        max_pages_(options.get<std::int64_t>(
            "max_pages", 100, "maximum number of requests of a count, for 1,000 objects each",
            {1, 100'000})) {
    if (quota_ && quota_->value == 0) options.error("quota", "must be more than 0");
    if (quota_ && !counts_) options.error("usage", "quota requires usage: true");
    if (!counts_) {
      for (const std::string_view key : {"usage_interval", "max_pages"}) {
        if (options.has(key)) options.error(key, "requires quota or usage: true");
      }
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const Clock::time_point start = Clock::now();
    const net::S3Page page = co_await bucket_->page(out, std::string(), 1);
    if (!prefix().empty()) {
      kubernetes::Selection selection;
      selection.add("prefix " + prefix(), page.objects.size());
      selection.report(out);
    }
    if (quota_) out.add(kQuota, static_cast<double>(quota_->value), name(), prefix());
    if (!counts_) co_return;
    co_await count(start + out.time_limit() / 2, out);
    if (usage_) {
      kUsageTable.add(out, *usage_, name(), prefix());
      if (quota_) check_quota(out);
    }
    if (failure_) out.fail(failure_->reason, failure_->detail);
  }

  [[nodiscard]] std::string target() const override { return bucket_ ? bucket_->text() : ""; }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<BucketProbe&>(predecessor);
    // The result for another store, or with another limit, may differ.
    const bool is_same =
        bucket_ && old.bucket_ && old.max_pages_ == max_pages_ &&
        old.bucket_->options().endpoint.text() == bucket_->options().endpoint.text();
    if (!counts_ || !is_same) return;
    usage_ = old.usage_;
    counting_ = std::move(old.counting_);
    failure_ = std::move(old.failure_);
    due_ = old.due_;
  }

 private:
  [[nodiscard]] const std::string& name() const { return bucket_->options().bucket; }
  [[nodiscard]] const std::string& prefix() const { return bucket_->options().prefix; }

  // Starts or continues a count, until `deadline`. The next run continues it. Throws ProbeError if
  // the store is down; the next run then repeats the page.
  asio::awaitable<void> count(Clock::time_point deadline, SampleSet& out) {
    if (!counting_) {
      if (Clock::now() < due_) co_return;
      due_ = Clock::now() + interval_;
      counting_.emplace();
    }
    do {
      net::S3Page page;
      try {
        page = co_await bucket_->page(out, counting_->continuation());
      } catch (const ProbeError& error) {
        if (is_up(error.reason()) != true || error.reason() == Reason::overload) throw;
        // The store refuses this page, for example because the continuation token has expired.
        failure_ = Failure{error.reason(), std::string("counting: ") + error.what()};
        counting_.reset();
        due_ = std::min(due_, Clock::now() + kRetryAfterFailure);
        co_return;
      }
      if (counting_->add(page, max_pages_)) {
        usage_ = *std::exchange(counting_, std::nullopt);
        failure_.reset();
        co_return;
      }
    } while (Clock::now() < deadline);
  }

  // An incomplete count can show that the quota is exceeded, but not that it is not exceeded.
  void check_quota(SampleSet& out) const {
    const double ratio = usage_->bytes() / static_cast<double>(quota_->value);
    if (usage_->is_complete() || ratio > 1) {
      out.check(kQuotaCheck, ratio);
      return;
    }
    out.fail(Reason::config, "cannot check the quota: there are more than max_pages (" +
                                 std::to_string(max_pages_) +
                                 ") pages of objects; increase max_pages or use a longer prefix");
  }

  static constexpr auto kRetryAfterFailure = 1min;

  std::optional<net::S3Bucket> bucket_;
  std::optional<config::Bytes> quota_;
  bool counts_;
  config::Duration interval_;
  std::int64_t max_pages_;
  std::optional<Usage> counting_;   // the count in progress
  std::optional<Usage> usage_;      // the last count that has ended
  std::optional<Failure> failure_;  // of the last count
  Clock::time_point due_;           // when the next count starts
};

}  // namespace

namespace kinds {
extern const ProbeKind bucket;
const ProbeKind bucket = {
    .name = "bucket",
    .help = "An S3 bucket can be reached and listed; how much is stored under a prefix.",
    .make = make_probe<BucketProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
};
}  // namespace kinds

}  // namespace vitalsd
