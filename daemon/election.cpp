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

// A name that no other process has, were it in the same pod.
std::string make_identity() {
  const char* pod = std::getenv("POD_NAME");  // NOLINT(concurrency-mt-unsafe): never set by us
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  std::random_device random;
  return fmt::format("{}_{:08x}", pod != nullptr && *pod != '\0' ? pod : host.data(), random());
}

// metav1.MicroTime.
std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  const auto micro = std::chrono::duration_cast<std::chrono::microseconds>(now - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(whole)), micro);
}

}  // namespace

// What of the Lease counts.
struct Election::Lease {
  bool exists = false;
  std::string version;
  std::string holder;
  std::string acquired;
  std::int64_t seconds = 0;
  std::int64_t transitions = 0;

  // What others write there is taken for a lease of some sense: a shorter one could be taken over
  // while it is held, a longer one never.
  static constexpr std::int64_t kMinSeconds = 1;
  static constexpr std::int64_t kMaxSeconds = 3'600;

  static Lease parse(std::string_view text) {
    json::error_code error;
    const json::value value = json::parse({text.data(), text.size()}, error);
    if (error || !value.is_object()) {
      throw ProbeError(Reason::protocol, "the API server's Lease is no JSON object");
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

// One reading of the Lease and, where it is due, one writing. It outlives an election that goes.
struct Election::Attempt {
  Election* election;
  boost::asio::cancellation_signal cancel{};
  SampleSet scratch{};

  /// Afterwards the election is there, or this throws.
  static asio::awaitable<net::HttpResponse> call(std::shared_ptr<Attempt> attempt, const Api& api,
                                                 Api::Call call) {
    net::HttpResponse response;
    std::exception_ptr error;
    try {
      response = co_await api.call(std::move(call), attempt->scratch);
    } catch (...) {  // rethrown below, if anybody is left to be told
      error = std::current_exception();
    }
    if (attempt->election == nullptr) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
    if (error) std::rethrow_exception(error);
    co_return response;
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
      next_timer_([this] { try_now(); }),
      limit_timer_([this] {
        const auto attempt = attempt_;
        attempt->cancel.emit(asio::cancellation_type::terminal);
      }),
      end_timer_([this] { lost("it could not be renewed in time"); }) {
  leadership_.stand_by();
  try_now();
}

Election::~Election() {
  if (!attempt_) return;
  attempt_->election = nullptr;
  const auto attempt = attempt_;
  attempt->cancel.emit(asio::cancellation_type::terminal);
}

void Election::resign() {
  resigning_ = true;
  leadership_.stand_by();
  end_timer_.disarm();
  next_timer_.disarm();
  if (!attempt_) give_back();  // else when it has ended
}

void Election::give_back() {
  if (std::exchange(leads_, false)) try_now();
}

void Election::try_now() {
  attempt_ = std::make_shared<Attempt>(this);
  services_.wheel.arm_after(limit_timer_, pace_.limit);
  asio::co_spawn(
      services_.loop, campaign(attempt_),
      asio::bind_cancellation_slot(attempt_->cancel.slot(),
                                   [attempt = attempt_](const std::exception_ptr& error) {
                                     if (attempt->election != nullptr)
                                       attempt->election->ended(error);
                                   }));
}

asio::awaitable<void> Election::campaign(std::shared_ptr<Attempt> attempt) {
  const auto asked = Leadership::Clock::now();
  if (settings_.namespace_name.empty()) {
    settings_.namespace_name = services_.kubernetes.api().access().namespace_name;
    if (settings_.namespace_name.empty()) settings_.namespace_name = "default";
  }
  Lease lease;
  try {
    const net::HttpResponse response = co_await Attempt::call(
        attempt, services_.kubernetes.api(),
        {.path = Api::path_of(kLeases, settings_.namespace_name) + '/' + settings_.lease,
         .what = "get the lease " + settings_.namespace_name + '/' + settings_.lease});
    lease = Lease::parse(response.body);
  } catch (const ApiError& refusal) {
    if (refusal.status().code != kNotFound) throw;
  }
  const bool ours = lease.holder == identity_;
  if (resigning_) {
    if (!ours) co_return;
    lease.holder.clear();
    lease.seconds = 1;
    co_await write(attempt, std::move(lease));
    co_return;
  }
  if (!ours && !has_run_out(lease)) {
    if (leads_) lost(lease.holder + " has taken it over");
    co_return;
  }
  if (!ours) {
    if (lease.exists) ++lease.transitions;
    lease.holder = identity_;
    lease.acquired = now_text();
  }
  // Whole seconds are all that a Lease can say: the others wait rather too long than too short.
  lease.seconds = std::chrono::ceil<std::chrono::seconds>(pace_.duration).count();
  co_await write(attempt, std::move(lease));
  if (resigning_) {
    leads_ = true;  // as far as the API server knows: it has to be given back
  } else {
    won(asked);
  }
}

// Whether nobody holds it, or whoever does has not renewed it for as long as it is good for.
bool Election::has_run_out(const Lease& lease) {
  if (!lease.exists || lease.holder.empty()) return true;
  const auto now = Leadership::Clock::now();
  if (lease.version != last_seen_) {
    last_seen_ = lease.version;
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

void Election::ended(const std::exception_ptr& error) {
  attempt_.reset();
  limit_timer_.disarm();
  if (resigning_) {
    give_back();
    return;
  }
  services_.wheel.arm_after(next_timer_, pace_.period);
  std::string trouble;
  try {
    if (error) std::rethrow_exception(error);
  } catch (const ApiError& refusal) {
    if (refusal.status().code != kConflict) trouble = refusal.what();  // 409: another was faster
  } catch (const ProbeError& failure) {
    trouble = failure.what();
  } catch (const boost::system::system_error&) {
    trouble =
        fmt::format("no response within {} s", std::chrono::duration<double>(pace_.limit).count());
  } catch (const std::exception& other) {
    trouble = other.what();
  }
  if (trouble != trouble_ && !trouble.empty()) {
    log::warn("the lease cannot be looked after", {{"lease", settings_.lease}, {"error", trouble}});
  }
  trouble_ = std::move(trouble);
}

void Election::won(Leadership::Clock::time_point asked) {
  const auto end = asked + pace_.duration;
  const auto left = end - Leadership::Clock::now();
  if (left <= left.zero()) return;
  leadership_.lead_until(end);
  services_.wheel.arm_after(end_timer_, left);
  if (std::exchange(leads_, true)) return;
  log::info("leads: the lease is ours", {{"lease", settings_.lease}, {"identity", identity_}});
  on_change_(true);
}

void Election::lost(const std::string& why) {
  leadership_.stand_by();
  end_timer_.disarm();
  if (!std::exchange(leads_, false)) return;
  log::warn("stands by: the lease is lost", {{"lease", settings_.lease}, {"why", why}});
  on_change_(false);
}

}  // namespace vitalsd
