#include "probes/job/push_api.hpp"

#include "config/scalar.hpp"
#include "exporter/model/text_format.hpp"
#include "probes/job/group_key.hpp"
#include "probes/job/ping.hpp"
#include "probes/net/content_decoder.hpp"
#include "probes/net/offload.hpp"
#include "probes/page/page_reader.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <exception>
#include <expected>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>

namespace vitalsd::job {

namespace {

constexpr std::size_t kMaxBody = Groups::kMaxBytes;
constexpr std::size_t kMaxQueued = 16;                     // requests
constexpr std::size_t kMaxOnLoop = std::size_t{64} << 10;  // bytes: about 1 ms

std::unexpected<PushAnswer> refuse(int status, std::string text) {
  return std::unexpected(PushAnswer{status, std::move(text) + '\n'});
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// Returns the body as text. Accepts any content type except that of protobuf, because the default
// of curl does not describe the body.
std::expected<std::string, PushAnswer> text_of(const Push& push) {
  if (lower(push.content_type).starts_with("application/vnd.google.protobuf")) {
    return refuse(415,
                  "Protobuf is not supported: send the text format 0.0.4 (in Go: "
                  "Format(expfmt.NewFormat(expfmt.TypeTextPlain))).");
  }
  const std::string coding = lower(push.content_encoding);
  if (coding.empty() || coding == "identity") return push.body;
  if (coding != "gzip") return refuse(415, "The only supported content encoding is gzip.");
  net::ContentDecoder decoder;
  decoder.announce(coding);
  std::string body;
  using Result = net::ContentDecoder::Result;
  Result result = decoder.take(push.body, body, kMaxBody);
  if (result == Result::good) result = decoder.finish();
  if (result == Result::too_large) {
    return refuse(
        413, "The body has more than " + std::to_string(kMaxBody) + " bytes before compression.");
  }
  if (result == Result::broken) return refuse(400, "The body is not valid gzip.");
  return body;
}

// The answer to a request that was not processed, because no thread is free.
PushAnswer not_processed(const std::exception_ptr& error) {
  std::string why = "no memory";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    why = e.what();
  }
  return {503, "The request was not processed (" + why + "): retry.\n"};
}

// "a, b and 7 more"
std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMaxNames = 5;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    out += (i == 0 ? "" : ", ") + shown_text(names[i], 128);
  }
  if (names.size() > kMaxNames) out += " and " + std::to_string(names.size() - kMaxNames) + " more";
  return out;
}

}  // namespace

PushApi::PushApi(config::Node& options, const Environment& environment, std::string name)
    : environment_(environment), name_(std::move(name)) {
  using namespace std::chrono_literals;
  config::Node* const section = options.find_section(
      "push", "accept metrics at /metrics/job/NAME like a Pushgateway: docs/pushgateway.md");
  if (section == nullptr) return;
  const auto ttl = section->required<config::Duration>(
      "ttl", "how long a group is published after its last push, for example 26h for a daily job");
  if (section->has("ttl") && ttl < 1s) section->error("ttl", "must be at least 1s");
  ttl_ = std::chrono::duration<double>(ttl).count();
}

PushApi::~PushApi() {
  for (const Request& request : std::exchange(*queue_, {})) request.answer(History::gone());
}

std::vector<PushRoute> PushApi::routes(const std::string& name) {
  std::vector<PushRoute> out;
  for (std::string& path : push_paths(name)) {
    out.push_back(
        {.path = std::move(path), .methods = {"POST", "PUT", "DELETE"}, .max_body = kMaxBody});
  }
  return out;
}

// ---- requests -----------------------------------------------------------------------------------

void PushApi::receive(Push push, History& history, double now, Receiver::Answer answer,
                      Receiver::Changed changed) {
  if (!ttl_) {
    answer({403,
            "This job accepts no pushed metrics: set push: {ttl: DURATION} of its probe to the "
            "time for which they are published, for example 26h for a daily job.\n"});
    return;
  }
  std::expected<GroupLabels, PushAnswer> labels = parse_group(push.path);
  if (!labels) {
    answer(labels.error());
    return;
  }
  std::optional<Ping> run;
  if (push.method != "DELETE") {
    std::expected<Ping, PushAnswer> ping = parse_ping("", push.query);
    if (!ping) {
      answer(ping.error());
      return;
    }
    run = std::move(*ping);
  }
  if (queue_->size() >= kMaxQueued) {
    answer({503, "Too many pushes to this job wait until they are read: retry.\n"});
    return;
  }
  queue_->push_back({.push = std::move(push),
                     .labels = std::move(*labels),
                     .run = std::move(run),
                     .now = now,
                     .answer = std::move(answer),
                     .changed = std::move(changed)});
  if (queue_->size() == 1) process_queue(history);
}

