// Kind `relay`: the metrics of applications, read from their pages and published with the label
// `instance`. Each target is a part, so a target that fails affects its own series only.
#include "config/endpoint.hpp"
#include "exporter/model/text_format.hpp"
#include "probes/kubernetes/watch/selection.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/concurrently.hpp"
#include "probes/net/http_client.hpp"
#include "probes/page/page_reader.hpp"
#include "probes/relay/page_client.hpp"
#include "probes/relay/pod_targets.hpp"
#include "probes/relay/targets.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using Clock = std::chrono::steady_clock;
using page::Dropped;
using page::PageReader;
using relay::Target;

constexpr Metric kUp({.name = "relay_up",
                      .help = "Whether the last page of the target was read (1) or not (0)."});
constexpr Metric kSeries({.name = "vitalsd_relay_series",
                          .help = "Series in the last page of the target, of the selected "
                                  "families."});
constexpr Metric kDropped({.name = "vitalsd_relay_dropped_total",
                           .type = Type::counter,
                           .help = "Lines of relayed pages that were left out, by reason."},
                          "reason");

constexpr Check kDroppedCheck{.name = "dropped",
                              .warn = 0,
                              .critical = {},
                              .help = "lines of the pages of the last run that were left out"};

/// The state of a target that is kept between runs.
struct TargetState {
  // The last page. The ledger owns it and frees it by its rules.
  std::weak_ptr<Fragment::element_type> page;
  bool has_failed = false;           // in the last run, or its request is still in flight
  kubernetes::TargetSelection kept;  // families, by `keep`
};

/// The result for a target in this run.
struct Result {
  Fragment page;
  std::size_t series = 0;
  std::optional<ProbeError> error;
  bool is_hidden = false;  // another target has the same labels
};

// `labels` with the labels of the target, unless the user has set them, and with the instance of
// the target, which is the last label. A quote in a value is escaped, so the searched texts occur
// only at the start of a label.
std::string labels_of(const std::string& labels, const Target& target) {
  std::string out = labels.substr(0, labels.rfind(",instance=\""));
  for (const auto& [name, value] : target.labels) {
    if (!out.contains(',' + name + "=\"")) append_label(out, name, printable_utf8(value));
  }
  append_label(out, "instance", target.instance);
  return out;
}

