// One run of a probe: it waits for a slot of the gate, observes in a coroutine of its own, and is
// cancelled at its deadline. It owns everything that the coroutine uses (probe, sample set, slot),
// and the coroutine owns the run, so a run may outlive its job. Probe loop only.
//
// The end is reported once: when observe() returns or throws, or at the deadline, without waiting
// for the coroutine. After the deadline, or abandon(), the late result is discarded. The slot is
// kept until the coroutine has ended, because it may still use a connection.
#pragma once

#include "config/scalar.hpp"
#include "daemon/gate.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/probe.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd {

class Run : public std::enable_shared_from_this<Run> {
 public:
  using Clock = net::TimerWheel::Clock;
  /// `thrown` is the exception of observe() or the timeout, as a failure; empty if observe()
  /// returned.
  using OnEnd = std::function<void(std::optional<Failure> thrown)>;

  struct Options {
    std::shared_ptr<Probe> probe;
    std::string endpoint;         ///< as Probe::endpoint()
    config::Duration timeout{};   ///< starts when the slot is granted
    std::string constant_labels;  ///< on every line of the probe
  };

  Run(asio::io_context& loop, net::TimerWheel& wheel, Options options, OnEnd on_end);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Queues for a slot and starts observing when it is granted, possibly before enter() returns.
  /// The destructor of a run that has not started leaves the queue.
  void enter(Gate& gate);

  /// Ends the run with a timeout if its deadline has passed but its timer has not fired yet. Call
  /// it in a handler of the loop, before the end was reported.
  void check_deadline(Clock::time_point now);

  /// Cancels a run that observes, without calling `on_end`. Call it in a handler of the loop.
  void abandon();

  [[nodiscard]] bool has_started() const { return has_started_; }
  /// Whether the coroutine is still running, possibly after it has been cancelled.
  [[nodiscard]] bool is_observing() const { return has_started_ && !is_over_; }
  /// Whether the coroutine was cancelled so recently that it may still be unwinding normally.
  [[nodiscard]] bool is_unwinding(Clock::time_point now) const;

  /// When the slot was granted.
  [[nodiscard]] Clock::time_point started_at() const { return started_at_; }
  /// The samples and results that the run has collected.
  [[nodiscard]] SampleSet& set() { return set_; }

 private:
  void start();
  static asio::awaitable<void> observe(std::shared_ptr<Run> run);
  void finish(const std::exception_ptr& error);
  void time_out();
  void cancel();
  void report(std::optional<Failure> thrown);

  asio::io_context& loop_;
  net::TimerWheel& wheel_;
  Options options_;
  OnEnd on_end_;  // empty after the call, and after abandon()
  SampleSet set_;
  boost::asio::cancellation_signal cancellation_;
  Gate::Ticket slot_;
  net::Timer deadline_;
  Clock::time_point started_at_{};
  Clock::time_point cancelled_at_{};
  bool has_started_ = false;
  bool is_over_ = false;
};

}  // namespace vitalsd
