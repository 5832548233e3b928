#include "probes/kubernetes/logs/log_follower.hpp"

#include "probes/net/pause.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <optional>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using net::kubernetes::Api;
using net::kubernetes::Stream;

constexpr net::kubernetes::Resource kPods{.group = "", .version = "v1", .plural = "pods"};

// Requests that wait for an answer at a time: a daemon that starts is no stampede.
constexpr std::size_t kMaxOpening = 32;
constexpr auto kAnswerSilence = 15s;
// A log may be silent for ever, and so may a connection that has died: nobody can tell.
constexpr auto kStreamSilence = 5min;
// The rest of a log whose pod is gone.
constexpr auto kLastWords = 10s;
constexpr std::chrono::milliseconds kMinPause = 1s;
constexpr std::chrono::milliseconds kMaxPause = 10s;
constexpr std::chrono::seconds kMaxPatience = 60s;  // with a server that asks for some
// So often something else than that there is none may keep the instance before from being read.
constexpr int kMaxTries = 3;
constexpr int kBadRequest = 400;
constexpr int kNotFound = 404;
constexpr int kServerError = 500;

std::int64_t unix_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

// The pods of one namespace, or of all.
class LogFollower::Source final : public net::kubernetes::Listener {
 public:
  Source(LogFollower& owner, net::kubernetes::Query query)
      : owner_(owner), watch_(owner.environment_, std::move(query)) {}

  void join() { watch_.join(*this); }
  asio::awaitable<bool> judge(SampleSet& run, Part& part) { return watch_.judge(run, part, *this); }
  [[nodiscard]] std::string text() const { return watch_.query().text(); }
  [[nodiscard]] std::uint32_t list() const { return list_; }
  [[nodiscard]] bool has_listed() const { return has_listed_; }

  void list_started() override { ++list_; }
  void updated(std::string_view object) override {
    owner_.updated(*this, read_pod(object, PodDetail::basic));
  }
  void deleted(std::string_view object) override {
    owner_.deleted(read_pod(object, PodDetail::basic));
  }
  void list_ended() override {
    has_listed_ = true;
    owner_.listed(*this);
  }

 private:
  LogFollower& owner_;
  ResourceWatch watch_;
  std::uint32_t list_ = 0;
  bool has_listed_ = false;
};

struct LogFollower::Container {
  enum class Step : unsigned char { previous, present, follow };
  // As the watch tells, which is later than the kubelet knows.
  struct Instance {
    std::string uid;  // of the pod
    std::int64_t restarts = 0;
    bool running = false;
    bool operator==(const Instance&) const = default;
  };

  Container(LogFollower& follower, std::string container_key, const Pod& its_pod,
            std::string container_name)
      : key(std::move(container_key)),
        namespace_name(its_pod.namespace_name.get()),
        pod(its_pod.name),
        name(std::move(container_name)),
        row(follower.counts_.row(namespace_name, name)),
        position(follower.counts_.position(key)),
        reader([this, &counts = follower.counts_](std::int64_t at, std::string_view text) {
          if (position.take(at)) counts.count(row, text);
        }),
        timer([this, &follower] { follower.on_timer(*this); }) {
    ++row.containers;
    ++follower.numbers_[static_cast<std::size_t>(state)];
  }
  ~Container() { --row.containers; }
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  /// Expects the next piece within the time in which one has to come.
  void hear(net::TimerWheel& wheel) {
    wheel.arm_after(timer, step == Step::follow ? Clock::duration(kStreamSilence)
                                                : Clock::duration(kAnswerSilence));
  }

  [[nodiscard]] std::string text() const {
    return fmt::format("the log of {}/{} ({})", namespace_name, pod, name);
  }

  std::string key;
  std::string namespace_name;
  std::string pod;
  std::string name;
  LogCounts::Row& row;
  LogPosition& position;
  LogReader reader;

  Instance instance;
  bool pod_gone = false;
  State state = State::resting;
  bool tried = false;
  Step step = Step::previous;
  Instance asked;  // what the instance was when it was asked for
  std::optional<Failure> failure;
  int failures = 0;  // in a row; what ends at once counts as one
  Clock::time_point opened{};
  int previous_failures = 0;
  std::unique_ptr<Stream> stream;
  net::Timer timer;  // for the state that it is in
};

LogFollower::LogFollower(const Environment& environment, const Scope& scope,
                         std::vector<std::string> containers, std::vector<LogPattern> patterns)
    : environment_(environment),
      wanted_(std::move(containers)),
      counts_(std::move(patterns)),
      begin_timer_([this] { begin_some(); }) {
  for (net::kubernetes::Query& query : scope.queries(kPods)) {
    sources_.push_back(std::make_unique<Source>(*this, std::move(query)));
  }
}

LogFollower::~LogFollower() = default;

// ---- pods come and go ---------------------------------------------------------------------------

