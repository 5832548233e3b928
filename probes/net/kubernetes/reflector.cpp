#include "probes/net/kubernetes/reflector.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd::net::kubernetes {
namespace {

using namespace std::chrono_literals;

// The server ends a watch after so long; at random, so that those of many clients spread.
constexpr int kMinWatchSeconds = 300;
constexpr int kMaxWatchSeconds = 600;
constexpr auto kPageSize = "500";
constexpr int kNotFound = 404;
constexpr int kGone = 410;

constexpr std::string_view kListAccept = "application/vnd.kubernetes.protobuf";
constexpr std::string_view kWatchAccept = "application/vnd.kubernetes.protobuf;stream=watch";

double share() {                                       // 0 to 1, for jitter only
  return static_cast<double>(std::rand()) / RAND_MAX;  // NOLINT(concurrency-mt-unsafe): one thread
}

// Resource versions of one store grow. Those that are no numbers cannot be told.
bool went_back(std::string_view from, std::string_view to) {
  const auto number = [](std::string_view text) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
    return value;
  };
  const auto a = number(from);
  const auto b = number(to);
  return a && b && *b < *a;
}

// A server that does not know WatchList refuses its parameters, or, if only its store does not,
// begins the watch and says so in it.
bool lacks_watch_list(const ApiError& error) {
  const int code = error.status().code;
  return code == 400 || code == 422 ||
         (code == 500 && error.status().message.contains("RequestWatchProgress"));
}

// The store has been put back to an earlier state, or is another one.
class StoreReplaced : public ProbeError {
 public:
  StoreReplaced() : ProbeError(Reason::unready, "the API server's store went back in time") {}
};

}  // namespace

// One connection's worth of work. It outlives a reflector that gives it up.
struct Reflector::Attempt {
  explicit Attempt(Reflector& owner) : reflector(&owner), context(owner.context_) {
    ++context.running;
  }
  ~Attempt() { --context.running; }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  Reflector* reflector;  // null: given up
  ReflectorContext& context;
  boost::asio::cancellation_signal cancel;
  SampleSet scratch;  // what HttpClient tells of its steps
  Clock::time_point began = Clock::now();
  std::exception_ptr error;  // what a piece of data led to
  bool silent = false;

  /// Calls the API. Afterwards the reflector is there, or this throws.
  static asio::awaitable<HttpResponse> call(std::shared_ptr<Attempt> attempt, Api::Call call) {
    HttpResponse response;
    std::exception_ptr error;
    try {
      response = co_await attempt->context.api.call(std::move(call), attempt->scratch);
    } catch (...) {  // rethrown below, if anybody is left to be told
      error = std::current_exception();
    }
    if (attempt->reflector == nullptr) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
    if (attempt->error) std::rethrow_exception(attempt->error);
    if (error) std::rethrow_exception(error);
    co_return response;
  }
};

std::string Query::text() const {
  std::string text = name_of(resource);
  if (!namespace_name.empty()) text += " in " + namespace_name;
  if (!label_selector.empty()) text += " with " + label_selector;
  if (!field_selector.empty()) text += " where " + field_selector;
  return text;
}

Reflector::Reflector(ReflectorContext& context, Query query)
    : context_(context),
      query_(std::move(query)),
      retry_timer_([this] { start(); }),
      silence_timer_([this] {
        attempt_->silent = true;
        const auto attempt = attempt_;
        attempt->cancel.emit(asio::cancellation_type::terminal);
      }),
      version_(query_.resource.version) {}

Reflector::~Reflector() { stop(); }

// ---- listeners ----------------------------------------------------------------------------------

void Reflector::add(Listener& listener) {
  const bool listing = std::ranges::any_of(seats_, &Seat::listening);
  seats_.push_back({.listener = &listener});
  if (listing) return;  // at its end there will be another list
  listed_ = false;
  if (retry_timer_.armed() && failure_) return;
  stop();
  start();
}

void Reflector::remove(Listener& listener) {
  std::erase_if(seats_, [&](const Seat& seat) { return seat.listener == &listener; });
}

bool Reflector::synced(const Listener& listener) const {
  const auto seat = std::ranges::find(seats_, &listener, &Seat::listener);
  return seat != seats_.end() && seat->synced;
}

