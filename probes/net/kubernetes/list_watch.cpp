#include "probes/net/kubernetes/list_watch.hpp"

#include "probes/net/kubernetes/jitter.hpp"
#include "probes/net/kubernetes/wire.hpp"

#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd::net::kubernetes {
namespace {

// The server ends a watch after this time; it is random, so that many clients do not reconnect at
// the same time.
constexpr int kMinWatchSeconds = 300;
constexpr int kMaxWatchSeconds = 600;
constexpr auto kPageSize = "500";

constexpr std::string_view kListAccept = "application/vnd.kubernetes.protobuf";
constexpr std::string_view kWatchAccept = "application/vnd.kubernetes.protobuf;stream=watch";

// Whether a resource version has decreased. Resource versions of one store increase. Versions that
// are not numbers cannot be compared.
bool decreased(std::string_view from, std::string_view to) {
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

// A server without WatchList rejects its parameters. A server that knows WatchList but whose store
// does not support it accepts the watch and then sends this error in the stream.
bool is_watch_list_unsupported(const ApiError& error) {
  const int code = error.status().code;
  return code == 400 || code == 422 ||
         (code == 500 && error.status().message.contains("RequestWatchProgress"));
}

}  // namespace

ListWatch::ListWatch(ClientContext& context, Query query, WatchPosition& position, Owner& owner)
    : context_(context), query_(std::move(query)), position_(position), owner_(&owner) {
  ++context_.running;
}

ListWatch::~ListWatch() { --context_.running; }

void ListWatch::start() {
  const auto self = shared_from_this();
  asio::co_spawn(
      context_.loop, run(self),
      asio::bind_cancellation_slot(cancel_.slot(), [self](const std::exception_ptr& error) {
        if (self->owner_ != nullptr) self->owner_->attempt_ended(error);
      }));
}

void ListWatch::cancel() {
  const auto self = shared_from_this();  // the signal may release the last other reference
  owner_ = nullptr;
  cancel_.emit(asio::cancellation_type::terminal);
}

void ListWatch::time_out() {
  const auto self = shared_from_this();
  timed_out_ = true;
  cancel_.emit(asio::cancellation_type::terminal);
}

// `self` keeps the attempt alive until the coroutine has unwound.
asio::awaitable<void> ListWatch::run(std::shared_ptr<ListWatch> self) {
  co_await self->list_and_watch();
}

asio::awaitable<void> ListWatch::list_and_watch() {
  co_await discover_version();
  if (position_.listed && position_.verify_revision) co_await check_revision();
  if (!position_.listed && context_.watch_list) {
    try {
      co_await watch(true);
      co_return;
    } catch (const ApiError& refusal) {
      if (position_.listed || !is_watch_list_unsupported(refusal)) throw;
      context_.watch_list = false;
    }
  }
  if (!position_.listed) co_await list_pages();
  if (position_.listed) co_await watch(false);
}

// ---- requests -----------------------------------------------------------------------------------

// Calls the API. When this returns, the owner is valid; after cancel() it throws instead.
asio::awaitable<HttpResponse> ListWatch::call(Api::Call call) {
  HttpResponse response;
  std::exception_ptr error;
  try {
    response = co_await context_.api.call(std::move(call), steps_);
  } catch (...) {
    error = std::current_exception();
  }
  if (owner_ == nullptr) throw boost::system::system_error(asio::error::operation_aborted);
  if (data_error_) std::rethrow_exception(data_error_);
  if (error) std::rethrow_exception(error);
  co_return response;
}

Api::Call ListWatch::request(std::string_view verb) const {
  Api::Call call;
  Resource served = query_.resource;
  served.version = position_.api_version;
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

// Runs in each attempt, because servers are upgraded. A resource with one version needs no
// discovery. A version that the server knows may not contain the resource: batch/v1 got CronJobs
// later.
asio::awaitable<void> ListWatch::discover_version() {
  const std::vector<std::string_view> versions = query_.resource.versions();
  if (versions.size() == 1) co_return;
  std::string tried;
  for (const std::string_view version : versions) {
    tried += (tried.empty() ? "" : ", ") + std::string(version);
    Api::Call discovery;
    discovery.path = "/apis/" + std::string(query_.resource.group) + '/' + std::string(version);
    discovery.what = "discover " + name_of(query_.resource);
    try {
      const HttpResponse response = co_await call(std::move(discovery));
      if (!lists_resource(response.body, query_.resource.plural)) continue;
    } catch (const ApiError& refusal) {
      if (refusal.status().code != kNotFound) throw;
      continue;
    }
    if (std::exchange(position_.api_version, version) != version) position_.listed = false;
    co_return;
  }
  throw ProbeError(Reason::mismatch, "the API server does not serve " + name_of(query_.resource) +
                                         " in any of the supported versions: " + tried);
}

// After a failure or a time without data, the server may have another store. If the watch started
// from a revision that is higher than the store's revision, it would not report deletions. A list
// of one object returns the store's revision.
asio::awaitable<void> ListWatch::check_revision() {
  Api::Call first_page = request("list");
  first_page.parameters.emplace_back("limit", "1");
  first_page.max_body = 2 * kMaxObject;
  const HttpResponse response = co_await call(std::move(first_page));
  ListReader list(query_.resource.format, [](std::string_view) {});
  list.feed(response.body);
  list.finish();
  if (decreased(position_.resource_version, list.resource_version())) position_.listed = false;
}

// ---- lists --------------------------------------------------------------------------------------

asio::awaitable<void> ListWatch::list_pages() {
  std::string token;
  bool paginate = true;
  owner_->list_started();
  while (true) {
    ListReader list(query_.resource.format, [this](std::string_view object) {
      if (owner_ != nullptr) owner_->updated(object, true);
    });
    Api::Call page = request("list");
    if (paginate) page.parameters.emplace_back("limit", kPageSize);
    if (!token.empty()) page.parameters.emplace_back("continue", token);
    page.on_data = [self = shared_from_this(), &list](std::string_view piece) {
      if (self->owner_ == nullptr) return false;
      self->owner_->received(self->context_.timeouts.response);
      try {
        list.feed(piece);
      } catch (...) {  // cannot pass through libcurl; call() rethrows it
        self->data_error_ = std::current_exception();
      }
      return self->data_error_ == nullptr;
    };
    try {
      co_await call(std::move(page));
    } catch (const ApiError& refusal) {
      // The continue token has expired: the store has compacted the revision of the list. The next
      // request lists all objects at once.
      if (refusal.status().code != kGone || token.empty()) throw;
      token.clear();
      paginate = false;
      owner_->list_started();
      continue;
    }
    list.finish();
    token = list.continue_token();
    if (!token.empty()) continue;
    position_.resource_version = list.resource_version();
    end_list();
    co_return;
  }
}

void ListWatch::end_list() {
  position_.listed = owner_->list_ended();
  position_.verify_revision = false;
}

// ---- watches ------------------------------------------------------------------------------------

// With `with_list`, the watch first sends all objects as events (KEP-3157, WatchList).
asio::awaitable<void> ListWatch::watch(bool with_list) {
  bool listing = with_list;
  WatchReader events(query_.resource.format,
                     [this, &listing](const Event& event) { on_event(event, listing); });
  Api::Call request = this->request("watch");
  request.parameters.emplace_back("watch", "1");
  request.parameters.emplace_back("allowWatchBookmarks", "true");
  const int seconds =
      kMinWatchSeconds + static_cast<int>(random_ratio() * (kMaxWatchSeconds - kMinWatchSeconds));
  request.parameters.emplace_back("timeoutSeconds", std::to_string(seconds));
  if (with_list) {
    request.parameters.emplace_back("sendInitialEvents", "true");
    request.parameters.emplace_back("resourceVersionMatch", "NotOlderThan");
  } else {
    request.parameters.emplace_back("resourceVersion", position_.resource_version);
  }
  request.on_data = [self = shared_from_this(), &events, &listing](std::string_view piece) {
    if (self->owner_ == nullptr) return false;
    try {
      if (piece.empty() && listing) {  // the response starts
        self->owner_->list_started();
      } else if (piece.empty()) {
        self->position_.verify_revision = false;
        self->owner_->watch_started();
      } else {
        events.feed(piece);
      }
    } catch (...) {  // cannot pass through libcurl; call() rethrows it
      self->data_error_ = std::current_exception();
    }
    if (self->owner_ == nullptr) return false;
    const Timeouts& timeouts = self->context_.timeouts;
    self->owner_->received(listing ? timeouts.response : timeouts.watch);
    // A listener that subscribed while the list was in progress needs another list.
    return self->data_error_ == nullptr && (listing || self->position_.listed);
  };
  co_await call(std::move(request));
  if (listing) {
    throw ProbeError(Reason::protocol, "the list of " + query_.text() + " is truncated");
  }
}

void ListWatch::on_event(const Event& event, bool& listing) {
  if (owner_ == nullptr) return;  // a listener has cancelled this attempt
  switch (event.type) {
    case Event::Type::error:
      throw ApiError("watch " + query_.text(), event.status);
    case Event::Type::added:
    case Event::Type::modified:
      owner_->updated(event.object, listing);
      break;
    case Event::Type::deleted:
      owner_->deleted(event.object, listing);
      break;
    case Event::Type::bookmark:
      if (listing && event.initial_events_end) {
        position_.resource_version = event.resource_version;
        listing = false;
        end_list();
      }
      break;
  }
  if (owner_ == nullptr) return;
  if (listing) return;  // the initial objects are in the order of their names, not of revisions
  if (decreased(position_.resource_version, event.resource_version)) throw StoreReplaced();
  if (!event.resource_version.empty()) position_.resource_version = event.resource_version;
  owner_->event_processed();
}

}  // namespace vitalsd::net::kubernetes
