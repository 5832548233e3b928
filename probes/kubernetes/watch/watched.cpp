#include "probes/kubernetes/watch/watched.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// No handler may occupy the probe loop for more than 2 ms.
constexpr auto kMaxTimeSlice = 1ms;

}  // namespace

constexpr Metric<1> kLastHeard({.name = "vitalsd_watch_last_heard_timestamp_seconds",
                                .unit = Unit::seconds,
                                .help = "When the Kubernetes API last sent data about the "
                                        "resource: a list, an event or a bookmark."},
                               "resource");

void ResourceWatch::join(net::kubernetes::Listener& listener) {
  if (!subscription_) subscription_.emplace(environment_.kubernetes, query_, listener);
}

asio::awaitable<bool> ResourceWatch::judge(SampleSet& run, Part& part,
                                           net::kubernetes::Listener& listener) {
  join(listener);
  run.doing("waiting for the list of " + query_.text());
  const net::kubernetes::Reflector& reflector = subscription_->reflector();
  while (!subscription_->synced() && !reflector.failure()) co_await subscription_->wait();
  const auto silence = Clock::now() - reflector.last_received();
  const net::kubernetes::Timeouts& timeouts = environment_.kubernetes.timeouts();
  const bool stale = silence > timeouts.stale;
  const std::string stale_text =
      fmt::format("no data received for {} in the last {} s", query_.text(),
                  std::chrono::duration_cast<std::chrono::seconds>(silence).count());
  if (const std::optional<Failure>& failure = reflector.failure()) {
    // An overloaded target keeps its readings and counts as up, but only until the data is stale: a
    // server that returns 429 for a long time is as unavailable as one that returns 503.
    if (stale && failure->reason == Reason::overload) {
      part.fail(Reason::unready, stale_text + ": " + failure->detail);
    } else {
      part.fail(failure->reason, failure->detail);
    }
  }
  if (!subscription_->synced()) co_return false;
  if (stale) part.fail(Reason::timeout, stale_text);
  part.add(kLastHeard, reflector.last_received_unix(), query_.text());
  co_return silence <= timeouts.expired;
}

asio::awaitable<void> LoopYield::yield_if_due() {
  if (Clock::now() - since_ < kMaxTimeSlice) co_return;
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  since_ = Clock::now();
}

}  // namespace vitalsd::kubernetes
