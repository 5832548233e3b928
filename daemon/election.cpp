#include "daemon/election.hpp"

#include "daemon/log.hpp"
#include "probes/net/kubernetes/api.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/json.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

namespace vitalsd {
namespace {

namespace json = boost::json;
using net::kubernetes::Api;
using net::kubernetes::ApiError;

constexpr net::kubernetes::Resource kLeases{
    .group = "coordination.k8s.io", .version = "v1", .plural = "leases"};
constexpr int kNotFound = 404;
constexpr int kConflict = 409;

// A name that is unique, even among processes in the same pod.
std::string make_identity() {
  const char* pod =
      std::getenv("POD_NAME");  // NOLINT(concurrency-mt-unsafe): vitalsd never sets it
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  std::random_device random;
  return fmt::format("{}_{:08x}", pod != nullptr && *pod != '\0' ? pod : host.data(), random());
}

// The current time as metav1.MicroTime.
std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  const auto micro = std::chrono::duration_cast<std::chrono::microseconds>(now - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(whole)), micro);
}

}  // namespace

// The fields of a Lease that the election uses.
struct Election::Lease {
  bool exists = false;
  std::string version;
  std::string holder;
  std::string acquired;
  std::int64_t seconds = 0;
  std::int64_t transitions = 0;

  // Limits for the durations that other clients write. A lease with a shorter duration could be
  // taken over while its holder renews it; a lease with a much longer one would never expire.
  static constexpr std::int64_t kMinSeconds = 1;
  static constexpr std::int64_t kMaxSeconds = 3'600;

  static Lease parse(std::string_view text) {
    json::error_code error;
    const json::value value = json::parse({text.data(), text.size()}, error);
    if (error || !value.is_object()) {
      throw ProbeError(Reason::protocol, "the Lease from the API server is not a JSON object");
    }
    const auto section = [&](std::string_view name) {
      const json::value* found = value.get_object().if_contains(name);
      return found != nullptr && found->is_object() ? found->get_object() : json::object();
    };
    const auto text_of = [](const json::object& in, std::string_view name) {
      const json::value* found = in.if_contains(name);
      return found != nullptr && found->is_string() ? std::string(found->get_string())
                                                    : std::string();
    };
    const auto number_of = [](const json::object& in, std::string_view name) {
      const json::value* found = in.if_contains(name);
      return found != nullptr && found->is_int64() ? found->get_int64() : 0;
    };
    const json::object spec = section("spec");
    return {
        .exists = true,
        .version = text_of(section("metadata"), "resourceVersion"),
        .holder = text_of(spec, "holderIdentity"),
        .acquired = text_of(spec, "acquireTime"),
        .seconds = std::clamp(number_of(spec, "leaseDurationSeconds"), kMinSeconds, kMaxSeconds),
        .transitions = number_of(spec, "leaseTransitions")};
  }

  [[nodiscard]] std::string text(const std::string& name, const std::string& space) const {
    json::object metadata{{"name", name}, {"namespace", space}};
    if (exists) metadata["resourceVersion"] = version;
    json::object spec{{"holderIdentity", holder},
                      {"leaseDurationSeconds", seconds},
                      {"renewTime", now_text()},
                      {"leaseTransitions", transitions}};
    if (!acquired.empty()) spec["acquireTime"] = acquired;
    return json::serialize(json::object{{"apiVersion", "coordination.k8s.io/v1"},
                                        {"kind", "Lease"},
                                        {"metadata", std::move(metadata)},
                                        {"spec", std::move(spec)}});
  }
};

// Reads the Lease once and, if necessary, writes it once. May outlive its election.
struct Election::Attempt {
  Election* election;  // null after its destruction
  boost::asio::cancellation_signal cancel{};
  SampleSet scratch{};

  /// Returns the result of `work`. Throws operation_aborted if the election was destroyed while
  /// `work` ran.
  template <class Result>
  static asio::awaitable<Result> wait_for(std::shared_ptr<Attempt> attempt,
                                          asio::awaitable<Result> work) {
    Result result;
    std::exception_ptr error;
    try {
      result = co_await std::move(work);
    } catch (...) {  // rethrown below, if the election still exists
      error = std::current_exception();
    }
    if (attempt->election == nullptr) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
    if (error) std::rethrow_exception(error);
    co_return result;
  }
  static asio::awaitable<net::HttpResponse> call(std::shared_ptr<Attempt> attempt, const Api& api,
                                                 Api::Call call) {
    return wait_for(attempt, api.call(std::move(call), attempt->scratch));
  }
};

Election::Election(ProbeServices& services, config::ElectionSettings settings,
                   Leadership& leadership, std::function<void(bool)> on_change,
                   const ElectionPace& pace)
    : services_(services),
      settings_(std::move(settings)),
      leadership_(leadership),
      on_change_(std::move(on_change)),
      pace_(pace),
      identity_(make_identity()),
      next_timer_([this] { start_attempt(); }),
      timeout_timer_([this] {
        const auto attempt = attempt_;
        attempt->cancel.emit(asio::cancellation_type::terminal);
      }),
      expiry_timer_([this] { lose("not renewed in time"); }) {
  leadership_.stand_by();
  start_attempt();
}

Election::~Election() {
  if (!attempt_) return;
  attempt_->election = nullptr;
  const auto attempt = attempt_;
  attempt->cancel.emit(asio::cancellation_type::terminal);
}