asio::awaitable<void> Reflector::wait(const Listener& listener) {
  if (synced(listener) || failure_) co_return;
  const auto begin = [this](std::shared_ptr<Pending<bool>> pending) {
    std::erase_if(waiters_, [](const auto& waiter) { return waiter->done(); });
    waiters_.push_back(std::move(pending));
  };
  co_await Pending<bool>::wait(begin);
}

void Reflector::wake_waiters() {
  for (const auto& waiter : std::exchange(waiters_, {})) waiter->succeed(true);
}

void Reflector::restart() {
  listed_ = false;
  failure_.reset();
  failures_ = 0;
  stop();
  start();
}

// ---- attempts -----------------------------------------------------------------------------------

void Reflector::start_after(Clock::duration delay) {
  context_.wheel.arm_after(retry_timer_, delay);
}

void Reflector::start() {
  attempt_ = std::make_shared<Attempt>(*this);
  context_.wheel.arm_after(silence_timer_, context_.patience.answer);
  asio::co_spawn(
      context_.loop, run(attempt_),
      asio::bind_cancellation_slot(attempt_->cancel.slot(),
                                   [attempt = attempt_](const std::exception_ptr& error) {
                                     if (attempt->reflector != nullptr)
                                       attempt->reflector->ended(attempt, error);
                                   }));
}

void Reflector::stop() {
  retry_timer_.disarm();
  silence_timer_.disarm();
  for (Seat& seat : seats_) seat.listening = false;
  if (const auto attempt = std::exchange(attempt_, nullptr)) {
    attempt->reflector = nullptr;
    attempt->cancel.emit(asio::cancellation_type::terminal);
  }
}

void Reflector::hear(Clock::duration max_silence) {
  heard_ = Clock::now();
  heard_at_ =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  context_.wheel.arm(silence_timer_, heard_ + max_silence);
}

void Reflector::ended(const std::shared_ptr<Attempt>& attempt, const std::exception_ptr& error) {
  attempt_.reset();
  silence_timer_.disarm();
  for (Seat& seat : seats_) seat.listening = false;
  // Not at once: a server that ends every watch immediately is not to be hammered.
  const Clock::duration rest =
      std::max<Clock::duration>(attempt->began + context_.patience.min_delay - Clock::now(), 0s);
  if (!error) {  // the server ended the watch, as it does every few minutes
    start_after(listed_ ? rest : 0s);
    return;
  }
  try {
    std::rethrow_exception(error);
  } catch (const ApiError& refusal) {
    if (refusal.status().code == kGone) {
      // What we have not heard meanwhile is forgotten; the list will tell.
      listed_ = false;
      start_after(rest);
      return;
    }
    std::string detail = refusal.what();
    // Whatever the name of a collection: only one that is not served is not found.
    if (refusal.status().code == kNotFound && query_.resource.format == Format::json) {
      detail = "the API server does not have " + name_of(query_.resource) + " in version " +
               std::string(version_) + ": its CustomResourceDefinition is not installed";
    }
    failed({refusal.reason(), std::move(detail)}, refusal.status().retry_after);
  } catch (const StoreReplaced&) {
    listed_ = false;
    start_after(rest);
  } catch (const ProbeError& failure) {
    failed({failure.reason(), failure.what()}, std::nullopt);
  } catch (const boost::system::system_error& failure) {
    if (attempt->silent && listed_ && heard_ > attempt->began) {
      // Of what never changes a server has no bookmarks either, if its store does not report
      // progress: no fault, if it answers now.
      in_doubt_ = true;
      start_after(rest);
    } else if (attempt->silent) {
      failed({Reason::timeout,
              "nothing is heard of " + query_.text() + ": " + attempt->scratch.step()},
             std::nullopt);
    } else {
      failed({Reason::connect, error_text(failure.code())}, std::nullopt);
    }
  } catch (const std::exception& fault) {
    failed({Reason::internal, fault.what()}, std::nullopt);
  }
}

