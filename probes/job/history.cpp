#include "probes/job/history.hpp"

#include "probes/saved_number.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace vitalsd::job {

namespace json = boost::json;

namespace {

constexpr int kUnavailable = 503;

// Throws if it is neither a time before the year 10000 nor a count.
std::optional<double> to_number(const json::object& object, std::string_view key) {
  constexpr double kMax = 253402300800;
  const json::value* const value = object.if_contains(json::string_view(key.data(), key.size()));
  if (value == nullptr) return std::nullopt;
  const double number = read_saved_number(*value);
  if (!(number >= 0 && number < kMax)) throw std::out_of_range(std::string(key));
  return number;
}

}  // namespace

History::~History() {
  for (const Waiting& waiting : std::exchange(waiting_, {})) {
    waiting.answer(gone());
  }
}

void History::record(const Ping& ping, std::string message, double now, Receiver::Answer answer) {
  if (is_full()) {
    answer(busy());
    return;
  }
  if (apply(ping, now)) {
    ++version_;
    // The start of a run without a message keeps the message of the last run.
    if (!message.empty() || ping.kind != Ping::Kind::start) facts_.message = std::move(message);
    drop_old_runs();
  }
  answer_when_saved({200, "OK\n"}, std::move(answer));
}

void History::answer_when_saved(PushAnswer saved, Receiver::Answer answer) {
  if (version_ == saved_version_) {
    answer(std::move(saved));  // a repetition
  } else {
    waiting_.push_back({version_, std::move(saved), std::move(answer)});
  }
}

// Returns whether anything has changed.
bool History::apply(const Ping& ping, double now) {
  if (ended_start_ > now) ended_start_ = now;  // the clock has been set back
  Run& run = run_of(ping);
  if (run.has_ended || (ping.kind == Ping::Kind::start && run.start)) return false;
  if (ping.kind == Ping::Kind::start) {
    run.start = facts_.last_start = now;
  } else {
    end(run, ping, now);
  }
  return true;
}

// The run that a request belongs to. Without a run ID, a start begins a new run, and an end belongs
// to the run that was started last.
History::Run& History::run_of(const Ping& ping) {
  const auto belongs = [&](const Run& run) {
    if (run.id != ping.run_id) return false;
    return !ping.run_id.empty() || (ping.kind != Ping::Kind::start && !run.has_ended);
  };
  const auto found = std::find_if(runs_.rbegin(), runs_.rend(), belongs);
  return found != runs_.rend() ? *found : runs_.emplace_back(Run{.id = ping.run_id, .start = {}});
}

void History::end(Run& run, const Ping& ping, double now) {
  const bool succeeded = ping.kind == Ping::Kind::success;
  run.has_ended = true;
  ended_start_ = std::max(ended_start_.value_or(0), run.start.value_or(now));
  facts_.last_duration = std::nullopt;  // unknown if the clock has been set back
  if (run.start && *run.start <= now) facts_.last_duration = now - *run.start;
  facts_.last_exit_code = ping.exit_code;
  (succeeded ? facts_.last_success : facts_.last_failure) = now;
  ++facts_.counts[succeeded ? 0 : 1];
  facts_.failures_in_a_row = succeeded ? 0 : facts_.failures_in_a_row + 1;
}

bool History::is_over(const Run& run) const {
  return run.has_ended || !run.start || (ended_start_ && *run.start < *ended_start_);
}

// Keeps the runs whose requests may be repeated, and the oldest run that has not ended.
void History::drop_old_runs() {
  std::erase_if(runs_, [&](const Run& run) { return run.id.empty() && is_over(run); });
  while (runs_.size() > kMaxRuns) {
    const auto over = std::ranges::find_if(runs_, [&](const Run& run) { return is_over(run); });
    runs_.erase(over != runs_.end() ? over : runs_.begin() + 1);
  }
}

std::optional<double> History::running_since() const {
  std::optional<double> oldest;
  for (const Run& run : runs_) {
    if (is_over(run)) continue;
    oldest = std::min(oldest.value_or(*run.start), *run.start);
  }
  return oldest;
}

