#include "probes/kubernetes/logs/log_follower.hpp"

#include "probes/net/pause.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr net::kubernetes::Resource kPods{.group = "", .version = "v1", .plural = "pods"};

// The maximum number of requests whose response is not complete, so that a start does not overload
// the API server.
constexpr std::size_t kMaxOpening = 32;

std::int64_t unix_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// "namespace/pod" of the key of a log.
std::string pod_key_of(const std::string& log_key) { return log_key.substr(0, log_key.rfind('/')); }

}  // namespace

// The pods of one namespace, or of all namespaces.
class LogFollower::Source final : public net::kubernetes::Listener {
 public:
  Source(LogFollower& owner, net::kubernetes::Query query)
      : owner_(owner), watch_(owner.environment_, std::move(query)) {}

  void join() { watch_.join(*this); }
  asio::awaitable<bool> judge(SampleSet& run, Part& part) {
    const bool is_fresh = co_await watch_.judge(run, part, *this);
    if (!has_listed_) ++runs_without_list_;
    co_return is_fresh;
  }
  [[nodiscard]] const net::kubernetes::Query& query() const { return watch_.query(); }
  [[nodiscard]] std::string text() const { return query().text(); }
  [[nodiscard]] std::uint32_t list() const { return list_; }
  [[nodiscard]] bool has_listed() const { return has_listed_; }
  /// The number of runs before the first list.
  [[nodiscard]] std::size_t runs_without_list() const { return runs_without_list_; }

  void list_started() override { ++list_; }
  void updated(std::string_view object) override {
    owner_.updated(*this, read_pod(object, PodDetail::basic));
  }
  void deleted(std::string_view object) override {
    owner_.deleted(read_pod(object, PodDetail::basic));
  }
  void list_ended() override {
    has_listed_ = true;
    owner_.list_ended(*this);
  }

 private:
  LogFollower& owner_;
  ResourceWatch watch_;
  std::uint32_t list_ = 0;  // the number of the current list
  bool has_listed_ = false;
  std::size_t runs_without_list_ = 0;
};

LogFollower::LogFollower(const Environment& environment, const Scope& scope,
                         std::vector<std::string> containers, std::vector<LogPattern> patterns)
    : environment_(environment),
      container_names_(std::move(containers)),
      counts_(std::move(patterns)),
      open_timer_([this] { open_queued(); }) {
  for (net::kubernetes::Query& query : scope.queries(kPods)) {
    sources_.push_back(std::make_unique<Source>(*this, std::move(query)));
  }
}

LogFollower::~LogFollower() = default;

// ---- pods ---------------------------------------------------------------------------------------

void LogFollower::updated(Source& source, const Pod& pod) {
  const std::string pod_key = pod.key();
  if (!environment_.shard.owns(pod_key)) return;
  PodEntry& entry = pods_[pod_key];
  entry = {.uid = pod.uid, .source = &source, .list = source.list()};
  for (const ContainerStatus& status : pod.containers) {
    const std::string& name = status.name.get();
    if (!container_names_.empty()) {
      const auto selected = std::ranges::find(container_names_, name);
      if (selected == container_names_.end()) continue;
      entry.containers.push_back(static_cast<std::size_t>(selected - container_names_.begin()));
    }
    counts_.row(pod.namespace_name.get(), name);  // the counters start at 0 before the first line
    const bool has_run = status.running || status.restarts > 0 ||
                         !status.terminated_reason.get().empty() ||
                         !status.last_terminated_reason.get().empty();
    if (!has_run) continue;
    const std::string key = pod_key + '/' + name;
    std::unique_ptr<ContainerLog>& log = logs_[key];
    if (!log) {
      ContainerLog::Owner& owner = *this;
      log = std::make_unique<ContainerLog>(environment_, counts_, owner, key, pod, name);
      ++count(log->state());
    }
    log->update({.uid = pod.uid, .restarts = status.restarts, .running = status.running});
  }
}

void LogFollower::deleted(const Pod& pod) {
  const auto found = pods_.find(pod.key());
  if (found != pods_.end() && found->second.uid == pod.uid) deleted(found);
}

void LogFollower::deleted(Pods::iterator pod) {
  const std::string prefix = pod->first + '/';
  pods_.erase(pod);
  for (auto next = logs_.lower_bound(prefix);
       next != logs_.end() && next->first.starts_with(prefix);) {
    ContainerLog& log = *(next++)->second;
    if (!log.drain()) finished(log);
  }
}