void Reflector::failed(Failure failure, std::optional<std::chrono::seconds> retry_after) {
  failure_ = std::move(failure);
  in_doubt_ = true;
  constexpr int kMaxDoublings = 4;
  const auto delay =
      std::min(context_.patience.min_delay * (1 << std::min(failures_, kMaxDoublings)),
               context_.patience.max_delay);
  ++failures_;
  const auto jittered =
      std::chrono::duration_cast<std::chrono::milliseconds>(delay * (0.75 + share() / 2));
  constexpr std::chrono::seconds kMaxPatience = 60s;
  start_after(
      std::max<Clock::duration>(jittered, std::min(retry_after.value_or(0s), kMaxPatience)));
  wake_waiters();
}

asio::awaitable<void> Reflector::run(std::shared_ptr<Attempt> attempt) {
  co_await find_version(attempt);
  if (listed_ && in_doubt_) co_await check_revision(attempt);
  if (!listed_ && context_.watch_list) {
    try {
      co_await watch(attempt, true);
      co_return;
    } catch (const ApiError& refusal) {
      if (listed_ || !lacks_watch_list(refusal)) throw;
      context_.watch_list = false;
    }
  }
  if (!listed_) co_await list_pages(attempt);
  if (listed_) co_await watch(attempt, false);
}

Api::Call Reflector::call(std::string_view verb) const {
  Api::Call call;
  Resource served = query_.resource;
  served.version = version_;
  call.path = Api::path_of(served, query_.namespace_name);
  call.what = std::string(verb) + ' ' + query_.text();
  const bool json = query_.resource.format == Format::json;
  if (!json) call.accept = verb == "watch" ? kWatchAccept : kListAccept;
  if (!query_.label_selector.empty()) {
    call.parameters.emplace_back("labelSelector", query_.label_selector);
  }
  if (!query_.field_selector.empty()) {
    call.parameters.emplace_back("fieldSelector", query_.field_selector);
  }
  return call;
}

// Asks anew in each attempt, as servers are upgraded; where there is no choice, not at all. That a
// group has a version does not mean that the resource is in it: CronJobs came late to batch/v1.
asio::awaitable<void> Reflector::find_version(std::shared_ptr<Attempt> attempt) {
  const std::vector<std::string_view> versions = query_.resource.versions();
  if (versions.size() == 1) co_return;
  std::string tried;
  for (const std::string_view version : versions) {
    tried += (tried.empty() ? "" : ", ") + std::string(version);
    Api::Call call;
    call.path = "/apis/" + std::string(query_.resource.group) + '/' + std::string(version);
    call.what = "discover " + name_of(query_.resource);
    try {
      const HttpResponse response = co_await Attempt::call(attempt, std::move(call));
      if (!lists_resource(response.body, query_.resource.plural)) continue;
    } catch (const ApiError& refusal) {
      if (refusal.status().code != kNotFound) throw;
      continue;
    }
    if (std::exchange(version_, version) != version) listed_ = false;
    co_return;
  }
  throw ProbeError(Reason::mismatch, "the API server has " + name_of(query_.resource) +
                                         " in none of the versions that are read: " + tried);
}

// After a failure or a silence the store may be another one: a watch from its future would hear
// nothing of what is gone. One object's worth of a list tells.
asio::awaitable<void> Reflector::check_revision(std::shared_ptr<Attempt> attempt) {
  Api::Call call = this->call("list");
  call.parameters.emplace_back("limit", "1");
  call.max_body = 2 * kMaxObject;
  const HttpResponse response = co_await Attempt::call(attempt, std::move(call));
  ListReader list(query_.resource.format, [](std::string_view) {});
  list.feed(response.body);
  list.finish();
  if (went_back(resource_version_, list.resource_version())) listed_ = false;
}