double History::last_heard(double now) {
  if (known_since_ > now) {
    known_since_ = now;
    ++version_;
  }
  double last = known_since_;
  for (const auto& time : {facts_.last_start, facts_.last_success, facts_.last_failure}) {
    if (time && *time <= now) last = std::max(last, *time);
  }
  return last;
}

// ---- notes --------------------------------------------------------------------------------------

std::string History::serialize() {
  serialized_version_ = version_;
  serialized_counts_ = facts_.counts;
  json::object root;
  const auto put = [](json::object& object, std::string_view key,
                      const std::optional<double>& value) {
    if (value) object[json::string_view(key.data(), key.size())] = saved_number(*value);
  };
  put(root, "known_since", known_since_);
  put(root, "last_start", facts_.last_start);
  put(root, "last_success", facts_.last_success);
  put(root, "last_failure", facts_.last_failure);
  put(root, "last_duration", facts_.last_duration);
  put(root, "last_exit_code", facts_.last_exit_code);
  put(root, "succeeded", facts_.counts[0]);
  put(root, "failed", facts_.counts[1]);
  put(root, "failures_in_a_row", facts_.failures_in_a_row);
  put(root, "ended_start", ended_start_);
  root["message"] = facts_.message;
  json::array& runs = root["runs"].emplace_array();
  for (const Run& run : runs_) {
    json::object& entry = runs.emplace_back(json::object()).as_object();
    entry["id"] = run.id;
    put(entry, "start", run.start);
    entry["has_ended"] = run.has_ended;
  }
  if (groups_.size() > 0) root["groups"] = groups_.to_json();
  return json::serialize(root);
}

// Answers the requests whose effect was in the text that serialize() returned.
void History::settle(bool saved) {
  if (saved) saved_version_ = serialized_version_;
  published_ = serialized_counts_;
  const auto rest = std::ranges::partition(
      waiting_, [&](const Waiting& waiting) { return waiting.version > serialized_version_; });
  std::vector<Waiting> done(std::make_move_iterator(rest.begin()),
                            std::make_move_iterator(rest.end()));
  waiting_.erase(rest.begin(), rest.end());
  for (const Waiting& waiting : done) {
    waiting.answer(saved ? waiting.saved
                         : PushAnswer{kUnavailable, "The state cannot be saved: retry.\n"});
  }
}

// The state is used without the groups if these are invalid.
void History::restore_groups(const json::value& saved) {
  try {
    groups_.restore(saved);
  } catch (const std::exception&) {
    groups_.clear();
  }
}

void History::restore(std::string_view text) {
  Facts facts;
  std::deque<Run> runs;
  try {
    const json::value document = json::parse(json::string_view(text.data(), text.size()));
    const json::object& root = document.as_object();
    facts = {.last_start = to_number(root, "last_start"),
             .last_success = to_number(root, "last_success"),
             .last_failure = to_number(root, "last_failure"),
             .last_duration = to_number(root, "last_duration"),
             .last_exit_code = to_number(root, "last_exit_code"),
             .counts = {to_number(root, "succeeded").value(), to_number(root, "failed").value()},
             .failures_in_a_row = to_number(root, "failures_in_a_row").value(),
             .message = std::string(root.at("message").as_string())};
    for (const json::value& value : root.at("runs").as_array()) {
      const json::object& entry = value.as_object();
      runs.push_back({.id = std::string(entry.at("id").as_string()),
                      .start = to_number(entry, "start"),
                      .has_ended = entry.at("has_ended").as_bool()});
    }
    known_since_ = to_number(root, "known_since").value();
    ended_start_ = to_number(root, "ended_start");
    if (const json::value* const groups = root.if_contains("groups")) restore_groups(*groups);
  } catch (const std::exception&) {  // another format, or damaged: the same as a first start
    return;
  }
  facts_ = std::move(facts);
  runs_ = std::move(runs);
  drop_old_runs();
  serialized_counts_ = published_ = facts_.counts;
  ++version_;  // the text may be that of a probe which was replaced before it was saved
}

}  // namespace vitalsd::job
