#include "probes/kubernetes/logs/container_log.hpp"

#include <ctime>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;
using net::kubernetes::Api;

constexpr net::kubernetes::Resource kPods{.group = "", .version = "v1", .plural = "pods"};

constexpr auto kResponseSilence = 15s;
// A log without new lines and a broken connection look the same, so a stream that receives nothing
// for this time is opened again.
constexpr auto kStreamSilence = 5min;
// The time for the rest of a log whose pod is deleted.
constexpr auto kDrainTime = 10s;
constexpr std::chrono::milliseconds kMinDelay = 1s;
constexpr std::chrono::milliseconds kMaxDelay = 10s;
// After this number of failures in a row, of which the last is a server error, the previous
// instance is skipped.
constexpr int kMaxPreviousFailures = 3;
constexpr int kBadRequest = 400;
constexpr int kNotFound = 404;
constexpr int kServerError = 500;

}  // namespace

ContainerLog::ContainerLog(const Environment& environment, LogCounts& counts, Owner& owner,
                           std::string key, const Pod& pod, std::string container_name)
    : environment_(environment),
      owner_(owner),
      key_(std::move(key)),
      namespace_name_(pod.namespace_name.get()),
      pod_(pod.name),
      name_(std::move(container_name)),
      row_(counts.row(namespace_name_, name_)),
      position_(counts.position(key_)),
      reader_([this, &counts](std::int64_t at, std::string_view line, bool is_truncated) {
        if (!position_.take(at)) return;
        counts.count(row_, line);
        if (is_truncated) owner_.line_truncated();
      }),
      backoff_(kMinDelay, kMaxDelay),
      timer_([this] { on_timer(); }) {
  ++row_.containers;
}

ContainerLog::~ContainerLog() { --row_.containers; }

std::string ContainerLog::text() const {
  return fmt::format("the log of {}/{} ({})", namespace_name_, pod_, name_);
}

void ContainerLog::set_state(State state) {
  const State from = std::exchange(state_, state);
  owner_.state_changed(*this, from);
}

void ContainerLog::enqueue() {
  timer_.disarm();
  set_state(State::queued);
}

// ---- the pod ------------------------------------------------------------------------------------

void ContainerLog::update(const Instance& instance) {
  // The pod is selected again, or was created again.
  if (std::exchange(pod_deleted_, false)) start_silence_timer();
  if (instance_ == instance) return;
  const bool same_pod = instance_.uid == instance.uid;
  instance_ = instance;
  if (state_ == State::idle || state_ == State::backoff) {
    enqueue();
  } else if (state_ == State::open && !same_pod) {
    environment_.wheel.arm_after(timer_, kDrainTime);
  }
}

bool ContainerLog::drain() {
  if (state_ != State::opening && state_ != State::open) return false;
  pod_deleted_ = true;
  environment_.wheel.arm_after(timer_, kDrainTime);
  return true;
}

// ---- requests -----------------------------------------------------------------------------------

void ContainerLog::open() {
  set_state(State::opening);
  requested_ = instance_;
  step_ = Step::previous;
  send_request();
}

void ContainerLog::send_request() {
  reader_.reset();
  position_.rewind();
  Api::Call call;
  call.path = Api::path_of(kPods, namespace_name_) + '/' + pod_ + "/log";
  call.accept = "application/json, */*";
  call.what = "read " + text();
  call.parameters = {{"container", name_}, {"timestamps", "true"}};
  call.parameters.emplace_back(
      "sinceTime",
      fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time_t{position_.since()})));
  if (step_ == Step::previous) call.parameters.emplace_back("previous", "true");
  if (step_ == Step::follow) call.parameters.emplace_back("follow", "true");
  stream_ = std::make_unique<Stream>(
      environment_.kubernetes, std::move(call), [this](std::string_view piece) { on_data(piece); },
      [this](const Stream::End& end) { on_end(end); });
  start_silence_timer();
}

// The stream is closed if no piece arrives before this timer expires.
void ContainerLog::start_silence_timer() {
  environment_.wheel.arm_after(timer_, step_ == Step::follow ? Clock::duration(kStreamSilence)
                                                             : Clock::duration(kResponseSilence));
}

void ContainerLog::on_data(std::string_view piece) {
  owner_.bytes_received(piece.size());
  reader_.feed(piece);
  const bool draining = pod_deleted_ || requested_.uid != instance_.uid;
  if (!draining) start_silence_timer();
}

void ContainerLog::on_end(const Stream::End& end) {
  stream_.reset();
  if (step_ == Step::previous && !pod_deleted_) {
    const bool no_previous = end.status == kBadRequest || end.status == kNotFound;
    // If the files of an instance are lost, the kubelet returns an internal error without a reason.
    const bool is_lost =
        end.status >= kServerError && previous_failures_ + 1 >= kMaxPreviousFailures;
    if (end.failure && !no_previous && !is_lost) {
      ++previous_failures_;
      close(end);
      return;
    }
    previous_failures_ = 0;
    step_ = Step::present;
    send_request();
    return;
  }
  const bool has_more = requested_.running || requested_ != instance_;
  const bool succeeded = !end.failure && reader_.complaint().empty();
  if (step_ == Step::present && succeeded && has_more && !pod_deleted_) {
    set_state(State::open);
    tried_ = true;
    failure_.reset();
    opened_ = Clock::now();
    step_ = Step::follow;
    send_request();
    return;
  }
  close(end);
}

// Called after the end of a stream, or after a failed attempt to open one.
void ContainerLog::close(const Stream::End& end) {
  const bool was_open = state_ == State::open;
  stream_.reset();
  tried_ = true;
  if (pod_deleted_) {
    owner_.finished(*this);
    return;
  }
  const bool at_end = !end.failure && step_ != Step::previous;
  if (at_end && !requested_.running && requested_ == instance_) {
    failure_.reset();
    backoff_.reset();
    timer_.disarm();
    set_state(State::idle);
    return;
  }
  // The end of an open stream is not a failure. A log that does not exist yet, or no longer exists,
  // is not a failure. A log that exists and cannot be read is a failure.
  const bool is_absent = end.status == kBadRequest || end.status == kNotFound;
  const std::string& complaint = reader_.complaint();
  if (!was_open && end.failure) {
    failure_ = is_absent ? std::nullopt : end.failure;
  } else if (!was_open && !complaint.empty()) {
    failure_ = Failure{Reason::unready, "cannot read " + text() + ": " + complaint};
  }
  if (was_open && Clock::now() - opened_ > kMaxDelay) backoff_.reset();
  const auto delay = backoff_.next(1, end.retry_after);
  set_state(State::backoff);
  environment_.wheel.arm_after(timer_, delay);
}

void ContainerLog::on_timer() {
  switch (state_) {
    case State::backoff:
      enqueue();
      return;
    case State::opening:
      close({.failure = Failure{Reason::timeout, fmt::format("cannot read {}: no response while {}",
                                                             text(), stream_->step())},
             .retry_after = {}});
      return;
    case State::open:
      stream_.reset();
      if (pod_deleted_) {
        owner_.finished(*this);
      } else {
        enqueue();
      }
      return;
    case State::queued:
    case State::idle:
      return;
  }
}

}  // namespace vitalsd::kubernetes