void LogFollower::updated(Source& source, const Pod& pod) {
  const std::string pod_key = pod.key();
  if (!environment_.shard.owns(pod_key)) return;
  pods_[pod_key] = {.uid = pod.uid, .source = &source, .list = source.list()};
  for (const ContainerStatus& status : pod.containers) {
    const std::string& name = status.name.get();
    if (!wanted_.empty() && std::ranges::find(wanted_, name) == wanted_.end()) continue;
    counts_.row(pod.namespace_name.get(), name);  // at 0, before anything can be counted
    const bool has_run = status.running || status.restarts > 0 ||
                         !status.terminated_reason.get().empty() ||
                         !status.last_terminated_reason.get().empty();
    if (!has_run) continue;
    std::unique_ptr<Container>& place = containers_[pod_key + '/' + name];
    if (!place) place = std::make_unique<Container>(*this, pod_key + '/' + name, pod, name);
    Container& container = *place;
    const Container::Instance instance{
        .uid = pod.uid, .restarts = status.restarts, .running = status.running};
    if (container.instance == instance) continue;
    const bool same_pod = container.instance.uid == pod.uid;
    container.pod_gone = false;
    container.instance = instance;
    if (container.state == State::resting || container.state == State::pausing) {
      enqueue(container);
    } else if (container.state == State::open && !same_pod) {
      environment_.wheel.arm_after(container.timer, kLastWords);
    }
  }
}

void LogFollower::deleted(const Pod& pod) {
  const auto known = pods_.find(pod.key());
  if (known != pods_.end() && known->second.uid == pod.uid) deleted(known);
}

void LogFollower::deleted(Pods::iterator pod) {
  const std::string prefix = pod->first + '/';
  pods_.erase(pod);
  for (auto next = containers_.lower_bound(prefix);
       next != containers_.end() && next->first.starts_with(prefix);) {
    Container& container = *(next++)->second;
    if (container.state == State::opening || container.state == State::open) {
      container.pod_gone = true;  // nothing more is asked for, but what is on its way is taken
      environment_.wheel.arm_after(container.timer, kLastWords);
    } else {
      remove(container);
    }
  }
}

void LogFollower::listed(const Source& source) {
  for (auto next = pods_.begin(); next != pods_.end();) {
    const auto pod = next++;
    if (pod->second.source == &source && pod->second.list != source.list()) deleted(pod);
  }
  if (!std::ranges::all_of(sources_, &Source::has_listed)) return;
  // Of pods that went while no vitalsd was there.
  counts_.forget_unless([&](const std::string& container) {
    return containers_.contains(container) ||
           pods_.contains(container.substr(0, container.rfind('/')));
  });
}

void LogFollower::remove(Container& container) {
  --numbers_[static_cast<std::size_t>(container.state)];
  const std::string key = container.key;
  containers_.erase(key);
  counts_.forget(key);
  environment_.wheel.arm_after(begin_timer_, 0s);
}

// ---- streams ------------------------------------------------------------------------------------

void LogFollower::set_state(Container& container, State state) {
  --numbers_[static_cast<std::size_t>(container.state)];
  container.state = state;
  ++numbers_[static_cast<std::size_t>(state)];
}

void LogFollower::enqueue(Container& container) {
  container.timer.disarm();
  set_state(container, State::queued);
  queue_.push_back(container.key);
  // Not here: this may be within libcurl, which does not begin another transfer then.
  environment_.wheel.arm_after(begin_timer_, 0s);
}

void LogFollower::begin_some() {
  while (!queue_.empty() && number(State::opening) < kMaxOpening &&
         number(State::opening) + number(State::open) < max_streams_) {
    const auto found = containers_.find(queue_.front());
    queue_.pop_front();
    if (found == containers_.end() || found->second->state != State::queued) continue;
    Container& container = *found->second;
    set_state(container, State::opening);
    container.asked = container.instance;
    container.step = Container::Step::previous;
    ask(container);
  }
}

void LogFollower::ask(Container& container) {
  container.reader.reset();
  container.position.rewind();
  Api::Call call;
  call.path = Api::path_of(kPods, container.namespace_name) + '/' + container.pod + "/log";
  call.accept = "application/json, */*";
  call.what = "read " + container.text();
  call.parameters = {{"container", container.name}, {"timestamps", "true"}};
  call.parameters.emplace_back(
      "sinceTime",
      fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time_t{container.position.since()})));
  if (container.step == Container::Step::previous) call.parameters.emplace_back("previous", "true");
  if (container.step == Container::Step::follow) call.parameters.emplace_back("follow", "true");
  container.stream = std::make_unique<Stream>(
      environment_.kubernetes, std::move(call),
      [this, &container](std::string_view piece) { on_data(container, piece); },
      [this, &container](const Stream::End& end) { on_end(container, end); });
  container.hear(environment_.wheel);
}

void LogFollower::on_data(Container& container, std::string_view piece) {
  bytes_read_ += piece.size();
  container.reader.feed(piece);
  const bool draining = container.pod_gone || container.asked.uid != container.instance.uid;
  if (!draining) container.hear(environment_.wheel);
}