class RelayProbe final : public Probe {
 public:
  RelayProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        urls_(options),
        client_(options, environment, {urls_.key(), urls_.urls()}) {
    if (config::Node* pods =
            options.find_section("pods", "the pages of pods, with the labels namespace and pod")) {
      pods_.emplace(*pods, environment);
    }
    rules_.keep = options.one_or_more<net::Pattern>(
        "keep", "only families whose whole name matches; default: all");
    rules_.drop =
        options.one_or_more<net::Pattern>("drop", "leave out families whose whole name matches");
    rules_.rename_labels = options.map<std::string>("rename_labels", "new names of labels");
    rules_.max_series = static_cast<std::size_t>(options.get<std::int64_t>(
        "max_series", 100'000, "maximum number of series of one page; further series are left out",
        {1, 10'000'000}));
    concurrency_ = static_cast<std::size_t>(options.get<std::int64_t>(
        "concurrency", 64, "maximum number of pages to read at a time", {1, 1000}));
    if (options.has("url") + options.has("urls") + options.has("pods") != 1) {
      options.error("url", "exactly one of url, urls and pods must be set");
    }
    for (const auto& [from, to] : rules_.rename_labels) {
      for (const std::string& name : {from, to}) {
        if (is_label_name(name)) continue;
        options.error("rename_labels", config::quoted(name) + " is not a valid label name");
      }
      for (const std::string_view name : {"le", "quantile"}) {
        if (from != name && to != name) continue;
        options.error("rename_labels",
                      config::quoted(name) +
                          " cannot be renamed or used as a new name: it distinguishes "
                          "the series of a histogram or a summary");
      }
      if (to == "probe" || to == "instance" || to == "exported_instance" || to.starts_with("__")) {
        options.error(
            "rename_labels",
            config::quoted(to) + " is reserved for vitalsd and Prometheus: use another label name");
      }
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    std::vector<Target> found;
    kubernetes::Selection selection;
    if (pods_ && !co_await pods_->find(out, found, selection)) {
      selection.report(out);
      // The failure is thrown, so that the parts of the last run are kept, as after any failed run.
      const Failure failure = out.failure().value_or(
          Failure{Reason::timeout, "the API server has not sent the list of pods"});
      throw ProbeError(failure.reason, failure.detail);
    }
    co_await urls_.find(environment_.resolver, client_.access().target_ip(), out, found);
    const std::vector<Target> targets = in_order(std::move(found));
    out.doing("reading " + std::to_string(targets.size()) + " pages");
    Run run{.out = out,
            .targets = targets,
            .results = std::vector<Result>(targets.size()),
            .started = Clock::now()};
    reject_duplicates(run);
    std::vector<asio::awaitable<void>> workers;
    for (std::size_t i = 0; i < std::min(concurrency_, targets.size()); ++i) {
      workers.push_back(work(run));
    }
    co_await net::concurrently(std::move(workers));
    for (std::size_t i = 0; i < targets.size(); ++i) publish(run, i);
    count_kept(selection);
    selection.report(out);
    dropped_.add(run.dropped, {});
    for (std::size_t i = 0; i < page::kDroppedNames.size(); ++i) {
      const auto reason = static_cast<Dropped>(i);
      out.add(kDropped, static_cast<double>(dropped_[reason]), page::kDroppedNames[i]);
    }
    out.check(kDroppedCheck, static_cast<double>(run.dropped.total()), run.dropped.text());
  }

  [[nodiscard]] std::string target() const override { return pods_ ? pods_->text() : urls_.text(); }
  [[nodiscard]] std::string endpoint() const override {
    if (urls_.urls().size() != 1) return {};
    const config::Url& url = urls_.urls().front();
    return config::Endpoint{url.host, net::port_of(url)}.text();
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<RelayProbe&>(predecessor);
    dropped_ = old.dropped_;
    if (pods_ && old.pods_) pods_->inherit(*old.pods_);
  }

 private:
  /// The queue of one run, which its workers share.
  struct Run {
    SampleSet& out;
    const std::vector<Target>& targets;
    std::vector<Result> results;
    std::vector<std::string> labels{};  // of the series of each target
    Clock::time_point started;
    std::size_t next = 0;
    page::DroppedLines dropped{};
  };

  static bool is_label_name(std::string_view name) {
    const auto is_allowed = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    };
    return !name.empty() && !(name.front() >= '0' && name.front() <= '9') &&
           std::ranges::all_of(name, is_allowed);
  }

  // Returns the targets in the order in which they are read. Targets that failed in the last run
  // come last: if many hang, the other targets must not wait for them. Removes the state of targets
  // that no longer exist.
  std::vector<Target> in_order(std::vector<Target> found) {
    std::map<std::string, TargetState> states;
    std::vector<Target> targets;
    std::vector<Target> last;
    for (Target& target : found) {
      TargetState& state = states[target.name];
      const auto known = states_.find(target.name);
      if (known != states_.end()) state = std::move(known->second);
      (state.has_failed ? last : targets).push_back(std::move(target));
    }
    std::ranges::move(last, std::back_inserter(targets));
    states_ = std::move(states);
    return targets;
  }

  // Rejects targets that have the same labels as an earlier one: pods in the network of one node
  // have the same instance, and the user's labels may replace namespace and pod.
  static void reject_duplicates(Run& run) {
    std::map<std::string_view, std::size_t> known;
    run.labels.reserve(run.targets.size());
    for (std::size_t i = 0; i < run.targets.size(); ++i) {
      run.labels.push_back(labels_of(run.out.constant_labels(), run.targets[i]));
      const auto [first, is_new] = known.try_emplace(run.labels.back(), i);
      if (is_new) continue;
      run.results[i].error = ProbeError(
          Reason::config, "the labels of the probe replace those that distinguish the series of " +
                              run.targets[first->second].name + " and " + run.targets[i].name +
                              ": use other names than namespace and pod");
      run.results[i].is_hidden = true;
    }
  }

