// Kind `logs`: counts the lines in the logs of containers that match patterns. Each line is counted
// once, across restarts of streams, containers and vitalsd. PromQL returns the count of a period:
// sum by (pattern) (increase(vitalsd_log_lines_total[24h])).
//
// Counting starts when the probe runs for the first time: earlier lines are skipped. Pods that are
// created later are counted from their first line. A count is published when it has been saved, up
// to ten seconds later if `state` is configured.
#include "probes/kubernetes/logs/log_follower.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using kubernetes::LogFollower;
using kubernetes::LogPattern;

constexpr Metric kLines({.name = "vitalsd_log_lines_total",
                         .type = Type::counter,
                         .help = "Lines that match the pattern, in the logs of all containers "
                                 "with the same name in a namespace."},
                        "namespace", "container", "pattern");
constexpr Metric kReadBytes({.name = "vitalsd_log_read_bytes_total",
                             .type = Type::counter,
                             .unit = Unit::bytes,
                             .help = "Bytes of logs received from the API server, including "
                                     "repeated lines."});
constexpr Metric kTruncated({.name = "vitalsd_log_truncated_lines_total",
                             .type = Type::counter,
                             .help = "Lines longer than 16 KiB, of which only the beginning is "
                                     "matched with the patterns."});
constexpr Metric kStreams({.name = "vitalsd_log_streams",
                           .help = "Logs that are followed (open) and logs that wait for a stream "
                                   "(waiting)."},
                          "state");

constexpr std::size_t kMaxPatterns = 64;

bool is_pattern_name(std::string_view text) {
  const auto is_allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  };
  return !text.empty() && std::ranges::all_of(text, is_allowed);
}

std::vector<LogPattern> read_patterns(config::Node& options) {
  std::vector<LogPattern> patterns;
  for (config::Node& section :
       options.sections("patterns", "the lines to count; a line may match several")) {
    LogPattern pattern{
        .name = section.required<std::string>("name", "the value of the label `pattern`"),
        .match = section.required<net::Pattern>("match", "counts lines that contain a match"),
        .exclude = section.find<net::Pattern>("exclude", "leaves out lines that contain a match"),
    };
    if (section.has("name") && !is_pattern_name(pattern.name)) {
      section.error("name", config::quoted(pattern.name) +
                                " is not a valid pattern name: use letters, digits, _ and -");
    }
    if (std::ranges::find(patterns, pattern.name, &LogPattern::name) != patterns.end()) {
      section.error("name", "duplicate pattern name " + config::quoted(pattern.name));
    }
    patterns.push_back(std::move(pattern));
  }
  if (patterns.empty()) options.error("patterns", "must contain at least one pattern");
  if (patterns.size() > kMaxPatterns) {
    options.error("patterns", "must contain at most " + std::to_string(kMaxPatterns) + " patterns");
  }
  return patterns;
}

class LogsProbe final : public Probe {
 public:
  LogsProbe(config::Node& options, const Environment& environment)
      : scope_(kubernetes::Scope::read(options)),
        containers_(options.list<std::string>("containers",
                                              "only containers with these names; default: all")),
        patterns_(read_patterns(options)),
        max_streams_(static_cast<std::size_t>(options.get<std::int64_t>(
            "max_streams", 100, "maximum number of logs followed at a time, one connection each",
            {1, 10'000}))),
        follower_(std::make_unique<LogFollower>(environment, scope_, containers_, patterns_)) {
    follower_->set_max_streams(max_streams_);
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    co_await follower_->judge(out);
    const kubernetes::LogCounts& counts = follower_->counts();
    for (const auto& [key, row] : counts.rows()) {
      for (std::size_t i = 0; i < patterns_.size(); ++i) {
        out.add(kLines, static_cast<double>(row.saved[i]), key.first, key.second,
                patterns_[i].name);
      }
    }
    out.add(kReadBytes, static_cast<double>(follower_->bytes_read()));
    out.add(kTruncated, static_cast<double>(follower_->truncated_lines()));
    out.add(kStreams, static_cast<double>(follower_->open()), "open");
    out.add(kStreams, static_cast<double>(follower_->waiting()), "waiting");
  }

  [[nodiscard]] std::string target() const override {
    std::string text = "logs of ";
    for (const std::string& name : containers_) {
      text += (&name == &containers_.front() ? "" : ", ") + name;
    }
    return text + (containers_.empty() ? "pods in " : " in ") + scope_.text();
  }

  [[nodiscard]] bool overlaps(const LogsProbe& other) const {
    const bool disjoint_names =
        !containers_.empty() && !other.containers_.empty() &&
        std::ranges::find_first_of(containers_, other.containers_) == containers_.end();
    return !disjoint_names && scope_.overlaps(other.scope_);
  }

  void inherit(Probe& predecessor) override {
    follower_ = std::move(dynamic_cast<LogsProbe&>(predecessor).follower_);
    follower_->counts().set_patterns(patterns_);
    follower_->set_max_streams(max_streams_);
  }

  Notes* notes() override { return follower_ ? &follower_->counts() : nullptr; }

 private:
  kubernetes::Scope scope_;
  std::vector<std::string> containers_;
  std::vector<LogPattern> patterns_;
  std::size_t max_streams_;
  std::unique_ptr<LogFollower> follower_;
};

constexpr auto kMetrics = metric_list(kLines, kReadBytes, kTruncated, kStreams,
                                      kubernetes::kLastHeard, kubernetes::kSelectedObjects);
constexpr std::array<const Check*, 1> kChecks = {&kubernetes::kUnmatchedCheck};

constexpr WatchingKind kWatching{.overlaps = probes_overlap<LogsProbe>};
constexpr std::array<Permission, 2> kPermissions = {
    Permission{.group = "", .resource = "pods"},
    Permission{.group = "", .resource = "pods/log", .verbs = Permission::Verbs::get}};

}  // namespace

namespace kinds {
extern const ProbeKind logs;
const ProbeKind logs = {
    .name = "logs",
    .help = "Lines in the logs of containers that match patterns, each counted once.",
    .make = make_probe<LogsProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .permissions = kPermissions,
    .watching = &kWatching,
};
}  // namespace kinds

}  // namespace vitalsd
