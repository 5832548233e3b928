#include "probes/job/push_api.hpp"

#include "config/scalar.hpp"
#include "exporter/model/text_format.hpp"
#include "probes/job/group_key.hpp"
#include "probes/job/ping.hpp"
#include "probes/net/content_decoder.hpp"
#include "probes/page/page_reader.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <expected>
#include <string_view>
#include <utility>

namespace vitalsd::job {

namespace {

constexpr std::size_t kMaxBody = Groups::kMaxBytes;

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

PushApi::PushApi(config::Node& options, ForeignFamilies& foreign) : foreign_(foreign) {
  using namespace std::chrono_literals;
  config::Node* const section = options.find_section(
      "push", "accept metrics at /metrics/job/NAME like a Pushgateway: docs/pushgateway.md");
  if (section == nullptr) return;
  const auto ttl = section->required<config::Duration>(
      "ttl", "how long a group is published after its last push, for example 26h for a daily job");
  if (section->has("ttl") && ttl < 1s) section->error("ttl", "must be at least 1s");
  ttl_ = std::chrono::duration<double>(ttl).count();
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

void PushApi::receive(const Push& push, History& history, double now, Receiver::Answer answer) {
  if (!ttl_) {
    answer({403,
            "This job accepts no pushed metrics: set push: {ttl: DURATION} of its probe to the "
            "time for which they are published, for example 26h for a daily job.\n"});
    return;
  }
  const std::expected<GroupLabels, PushAnswer> labels = parse_group(push.path);
  if (!labels) {
    answer(labels.error());
    return;
  }
  if (history.is_full()) {
    answer(History::busy());
    return;
  }
  Groups& groups = history.groups();
  if (groups.expire(now, *ttl_)) history.change();
  if (push.method == "DELETE") {
    groups.remove(*labels);
    history.change();
    history.answer_when_saved({202, ""}, std::move(answer));
    return;
  }
  const std::expected<Ping, PushAnswer> ping = parse_ping("", push.query);
  if (!ping) {
    answer(ping.error());
    return;
  }
  const std::expected<Groups::Accepted, PushAnswer> accepted = accept(push, *labels, groups, now);
  history.change();
  if (!accepted) {
    groups.refused(*labels, now);
    answer(accepted.error());
    return;
  }
  dropped_ += static_cast<double>(accepted->declared_series);
  std::string message = "pushed " + std::to_string(accepted->series) + " series";
  std::string text = "OK\n";
  if (!accepted->declared.empty()) {
    const std::string names = list_of(accepted->declared);
    message += "; not published, because vitalsd declares them: " + names;
    text = "OK. Not published, because vitalsd declares these metrics itself: " + names + ".\n";
  }
  if (accepted->replaced_counts > 0) {
    text += "A _count of a histogram differs from its last bucket, and was replaced by it.\n";
  }
  history.record(*ping, std::move(message), now,
                 [text = std::move(text), answer = std::move(answer)](PushAnswer result) {
                   if (result.status == 200) result.text = text;
                   answer(std::move(result));
                 });
}

std::expected<Groups::Accepted, PushAnswer> PushApi::accept(const Push& push,
                                                            const GroupLabels& labels,
                                                            Groups& groups, double now) const {
  const std::expected<std::string, PushAnswer> body = text_of(push);
  if (!body) return std::unexpected(body.error());
  const auto replace = push.method == "PUT" ? Groups::Replace::group : Groups::Replace::families;
  return groups.push(labels, *body, replace, foreign_, now);
}

// ---- runs ---------------------------------------------------------------------------------------

void PushApi::publish(SampleSet& out, History& history, double now) {
  Groups& groups = history.groups();
  if (ttl_ ? groups.expire(now, *ttl_) : groups.clear()) history.change();
  if (!ttl_) return;
  read(out, groups);
  out.attach(fragment_);
  out.add(kPushDropped, dropped_);
  if (groups.size() == 0) return;
  out.check(kUnpublishedCheck, static_cast<double>(unpublished_.total()), unpublished_.text());
}

// The lines already have a label `instance`, so the constant labels are used without it.
void PushApi::read(const SampleSet& out, const Groups& groups) {
  std::string labels = out.constant_labels();
  labels.resize(std::min(labels.rfind(",instance=\""), labels.size()));
  const bool is_same = version_ == groups.version() && labels == constant_labels_;
  // A family that was in use by another publisher may be free now.
  if (is_same && unpublished_.total() == 0) return;
  static const page::Rules kRules;
  page::PageReader reader(kRules, foreign_, labels, false, fragment_);
  reader.feed(groups.page());
  fragment_ = reader.finish();
  unpublished_ = reader.dropped();
  constant_labels_ = std::move(labels);
  version_ = groups.version();
}

}  // namespace vitalsd::job