  asio::awaitable<void> work(Run& run) {
    while (run.next < run.targets.size()) {
      const std::size_t index = run.next++;
      const Target& target = run.targets[index];
      Result& result = run.results[index];
      if (result.is_hidden) continue;
      bool& has_failed = states_[target.name].has_failed;
      has_failed = true;
      try {
        co_await read(run, index, limit_of(run, index), result);
        has_failed = false;
      } catch (const ProbeError& error) {
        result.error = error;
      }
    }
  }

  // The limit is a share of the remaining time, so that the run reaches all targets even if many
  // hang. The last tenth of the run is reserved for its end.
  [[nodiscard]] config::Duration limit_of(const Run& run, std::size_t index) const {
    constexpr config::Duration kMin{100};
    const auto rows = (run.targets.size() - index + concurrency_ - 1) / concurrency_;
    const auto left = run.started + run.out.time_limit() * 9 / 10 - Clock::now();
    return std::max(std::chrono::floor<config::Duration>(left) / static_cast<long>(rows), kMin);
  }

  asio::awaitable<void> read(Run& run, std::size_t index, config::Duration limit, Result& result) {
    const Target& target = run.targets[index];
    const auto make = [&](bool openmetrics) {
      return std::make_unique<PageReader>(rules_, environment_.foreign, run.labels[index],
                                          openmetrics, states_[target.name].page.lock());
    };
    auto reader = co_await client_.get(target, limit, run.out, make);
    result.page = reader->finish();
    run.dropped.add(reader->dropped(), target.name);
    if (!result.page && reader->series() == 0 && reader->dropped()[Dropped::invalid] > 0) {
      throw ProbeError(Reason::protocol,
                       "no line of the page is valid in the Prometheus text format");
    }
    result.series = reader->series();
    states_[target.name].kept.set(reader->kept());
  }

  // A pattern to drop that matches nothing hides nothing, so it is not counted.
  void count_kept(kubernetes::Selection& selection) const {
    for (std::size_t i = 0; i < rules_.keep.size(); ++i) {
      const std::string scope = "keep " + rules_.keep[i].text;
      for (const auto& [name, state] : states_) selection.add(scope, state.kept, i);
    }
  }

  void publish(Run& run, std::size_t index) {
    const Target& target = run.targets[index];
    Result& result = run.results[index];
    Part& part = run.out.part(target.name);
    // Rendered here, because the samples also need the labels of the target.
    Part own;
    own.add(kUp, result.error ? 0 : 1);
    if (!result.error) own.add(kSeries, static_cast<double>(result.series));
    Rendering lines;
    std::size_t duplicates = 0;
    own.render(lines, run.labels[index], duplicates);
    if (!result.is_hidden) part.attach(to_fragment(std::move(lines)));
    if (result.error) {
      part.fail(result.error->reason(), result.error->what());
      states_[target.name].kept.fail();
    } else {
      states_[target.name].page = result.page;
      part.attach(result.page);
    }
    part.complete();
  }

  const Environment& environment_;
  relay::UrlTargets urls_;
  std::optional<relay::PodTargets> pods_;
  relay::PageClient client_;
  page::Rules rules_;
  std::size_t concurrency_ = 0;
  std::map<std::string, TargetState> states_;  // by the target's name
  page::DroppedLines dropped_;
};

constexpr auto kMetrics =
    metric_list(kUp, kSeries, kDropped, kubernetes::kLastHeard, kubernetes::kSelectedObjects);
constexpr std::array<const Check*, 2> kChecks = {&kubernetes::kUnmatchedCheck, &kDroppedCheck};
constexpr std::array<Permission, 1> kPermissions = {
    Permission{.group = "", .resource = "pods", .within = "pods"}};

}  // namespace

namespace kinds {
extern const ProbeKind relay;
const ProbeKind relay = {
    .name = "relay",
    .help = "The metrics of applications, read from their Prometheus pages and published again.",
    .make = make_probe<RelayProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .permissions = kPermissions,
    .default_interval = config::Duration{15'000},
};
}  // namespace kinds

}  // namespace vitalsd
