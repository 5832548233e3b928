#include "daemon/run.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

// The time that a cancelled run may take to unwind before its probe is considered stuck.
constexpr auto kMaxUnwinding = 200ms;

Failure to_failure(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ProbeError& e) {
    return {e.reason(), e.what()};
  } catch (const boost::system::system_error& e) {
    const bool is_local = is_local_shortage(e.code().value());
    return {is_local ? Reason::internal : Reason::connect, error_text(e.code())};
  } catch (const std::exception& e) {
    return {Reason::internal, e.what()};
  }
}

// When the process has no free file descriptor, libraries report errors of DNS, connections and TLS
// that carry no information about the target.
void correct_reason(Failure& failure) {
  constexpr std::array kBlamesTarget = {Reason::dns, Reason::connect, Reason::tls,
                                        Reason::protocol};
  if (std::ranges::find(kBlamesTarget, failure.reason) == kBlamesTarget.end()) return;
  if (!out_of_descriptors()) return;
  failure.reason = Reason::internal;
  failure.detail = "no file descriptor is left (" + failure.detail + ')';
}

}  // namespace

Run::Run(asio::io_context& loop, net::TimerWheel& wheel, Options options, OnEnd on_end)
    : loop_(loop),
      wheel_(wheel),
      options_(std::move(options)),
      on_end_(std::move(on_end)),
      deadline_([this] { time_out(); }) {
  set_.set_time_limit(options_.timeout);
  set_.set_constant_labels(std::move(options_.constant_labels));
}

void Run::enter(Gate& gate) {
  gate.enter(slot_, options_.endpoint, [this] { start(); });
}

void Run::start() {
  started_at_ = Clock::now();
  has_started_ = true;
  wheel_.arm(deadline_, started_at_ + options_.timeout);
  boost::asio::co_spawn(
      loop_, observe(shared_from_this()),
      boost::asio::bind_cancellation_slot(
          cancellation_.slot(),
          [run = shared_from_this()](const std::exception_ptr& error) { run->finish(error); }));
}

asio::awaitable<void> Run::observe(std::shared_ptr<Run> run) {
  co_await run->options_.probe->observe(run->set_);
}

void Run::finish(const std::exception_ptr& error) {
  is_over_ = true;
  options_.probe.reset();
  slot_.leave();
  if (!on_end_) return;
  std::optional<Failure> thrown;
  if (error) {
    thrown = to_failure(error);
    correct_reason(*thrown);
  }
  report(std::move(thrown));
}

void Run::check_deadline(Clock::time_point now) {
  if (has_started_ && now - started_at_ >= options_.timeout) time_out();
}

void Run::time_out() {
  const bool target_is_late = set_.late() == Reason::timeout;
  std::string detail = (target_is_late ? "no response within " : "not finished within ") +
                       config::Scalar<config::Duration>::show(options_.timeout);
  if (!set_.step().empty()) detail += " while " + set_.step();
  // The owner or the end of the coroutine may release the last other reference.
  const auto self = shared_from_this();
  cancelled_at_ = Clock::now();
  // Reports before the cancellation, because the coroutine may add samples while it unwinds.
  report(Failure{set_.late(), std::move(detail)});
  cancel();
}

void Run::abandon() {
  const auto self = shared_from_this();
  on_end_ = nullptr;
  deadline_.disarm();
  cancelled_at_ = Clock::now();
  cancel();
}

void Run::cancel() { cancellation_.emit(boost::asio::cancellation_type::terminal); }

void Run::report(std::optional<Failure> thrown) {
  deadline_.disarm();
  std::exchange(on_end_, nullptr)(std::move(thrown));
}

bool Run::is_unwinding(Clock::time_point now) const {
  return is_observing() && now - cancelled_at_ < kMaxUnwinding;
}

}  // namespace vitalsd
