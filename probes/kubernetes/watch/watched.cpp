#include "probes/kubernetes/watch/watched.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Of the 2 ms that nothing may exceed on the probe loop.
constexpr auto kLongest = 1ms;

}  // namespace

constexpr Metric<1> kLastHeard({.name = "vitalsd_watch_last_heard_timestamp_seconds",
                                .unit = Unit::seconds,
                                .help = "When the Kubernetes API last said anything about the "
                                        "resource, an event or that there is none."},
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
  const auto silence = Clock::now() - reflector.heard();
  const net::kubernetes::Patience& patience = environment_.kubernetes.patience();
  const bool stale = silence > patience.stale;
  const std::string unheard =
      fmt::format("nothing has been heard of {} for {} s", query_.text(),
                  std::chrono::duration_cast<std::chrono::seconds>(silence).count());
  if (const std::optional<Failure>& failure = reflector.failure()) {
    // Of an overloaded target readings stay, and it counts as up. That is right for a while only:
    // a server that answers 429 for long serves as little as one that answers 503.
    if (stale && failure->reason == Reason::overload) {
      part.fail(Reason::unready, unheard + ": " + failure->detail);
    } else {
      part.fail(failure->reason, failure->detail);
    }
  }
  if (!subscription_->synced()) co_return false;
  if (stale) part.fail(Reason::timeout, unheard);
  part.add(kLastHeard, reflector.heard_at(), query_.text());
  co_return silence <= patience.too_old;
}

asio::awaitable<void> LoopYield::yield_if_due() {
  if (Clock::now() - since_ < kLongest) co_return;
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  since_ = Clock::now();
}

}  // namespace vitalsd::kubernetes
