#include "probes/prometheus/answers.hpp"

#include "exporter/model/text_format.hpp"

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

namespace vitalsd::prometheus {

void Names::add(std::string name) {
  if (++count_ <= kMaxNames) first_.push_back(std::move(name));
}

std::string Names::text() const {
  std::string out;
  for (const std::string& name : first_) out += (out.empty() ? "" : ", ") + name;
  if (count_ > first_.size()) out += " and " + std::to_string(count_ - first_.size()) + " more";
  return out;
}

void Targets::text(std::string_view path, std::string_view text) {
  if (path == "/data/activeTargets/labels/job") job_ = text;
  if (path == "/data/activeTargets/labels/instance") instance_ = text;
  if (path == "/data/activeTargets/health") health_ = text;
}

void Targets::object_ended(std::string_view path) {
  constexpr std::size_t kMaxJobs = 10'000;
  if (path != "/data/activeTargets") return;
  if (jobs_.size() == kMaxJobs && !jobs_.contains(job_)) {
    throw ProbeError(Reason::protocol, "the targets have more than 10,000 jobs");
  }
  Job& job = jobs_[job_];
  if (health_ == "up") {
    ++job.up;
  } else if (health_ == "down") {
    ++job.down;
    down_.add(job_ + ' ' + instance_);
  } else {
    ++job.unknown;
  }
  job_.clear();
  instance_.clear();
  health_.clear();
}

void Rules::text(std::string_view path, std::string_view text) {
  if (path == "/data/groups/rules/name") name_ = text;
  if (path == "/data/groups/rules/health") health_ = text;
  if (path == "/data/groups/rules/lastError") error_ = text;
  if (path == "/data/groups/rules/type" && text == "alerting") has_alerts_ = true;
}

void Rules::object_ended(std::string_view path) {
  if (path != "/data/groups/rules") return;
  const auto known = by_health_.find(health_);
  ++(known == by_health_.end() ? by_health_["unknown"] : known->second);
  if (health_ == "err") {
    constexpr std::size_t kMaxError = 120;
    failing_.add(name_ + (error_.empty() ? "" : ": " + shown_text(error_, kMaxError)));
  }
  name_.clear();
  health_.clear();
  error_.clear();
}

void Alertmanagers::text(std::string_view path, std::string_view) {
  if (path == "/data/activeAlertmanagers/url") ++active_;
  if (path == "/data/droppedAlertmanagers/url") ++dropped_;
}

void QueryResult::text(std::string_view path, std::string_view text) {
  if (path == "/data/resultType") type_ = text;
  // A scalar is a list of time and value; a sample of a vector contains such a list as its value.
  if (path == "/data/result" || path == "/data/result/value") value_ = text;
}

void QueryResult::object_ended(std::string_view path) {
  if (path == "/data/result") ++samples_;
}

std::optional<double> QueryResult::value() const {
  if (type_ != "vector" && type_ != "scalar") {
    if (type_.empty()) throw ProbeError(Reason::protocol, "the response has no resultType");
    throw ProbeError(Reason::config, "the result is a " + type_ +
                                         ", not a number: write an expression with one value, for "
                                         "example sum(rate(NAME[5m])) instead of NAME[5m]");
  }
  if (samples_ > 1) {
    throw ProbeError(Reason::config, "the result has " + std::to_string(samples_) +
                                         " samples, not one: aggregate them, for example with "
                                         "sum(...) or max(...)");
  }
  if (type_ == "vector" && samples_ == 0) return std::nullopt;
  if (value_.empty()) {
    throw ProbeError(Reason::config,
                     "the result has no number: histograms are not supported, "
                     "use for example histogram_quantile(...)");
  }
  double number = 0;
  const char* begin = value_.data() + (value_.starts_with('+') ? 1 : 0);
  const char* end = value_.data() + value_.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || stop != end) {
    throw ProbeError(Reason::protocol, "the value of the result is not a number");
  }
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

}  // namespace vitalsd::prometheus