void LogFollower::on_end(Container& container, const Stream::End& end) {
  using Step = Container::Step;
  container.stream.reset();
  if (container.step == Step::previous && !container.pod_gone) {
    const bool none = end.status == kBadRequest || end.status == kNotFound;
    // Of an instance whose files are lost the kubelet says no more than that something failed.
    const bool lost = end.status >= kServerError && container.previous_failures + 1 >= kMaxTries;
    if (end.failure && !none && !lost) {
      ++container.previous_failures;
      rest(container, end);
      return;
    }
    container.previous_failures = 0;
    container.step = Step::present;
    ask(container);
    return;
  }
  const bool there_is_more = container.asked.running || container.asked != container.instance;
  const bool well = !end.failure && container.reader.complaint().empty();
  if (container.step == Step::present && well && there_is_more && !container.pod_gone) {
    set_state(container, State::open);
    container.tried = true;
    container.failure.reset();
    container.opened = Clock::now();
    container.step = Step::follow;
    ask(container);
    environment_.wheel.arm_after(begin_timer_, 0s);
    return;
  }
  rest(container, end);
}

// After the end of a stream, or of an attempt to have one.
void LogFollower::rest(Container& container, const Stream::End& end) {
  const bool was_open = container.state == State::open;
  container.stream.reset();
  container.tried = true;
  if (container.pod_gone) {
    remove(container);
    return;
  }
  environment_.wheel.arm_after(begin_timer_, 0s);
  const bool to_end = !end.failure && container.step != Container::Step::previous;
  if (to_end && !container.asked.running && container.asked == container.instance) {
    container.failure.reset();
    container.failures = 0;
    container.timer.disarm();
    set_state(container, State::resting);
    return;
  }
  // That a stream breaks is no fault, nor that there is no log yet or any more; that it cannot be
  // read now is.
  const bool absent = end.status == kBadRequest || end.status == kNotFound;
  const std::string& complaint = container.reader.complaint();
  if (!was_open && end.failure) {
    container.failure = absent ? std::nullopt : end.failure;
  } else if (!was_open && !complaint.empty()) {
    container.failure =
        Failure{Reason::unready, "cannot read " + container.text() + ": " + complaint};
  }
  if (was_open && Clock::now() - container.opened > kMaxPause) container.failures = 0;
  constexpr int kMaxDoublings = 4;
  const auto delay =
      std::min(kMinPause * (1 << std::min(container.failures++, kMaxDoublings)), kMaxPause);
  set_state(container, State::pausing);
  environment_.wheel.arm_after(
      container.timer,
      std::max<Clock::duration>(delay, std::min(end.retry_after.value_or(0s), kMaxPatience)));
}

void LogFollower::on_timer(Container& container) {
  switch (container.state) {
    case State::pausing:
      enqueue(container);
      return;
    case State::opening:
      rest(container, {.failure = Failure{Reason::timeout,
                                          fmt::format("cannot read {}: no answer while {}",
                                                      container.text(), container.stream->step())},
                       .retry_after = {}});
      return;
    case State::open:
      container.stream.reset();
      if (container.pod_gone) {
        remove(container);
      } else {
        enqueue(container);
      }
      return;
    case State::queued:
    case State::resting:
      return;
  }
}

// ---- runs ---------------------------------------------------------------------------------------

bool LogFollower::some_untried() const {
  if (number(State::opening) + number(State::queued) == 0) return false;
  const bool full = number(State::opening) + number(State::open) >= max_streams_;
  return std::ranges::any_of(containers_, [&](const auto& each) {
    const Container& container = *each.second;
    return !container.tried &&
           (container.state == State::opening || (container.state == State::queued && !full));
  });
}

asio::awaitable<void> LogFollower::judge(SampleSet& run) {
  counts_.begin(unix_nanoseconds());
  for (const auto& source : sources_) source->join();
  for (const auto& source : sources_) {
    Part& part = sources_.size() == 1 ? run : run.part(source->text());
    co_await source->judge(run, part);
  }
  environment_.wheel.arm_after(begin_timer_, 0s);  // there may be room for more since a reload
  run.doing("asking for logs");
  const auto patience = Clock::now() + run.time_limit() / 2;
  while (some_untried() && Clock::now() < patience) {
    co_await net::pause(environment_.wheel, net::TimerWheel::kSlot);
  }

  std::map<const Source*, std::vector<const Container*>> failing;
  for (const auto& [key, container] : containers_) {
    if (!container->failure) continue;
    const auto pod = pods_.find(key.substr(0, key.rfind('/')));
    if (pod != pods_.end()) failing[pod->second.source].push_back(container.get());
  }
  for (const auto& source : sources_) {
    Part& part = sources_.size() == 1 ? run : run.part(source->text());
    if (const auto found = failing.find(source.get()); found != failing.end()) {
      const Failure& first = *found->second.front()->failure;
      const std::size_t more = found->second.size() - 1;
      part.fail(first.reason,
                more == 0 ? first.detail : fmt::format("{} (and {} more)", first.detail, more));
    }
    part.complete();
  }
  const bool full = number(State::opening) + number(State::open) >= max_streams_;
  if (full && waiting() > 0) {
    run.fail(Reason::overload,
             fmt::format("{} of {} logs are not read: max_streams is {}", waiting(),
                         waiting() + number(State::opening) + open(), max_streams_));
  }
}

}  // namespace vitalsd::kubernetes
