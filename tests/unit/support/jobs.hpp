// Jobs with fake probes whose behaviour a test defines, and the services that jobs need.
#pragma once

#include "config/settings.hpp"
#include "daemon/board.hpp"
#include "daemon/gate.hpp"
#include "daemon/job.hpp"
#include "daemon/log.hpp"
#include "daemon/self_metrics.hpp"
#include "exporter/model/exposition.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/probe.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/loop.hpp"
#include "unit/support/page.hpp"
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace vitalsd::test {

inline constexpr Metric kFakeUp({.name = "fake_up", .help = "Whether the fake target is up."});
inline constexpr Metric kFakeReading({.name = "fake_reading",
                                      .help = "A reading of the fake target."});
inline constexpr Metric kFakeFact({.name = "fake_fact",
                                   .help = "A fact of the fake target.",
                                   .keep = Keep::fact});
inline constexpr Check kFakeCheck{.name = "level", .warn = 10, .critical = 20, .help = "level"};

inline constexpr auto kFakeMetrics = metric_list(kFakeReading, kFakeFact);
inline constexpr std::array<const Check*, 1> kFakeChecks = {&kFakeCheck};

inline constexpr WatchingKind kFakeWatching = {.first_run_at_once = false};

inline const ProbeKind kFakeKind = {.name = "fake",
                                    .help = "Behaves as the test defines.",
                                    .make = nullptr,  // tests create their probes
                                    .metrics = kFakeMetrics,
                                    .checks = kFakeChecks,
                                    .up = &kFakeUp,
                                    .watching = &kFakeWatching};
inline const ProbeKind kOtherKind = {
    .name = "other", .help = "Another kind of fake.", .make = nullptr, .metrics = kFakeMetrics};

/// The behaviour of the fake probes of a test, and what happened to them. `behaviour` is called in
/// observe(), which then waits for the coroutine that it returns.
struct Target {
  using Behaviour = std::function<asio::awaitable<void>(SampleSet&)>;
  Behaviour behaviour;
  int started = 0;
  int ended = 0;  ///< by return or exception
  int inherited = 0;
  Notes* notes = nullptr;
  Receiver* receiver = nullptr;
};

inline asio::awaitable<void> nothing() { co_return; }

/// Notes that a test writes and reads.
struct FakeNotes : Notes {
  std::string text{};
  std::string serialized{};
  std::string on_disk{};
  std::uint64_t count = 0;

  std::string serialize() override { return serialized = text; }
  void saved() override { on_disk = serialized; }
  void restore(std::string_view from) override { text = from; }
  [[nodiscard]] std::uint64_t version() const override { return count; }
};

class FakeProbe final : public Probe {
 public:
  FakeProbe(Target& target, std::string name) : target_(target), name_(std::move(name)) {}

  asio::awaitable<void> observe(SampleSet& out) override {
    struct Ending {
      Target& target;
      ~Ending() { ++target.ended; }
    };
    ++target_.started;
    const Ending ending{target_};
    co_await target_.behaviour(out);
  }
  [[nodiscard]] std::string target() const override { return name_; }
  [[nodiscard]] std::string endpoint() const override { return name_; }
  void inherit(Probe& predecessor) override {
    if (dynamic_cast<FakeProbe&>(predecessor).name_ == name_) ++target_.inherited;
  }
  Notes* notes() override { return target_.notes; }
  Receiver* receiver() override { return target_.receiver; }

 private:
  Target& target_;
  std::string name_;
};

/// Lets probes wait until the test opens it.
class Latch {
 public:
  explicit Latch(asio::io_context& loop) : timer_(loop, asio::steady_timer::time_point::max()) {}
  void open() { timer_.expires_at(asio::steady_timer::time_point::min()); }

  asio::awaitable<void> wait() { co_await timer_.async_wait(asio::use_awaitable); }
  /// Ignores cancellation, as some libraries do.
  asio::awaitable<void> wait_uncancellable() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }

 private:
  asio::steady_timer timer_;
};

/// The services that jobs share, and access to what they publish.
struct JobFixture {
  JobFixture() { log::configure({config::LogLevel::error, config::LogFormat::logfmt}); }

  /// A probe that observes `target` every 100 ms with a timeout of 50 ms.
  JobSpec spec(Target& target, const std::string& name = "p") const {
    JobSpec out;
    out.name = name;
    out.kind = &kFakeKind;
    out.interval = std::chrono::milliseconds(100);
    out.timeout = std::chrono::milliseconds(50);
    out.fingerprint = 1;
    out.checks = {Thresholds{}};
    out.probe = std::make_unique<FakeProbe>(target, "target");
    return out;
  }

  /// Returns the value of `name{probe="p",instance="p",...labels}` on the page.
  [[nodiscard]] std::optional<double> value(std::string_view name,
                                            std::map<std::string, std::string> labels = {}) const {
    labels.emplace("probe", "p");
    labels.emplace("instance", "p");
    for (const ParsedSample& sample : parse_samples(page(exposition))) {
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
    return std::nullopt;
  }
  [[nodiscard]] double runs(const std::string& outcome) const {
    return value("vitalsd_probe_runs_total", {{"outcome", outcome}}).value_or(0);
  }
  [[nodiscard]] double failures(const std::string& reason) const {
    return value("vitalsd_probe_failures_total", {{"reason", reason}}).value_or(0);
  }
  [[nodiscard]] ProbeView view() const { return board.views().at(0); }

  template <class Condition>
  [[nodiscard]] bool until(const Condition& condition) {
    return run_until(loop, condition);
  }

  asio::io_context loop{1};
  net::TimerWheel wheel{loop};
  Gate gate{8, 8};
  Exposition exposition;
  Board board;
  SelfMetrics metrics;
  JobServices services{loop, wheel, gate, exposition, board, metrics, config::Duration(0)};
};

}  // namespace vitalsd::test