// Processes requests until one is computed on another thread.
void PushApi::process_queue(History& history) {
  while (!queue_->empty()) {
    Request& first = queue_->front();
    const bool is_large = !first.push.content_encoding.empty() ||
                          history.groups().bytes() + first.push.body.size() > kMaxOnLoop;
    auto work = [groups = history.groups(), push = std::move(first.push), labels = first.labels,
                 now = first.now, ttl = *ttl_, declared = environment_.foreign]() mutable {
      groups.expire(now, ttl);
      return apply(std::move(groups), push, labels, now, declared);
    };
    if (!is_large) {
      finish(history, work());
      continue;
    }
    asio::co_spawn(environment_.loop, compute(std::move(work)),
                   [this, &history, alive = std::weak_ptr(queue_)](const std::exception_ptr& error,
                                                                   Outcome outcome) {
                     if (alive.expired()) return;
                     finish(history, std::move(outcome), error);
                     process_queue(history);
                   });
    return;
  }
}

template <class Work>
auto PushApi::compute(Work work) const -> asio::awaitable<std::invoke_result_t<Work>> {
  return environment_.computing.run(
      "pushes to " + name_,
      [work = std::move(work)](const net::StopFlag&) mutable { return work(); });
}

PushApi::Outcome PushApi::apply(Groups groups, const Push& push, const GroupLabels& labels,
                                double now, const ForeignFamilies& declared) {
  if (push.method == "DELETE") {
    groups.remove(labels);
    return {.groups = std::move(groups)};
  }
  const std::expected<std::string, PushAnswer> body = text_of(push);
  const auto replace = push.method == "PUT" ? Groups::Replace::group : Groups::Replace::families;
  std::expected<Groups::Accepted, PushAnswer> accepted =
      body ? groups.push(labels, *body, replace, declared, now) : std::unexpected(body.error());
  if (!accepted) groups.refused(labels, now);
  return {.groups = std::move(groups), .accepted = std::move(accepted)};
}

// Ends the first request of the queue.
void PushApi::finish(History& history, Outcome outcome, const std::exception_ptr& error) {
  Request request = std::move(queue_->front());
  queue_->pop_front();
  if (error || history.is_full()) {
    request.answer(error ? not_processed(error) : History::busy());
    return;
  }
  history.groups() = std::move(outcome.groups);
  history.change();
  if (!outcome.accepted) {
    request.answer(outcome.accepted.error());
  } else if (!request.run) {
    history.answer_when_saved({202, ""}, std::move(request.answer));
  } else {
    record(request, history, *outcome.accepted);
  }
  request.changed();
}

void PushApi::record(Request& request, History& history, const Groups::Accepted& accepted) {
  dropped_ += static_cast<double>(accepted.declared_series);
  std::string message = "pushed " + std::to_string(accepted.series) + " series";
  std::string text = "OK\n";
  if (!accepted.declared.empty()) {
    const std::string names = list_of(accepted.declared);
    message += "; not published, because vitalsd declares them: " + names;
    text = "OK. Not published, because vitalsd declares these metrics itself: " + names + ".\n";
  }
  if (accepted.replaced_counts > 0) {
    text += "A _count of a histogram differs from its last bucket, and was replaced by it.\n";
  }
  history.record(*request.run, std::move(message), request.now,
                 [text = std::move(text), answer = std::move(request.answer)](PushAnswer result) {
                   if (result.status == 200) result.text = text;
                   answer(std::move(result));
                 });
}

// ---- runs ---------------------------------------------------------------------------------------

asio::awaitable<void> PushApi::publish(SampleSet& out, History& history, double now) {
  Groups& groups = history.groups();
  if (ttl_ ? groups.expire(now, *ttl_) : groups.clear()) history.change();
  if (!ttl_) co_return;
  // The lines already have a label `instance`.
  std::string labels = out.constant_labels();
  labels.resize(std::min(labels.rfind(",instance=\""), labels.size()));
  // A family that was in use by another publisher may be free now.
  if (!page_.groups.is_rendered(groups, labels) || page_.unpublished.total() > 0) {
    auto work = [groups = groups, labels, foreign = environment_.foreign]() mutable {
      return render(std::move(groups), labels, foreign);
    };
    out.doing("rendering the pushed metrics", Reason::internal);
    if (groups.bytes() <= kMaxOnLoop) {
      page_ = work();
    } else {
      page_ = co_await compute(std::move(work));
    }
    // A push may have changed the groups meanwhile.
    if (page_.groups.is_rendered(groups, labels)) groups.share_rendering(page_.groups);
  }
  out.attach(page_.families);
  out.add(kPushDropped, dropped_);
  if (page_.groups.size() == 0) co_return;
  out.check(kUnpublishedCheck, static_cast<double>(page_.unpublished.total()),
            page_.unpublished.text());
}

PushApi::Page PushApi::render(Groups groups, const std::string& labels, ForeignFamilies& foreign) {
  const Groups::Rendered& rendered = groups.render(labels);
  auto families = std::make_shared<std::vector<FragmentFamily>>();
  page::DroppedLines unpublished = rendered.dropped;
  if (rendered.families) {
    for (const auto& [own, lines, keeper] : *rendered.families) {
      const auto metric = foreign.intern({.name = own->name, .type = own->type, .help = own->help});
      if (metric) {
        families->push_back({*metric, lines, keeper});
      } else {
        unpublished.add(page::reason_of(metric.error()),
                        static_cast<std::size_t>(std::ranges::count(lines, '\n')), own->name);
      }
    }
  }
  return {std::move(groups), families->empty() ? nullptr : std::move(families), unpublished};
}

}  // namespace vitalsd::job