void LogFollower::list_ended(const Source& source) {
  for (auto next = pods_.begin(); next != pods_.end();) {
    const auto pod = next++;
    if (pod->second.source == &source && pod->second.list != source.list()) deleted(pod);
  }
  if (!std::ranges::all_of(sources_, &Source::has_listed)) return;
  // Removes restored positions of pods that were deleted while vitalsd was not running.
  const auto exists = [&](const std::string& log_key) {
    return logs_.contains(log_key) || pods_.contains(pod_key_of(log_key));
  };
  counts_.forget_unless(exists, unix_nanoseconds() / LogPosition::kSecond);
}

// ---- logs ---------------------------------------------------------------------------------------

void LogFollower::leave(const ContainerLog& log, State state) {
  --count(state);
  if (state == State::queued) std::erase(queue_, &log);
}

void LogFollower::state_changed(ContainerLog& log, State from) {
  leave(log, from);
  ++count(log.state());
  if (log.state() == State::queued) queue_.push_back(&log);
  if (log.state() != State::opening) schedule_opening();
}

void LogFollower::finished(ContainerLog& log) {
  leave(log, log.state());
  const std::string key = log.key();
  logs_.erase(key);
  counts_.forget(key, unix_nanoseconds() / LogPosition::kSecond);
  schedule_opening();
}

// Posted to the loop, because the caller may be a callback of libcurl, which cannot start a
// transfer there.
void LogFollower::schedule_opening() { environment_.wheel.arm_after(open_timer_, 0s); }

bool LogFollower::is_full() const {
  return count(State::opening) + count(State::open) >= max_streams_;
}

void LogFollower::open_queued() {
  while (!queue_.empty() && count(State::opening) < kMaxOpening && !is_full()) {
    queue_.front()->open();  // which leaves the queue
  }
}

// ---- runs ---------------------------------------------------------------------------------------

// Whether a log that has not been read yet can get a stream.
bool LogFollower::has_untried() const {
  if (count(State::opening) + count(State::queued) == 0) return false;
  const bool full = is_full();
  return std::ranges::any_of(logs_, [&](const auto& entry) {
    const ContainerLog& log = *entry.second;
    return !log.tried() &&
           (log.state() == State::opening || (log.state() == State::queued && !full));
  });
}

std::map<const LogFollower::Source*, std::size_t> LogFollower::count_pods() const {
  std::map<const Source*, std::size_t> pods;
  if (!Selection::counts(sources_.front()->query())) return pods;
  for (const auto& [key, pod] : pods_) ++pods[pod.source];
  return pods;
}

void LogFollower::count_containers(Selection& selection) const {
  std::vector<std::size_t> found(container_names_.size());
  for (const auto& [key, pod] : pods_) {
    for (const std::size_t i : pod.containers) ++found[i];
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::string scope = "container " + container_names_[i];
    for (const auto& source : sources_) {
      if (source->has_listed()) {
        selection.add(scope, std::exchange(found[i], 0));
      } else {
        selection.add_unobserved(scope, source->runs_without_list());
      }
    }
  }
}

asio::awaitable<void> LogFollower::judge(SampleSet& run) {
  counts_.start(unix_nanoseconds());
  std::vector<const Source*> fresh;
  for (const auto& source : sources_) source->join();
  for (const auto& source : sources_) {
    Part& part = sources_.size() == 1 ? run : run.part(source->text());
    if (co_await source->judge(run, part)) fresh.push_back(source.get());
  }
  Selection selection;
  std::map<const Source*, std::size_t> pods = count_pods();
  for (const Source* source : fresh) {
    selection.add(source->query(), pods[source], environment_.shard.divided());
  }
  count_containers(selection);
  selection.report(run);
  schedule_opening();  // a reload may have raised max_streams
  run.doing("requesting logs");
  const auto deadline = Clock::now() + run.time_limit() / 2;
  while (has_untried() && Clock::now() < deadline) {
    co_await net::pause(environment_.wheel, net::TimerWheel::kSlot);
  }

  std::map<const Source*, std::vector<const ContainerLog*>> failing;
  for (const auto& [key, log] : logs_) {
    if (!log->failure()) continue;
    const auto pod = pods_.find(pod_key_of(key));
    if (pod != pods_.end()) failing[pod->second.source].push_back(log.get());
  }
  for (const auto& source : sources_) {
    Part& part = sources_.size() == 1 ? run : run.part(source->text());
    if (const auto found = failing.find(source.get()); found != failing.end()) {
      const Failure& first = *found->second.front()->failure();
      const std::size_t more = found->second.size() - 1;
      part.fail(first.reason,
                more == 0 ? first.detail : fmt::format("{} (and {} more)", first.detail, more));
    }
    part.complete();
  }
  if (is_full() && waiting() > 0) {
    run.fail(Reason::overload,
             fmt::format("{} of {} logs are not read: max_streams is {}", waiting(),
                         waiting() + count(State::opening) + open(), max_streams_));
  }
}

}  // namespace vitalsd::kubernetes
