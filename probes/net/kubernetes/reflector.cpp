#include "probes/net/kubernetes/reflector.hpp"

#include "probes/net/kubernetes/jitter.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <boost/system/system_error.hpp>

namespace vitalsd::net::kubernetes {
namespace {

using namespace std::chrono_literals;

}  // namespace

Reflector::Reflector(ClientContext& context, Query query)
    : context_(context),
      query_(std::move(query)),
      backoff_(context.timeouts.min_delay, context.timeouts.max_delay),
      retry_timer_([this] { start(); }),
      silence_timer_([this] { attempt_->time_out(); }) {
  position_.api_version = query_.resource.version;
}

Reflector::~Reflector() { stop(); }

// ---- subscribers --------------------------------------------------------------------------------

void Reflector::add(Listener& listener) {
  const bool listing = subscribers_.listing();
  subscribers_.add(listener);
  if (listing) return;  // another list starts after the one in progress
  position_.listed = false;
  if (retry_timer_.armed() && failure_) return;
  stop();
  start();
}

void Reflector::remove(const Listener& listener) { subscribers_.remove(listener); }

asio::awaitable<void> Reflector::wait(const Listener& listener) {
  if (synced(listener) || failure_) co_return;
  const auto add_waiter = [this](std::shared_ptr<Pending<bool>> pending) {
    std::erase_if(waiters_, [](const auto& waiter) { return waiter->done(); });
    waiters_.push_back(std::move(pending));
  };
  co_await Pending<bool>::wait(add_waiter);
}

void Reflector::wake_waiters() {
  for (const auto& waiter : std::exchange(waiters_, {})) waiter->succeed(true);
}

// ---- attempts -----------------------------------------------------------------------------------

void Reflector::restart() {
  position_.listed = false;
  failure_.reset();
  backoff_.reset();
  stop();
  if (!idle()) start();
}

// Must be called after a call in which the last listener may have unsubscribed.
void Reflector::stop_if_idle() {
  if (idle()) stop();
}

void Reflector::stop() {
  retry_timer_.disarm();
  silence_timer_.disarm();
  subscribers_.abort_list();
  if (const auto attempt = std::exchange(attempt_, nullptr)) attempt->cancel();
}

void Reflector::start_after(Clock::duration delay) {
  context_.wheel.arm_after(retry_timer_, delay);
}

void Reflector::start() {
  ListWatch::Owner& owner = *this;
  attempt_ = std::make_shared<ListWatch>(context_, query_, position_, owner);
  context_.wheel.arm_after(silence_timer_, context_.timeouts.response);
  attempt_->start();
}

void Reflector::received(Clock::duration max_silence) {
  last_received_ = Clock::now();
  last_received_unix_ =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  context_.wheel.arm(silence_timer_, last_received_ + max_silence);
}

void Reflector::list_started() {
  subscribers_.list_started();
  stop_if_idle();
}

void Reflector::updated(std::string_view object, bool listing) {
  subscribers_.updated(object, listing);
  stop_if_idle();
}

void Reflector::deleted(std::string_view object, bool listing) {
  subscribers_.deleted(object, listing);
  stop_if_idle();
}

bool Reflector::list_ended() {
  failure_.reset();
  backoff_.reset();
  const bool all_synced = subscribers_.list_ended();
  stop_if_idle();
  wake_waiters();
  return all_synced;
}

void Reflector::attempt_ended(const std::exception_ptr& error) {
  const auto attempt = std::exchange(attempt_, nullptr);
  silence_timer_.disarm();
  subscribers_.abort_list();
  // A server that ends every watch immediately must not receive requests without a pause.
  const Clock::duration pause = std::max<Clock::duration>(
      attempt->started() + context_.timeouts.min_delay - Clock::now(), 0s);
  if (!error) {  // the server ended the watch, as it does every few minutes
    start_after(position_.listed ? pause : 0s);
    return;
  }
  try {
    std::rethrow_exception(error);
  } catch (const ApiError& refusal) {
    if (refusal.status().code == kGone) {
      // The store has compacted the events since the last revision; a new list replaces them.
      position_.listed = false;
      start_after(pause);
      return;
    }
    std::string detail = attempt->shown(refusal.what());
    // The list of a resource is 404 only if the server does not have the resource: a namespace that
    // does not exist has an empty list.
    if (refusal.status().code == kNotFound && query_.resource.format == Format::json) {
      detail = "the API server does not have " + name_of(query_.resource) + " in version " +
               std::string(position_.api_version) +
               ": its CustomResourceDefinition is not installed";
    }
    failed({refusal.reason(), std::move(detail)}, refusal.status().retry_after);
  } catch (const StoreReplaced&) {
    position_.listed = false;
    start_after(pause);
  } catch (const ProbeError& failure) {
    failed({failure.reason(), attempt->shown(failure.what())});
  } catch (const boost::system::system_error& failure) {
    if (attempt->timed_out() && position_.listed && last_received_ > attempt->started()) {
      // A server whose store does not report progress sends no bookmarks for a resource that never
      // changes. A time without data is then not a failure if the server responds to the next
      // request.
      position_.verify_revision = true;
      start_after(pause);
    } else if (attempt->timed_out()) {
      failed(
          {Reason::timeout, "no data received for " + query_.text() + " while " + attempt->step()});
    } else {
      failed({Reason::connect, error_text(failure.code())});
    }
  } catch (const std::exception& failure) {
    failed({Reason::internal, failure.what()});
  }
}

void Reflector::failed(Failure failure, std::optional<std::chrono::seconds> retry_after) {
  failure_ = std::move(failure);
  position_.verify_revision = true;
  start_after(backoff_.next(0.75 + random_ratio() / 2, retry_after));
  wake_waiters();
}

}  // namespace vitalsd::net::kubernetes
