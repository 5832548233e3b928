// Kind `logs`: lines that match patterns in the logs of containers, each counted once, over all
// restarts of stream, container and vitalsd. Counts of periods follow by PromQL: the lines of a day
// are sum by (pattern) (increase(vitalsd_log_lines_total[24h])).
//
// Counting begins with the probe's first start: what containers said before is left aside, and
// pods that come later are counted from their first line. A count is published once it is saved,
// so with `state` it may come ten seconds late.
#include "probes/kubernetes/logs/log_follower.hpp"

#include <algorithm>
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
                         .help = "Lines that match the pattern, in the logs of all containers of "
                                 "that name."},
                        "namespace", "container", "pattern");
constexpr Metric kReadBytes({.name = "vitalsd_log_read_bytes_total",
                             .type = Type::counter,
                             .unit = Unit::bytes,
                             .help = "What the API server has sent of logs, repetitions "
                                     "included."});
constexpr Metric kStreams({.name = "vitalsd_log_streams",
                           .help = "Logs that are being followed (open), and those that wait for "
                                   "their turn (waiting)."},
                          "state");

constexpr std::size_t kMaxPatterns = 64;

bool is_name(std::string_view text) {
  const auto good = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; };
  return !text.empty() && std::ranges::all_of(text, good);
}

std::vector<LogPattern> read_patterns(config::Node& options) {
  std::vector<LogPattern> patterns;
  for (config::Node& each :
       options.sections("patterns", "what is counted; a line may match many")) {
    LogPattern pattern{
        .name = each.required<std::string>("name", "the label `pattern`"),
        .match = each.required<net::Pattern>("match", "lines with a match (RE2) count"),
        .exclude = each.find<net::Pattern>("exclude", "but not those that match this one"),
    };
    if (each.has("name") && !is_name(pattern.name)) {
      each.error("name", config::quoted(pattern.name) +
                             " is no name of a pattern: letters, digits, _ and -");
    }
    if (std::ranges::find(patterns, pattern.name, &LogPattern::name) != patterns.end()) {
      each.error("name", "two patterns are called " + config::quoted(pattern.name));
    }
    patterns.push_back(std::move(pattern));
  }
  if (patterns.empty()) options.error("patterns", "there is nothing to look for");
  if (patterns.size() > kMaxPatterns) {
    options.error("patterns", "more than " + std::to_string(kMaxPatterns) + " are too many");
  }
  return patterns;
}

class LogsProbe final : public Probe {
 public:
  LogsProbe(config::Node& options, const Environment& environment)
      : scope_(kubernetes::Scope::read(options)),
        containers_(
            options.list<std::string>("containers", "only those of these names; without it all")),
        patterns_(read_patterns(options)),
        max_streams_(static_cast<std::size_t>(options.get<std::int64_t>(
            "max_streams", 100, "logs that are followed at a time, a connection each",
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

  [[nodiscard]] bool overlaps(const Probe& other) const override {
    const auto& probe = dynamic_cast<const LogsProbe&>(other);
    const bool apart =
        !containers_.empty() && !probe.containers_.empty() &&
        std::ranges::find_first_of(containers_, probe.containers_) == containers_.end();
    return !apart && scope_.overlaps(probe.scope_);
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

constexpr auto kMetrics = metric_list(kLines, kReadBytes, kStreams, kubernetes::kLastHeard);

}  // namespace

namespace kinds {
extern const ProbeKind logs;
const ProbeKind logs = {
    .name = "logs",
    .help = "Lines of containers' logs that match patterns, each counted once.",
    .make = make_probe<LogsProbe>,
    .metrics = kMetrics,
    .first_at_once = true,
    .divides = true,
};
}  // namespace kinds

}  // namespace vitalsd