void Election::resign() {
  is_resigning_ = true;
  leadership_.stand_by();
  expiry_timer_.disarm();
  next_timer_.disarm();
  // If an attempt is in progress, the lease is released when the attempt has ended.
  if (!attempt_) release();
}

void Election::release() {
  if (std::exchange(is_leader_, false)) start_attempt();
}

void Election::start_attempt() {
  attempt_ = std::make_shared<Attempt>(this);
  services_.wheel.arm_after(timeout_timer_, pace_.timeout);
  asio::co_spawn(
      services_.loop, renew_or_acquire(attempt_),
      asio::bind_cancellation_slot(attempt_->cancel.slot(),
                                   [attempt = attempt_](const std::exception_ptr& error) {
                                     if (attempt->election != nullptr)
                                       attempt->election->end_attempt(error);
                                   }));
}

asio::awaitable<void> Election::renew_or_acquire(std::shared_ptr<Attempt> attempt) {
  const auto requested_at = Leadership::Clock::now();
  if (settings_.namespace_name.empty()) {
    const auto access = co_await Attempt::wait_for(attempt, services_.kubernetes.api().access());
    settings_.namespace_name = access.namespace_name;
    if (settings_.namespace_name.empty()) settings_.namespace_name = "default";
  }
  Lease lease;
  try {
    const net::HttpResponse response = co_await Attempt::call(
        attempt, services_.kubernetes.api(),
        {.path = Api::path_of(kLeases, settings_.namespace_name) + '/' + settings_.lease,
         .what = "get the lease " + settings_.namespace_name + '/' + settings_.lease});
    lease = Lease::parse(response.body);
  } catch (const ApiError& e) {
    if (e.status().code != kNotFound) throw;
  }
  const bool is_holder = lease.holder == identity_;
  if (is_resigning_) {
    if (!is_holder) co_return;
    lease.holder.clear();
    lease.seconds = 1;
    co_await write(attempt, std::move(lease));
    co_return;
  }
  if (!is_holder && !has_expired(lease)) {
    if (is_leader_) lose("acquired by " + attempt->scratch.shown(lease.holder));
    co_return;
  }
  if (!is_holder) {
    if (lease.exists) ++lease.transitions;
    lease.holder = identity_;
    lease.acquired = now_text();
  }
  // A Lease has whole seconds. The duration is rounded up, because waiting too long is safer than
  // waiting too short.
  lease.seconds = std::chrono::ceil<std::chrono::seconds>(pace_.duration).count();
  co_await write(attempt, std::move(lease));
  if (is_resigning_) {
    is_leader_ = true;  // the API server has accepted it, so it must be released
  } else {
    win(requested_at);
  }
}

// Whether the lease has no holder, or was not renewed for its whole duration.
bool Election::has_expired(const Lease& lease) {
  if (!lease.exists || lease.holder.empty()) return true;
  const auto now = Leadership::Clock::now();
  if (lease.version != last_version_) {
    last_version_ = lease.version;
    last_change_ = now;
  }
  return now - last_change_ >= std::chrono::seconds(lease.seconds);
}

asio::awaitable<void> Election::write(std::shared_ptr<Attempt> attempt, Lease lease) {
  std::string path = Api::path_of(kLeases, settings_.namespace_name);
  if (lease.exists) path += '/' + settings_.lease;
  co_await Attempt::call(attempt, services_.kubernetes.api(),
                         {.path = std::move(path),
                          .what = (lease.exists ? "update the lease " : "create the lease ") +
                                  settings_.namespace_name + '/' + settings_.lease,
                          .method = lease.exists ? "PUT" : "POST",
                          .body = lease.text(settings_.lease, settings_.namespace_name)});
}

void Election::end_attempt(const std::exception_ptr& error) {
  const auto attempt = std::exchange(attempt_, nullptr);
  timeout_timer_.disarm();
  if (is_resigning_) {
    release();
    return;
  }
  services_.wheel.arm_after(next_timer_, pace_.period);
  std::string text;
  try {
    if (error) std::rethrow_exception(error);
  } catch (const ApiError& e) {
    // 409: another replica has written the lease first
    if (e.status().code != kConflict) text = e.what();
  } catch (const ProbeError& e) {
    text = e.what();
  } catch (const boost::system::system_error&) {
    text = fmt::format("no response within {} s",
                       std::chrono::duration<double>(pace_.timeout).count());
  } catch (const std::exception& e) {
    text = e.what();
  }
  text = attempt->scratch.shown(text);
  if (text != error_ && !text.empty()) {
    log::warn("cannot renew or acquire the lease", {{"lease", settings_.lease}, {"error", text}});
  }
  error_ = std::move(text);
}

void Election::win(Leadership::Clock::time_point requested_at) {
  const auto end = requested_at + pace_.duration;
  const auto left = end - Leadership::Clock::now();
  if (left <= left.zero()) return;
  leadership_.lead_until(end);
  services_.wheel.arm_after(expiry_timer_, left);
  if (std::exchange(is_leader_, true)) return;
  log::info("acquired the lease, observing", {{"lease", settings_.lease}, {"identity", identity_}});
  on_change_(true);
}

void Election::lose(const std::string& reason) {
  leadership_.stand_by();
  expiry_timer_.disarm();
  if (!std::exchange(is_leader_, false)) return;
  log::warn("lost the lease, standing by", {{"lease", settings_.lease}, {"reason", reason}});
  on_change_(false);
}

}  // namespace vitalsd