asio::awaitable<void> Reflector::list_pages(std::shared_ptr<Attempt> attempt) {
  std::string token;
  bool pages = true;
  list_started();
  while (true) {
    ListReader list(query_.resource.format, [this](std::string_view object) {
      for (const Seat& seat : seats_) {
        if (seat.listening) seat.listener->updated(object);
      }
    });
    Api::Call call = this->call("list");
    if (pages) call.parameters.emplace_back("limit", kPageSize);
    if (!token.empty()) call.parameters.emplace_back("continue", token);
    call.on_data = [this, attempt, &list](std::string_view piece) {
      if (attempt->reflector == nullptr) return false;
      hear(context_.patience.answer);
      try {
        list.feed(piece);
      } catch (...) {  // cannot pass libcurl; Attempt::call rethrows it
        attempt->error = std::current_exception();
      }
      return attempt->error == nullptr;
    };
    try {
      co_await Attempt::call(attempt, std::move(call));
    } catch (const ApiError& refusal) {
      // The page's token is too old: the store has forgotten the list's state. All in one, then.
      if (refusal.status().code != kGone || token.empty()) throw;
      token.clear();
      pages = false;
      list_started();
      continue;
    }
    list.finish();
    token = list.continue_token();
    if (!token.empty()) continue;
    resource_version_ = list.resource_version();
    list_ended();
    co_return;
  }
}

// `with_list`: begins with all objects as events (KEP-3157, WatchList).
asio::awaitable<void> Reflector::watch(std::shared_ptr<Attempt> attempt, bool with_list) {
  bool listing = with_list;
  WatchReader events(query_.resource.format,
                     [this, &listing](const Event& event) { on_event(event, listing); });
  Api::Call call = this->call("watch");
  call.parameters.emplace_back("watch", "1");
  call.parameters.emplace_back("allowWatchBookmarks", "true");
  const int seconds =
      kMinWatchSeconds + static_cast<int>(share() * (kMaxWatchSeconds - kMinWatchSeconds));
  call.parameters.emplace_back("timeoutSeconds", std::to_string(seconds));
  if (with_list) {
    call.parameters.emplace_back("sendInitialEvents", "true");
    call.parameters.emplace_back("resourceVersionMatch", "NotOlderThan");
  } else {
    call.parameters.emplace_back("resourceVersion", resource_version_);
  }
  call.on_data = [this, attempt, &events, &listing](std::string_view piece) {
    if (attempt->reflector == nullptr) return false;
    try {
      if (piece.empty() && listing) {
        list_started();
      } else if (piece.empty()) {
        failure_.reset();
        in_doubt_ = false;
      } else {
        events.feed(piece);
      }
    } catch (...) {  // cannot pass libcurl; Attempt::call rethrows it
      attempt->error = std::current_exception();
    }
    hear(listing ? context_.patience.answer : context_.patience.watch);
    // Somebody came to listen while the list was under way: the next one is for them.
    return attempt->error == nullptr && (listing || listed_);
  };
  co_await Attempt::call(attempt, std::move(call));
  if (listing) throw ProbeError(Reason::protocol, "the list of " + query_.text() + " is cut off");
}

void Reflector::on_event(const Event& event, bool& listing) {
  switch (event.type) {
    case Event::Type::error:
      throw ApiError("watch " + query_.text(), event.status);
    case Event::Type::added:
    case Event::Type::modified:
      for (const Seat& seat : seats_) {
        if (listing ? seat.listening : seat.synced) seat.listener->updated(event.object);
      }
      break;
    case Event::Type::deleted:
      for (const Seat& seat : seats_) {
        if (listing ? seat.listening : seat.synced) seat.listener->deleted(event.object);
      }
      break;
    case Event::Type::bookmark:
      if (listing && event.initial_events_end) {
        resource_version_ = event.resource_version;
        listing = false;
        list_ended();
      }
      break;
  }
  if (listing) return;  // the first objects come in the order of their names
  if (went_back(resource_version_, event.resource_version)) throw StoreReplaced();
  if (!event.resource_version.empty()) resource_version_ = event.resource_version;
  failures_ = 0;
}

void Reflector::list_started() {
  for (Seat& seat : seats_) {
    seat.listening = true;
    seat.listener->list_started();
  }
}

void Reflector::list_ended() {
  listed_ = true;
  failure_.reset();
  failures_ = 0;
  in_doubt_ = false;
  for (Seat& seat : seats_) {
    if (seat.listening) {
      seat.listener->list_ended();
      seat.listening = false;
      seat.synced = true;
    } else {
      listed_ = false;
    }
  }
  wake_waiters();
}

}  // namespace vitalsd::net::kubernetes
