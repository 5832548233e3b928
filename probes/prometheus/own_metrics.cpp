#include "probes/prometheus/own_metrics.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

namespace vitalsd::prometheus {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxLine = 16 * 1024;
constexpr std::size_t kMaxAlertmanagers = 1000;

// The value of a line `NAME{LABELS} VALUE`, without a timestamp.
std::optional<double> value_of(std::string_view line) {
  const std::size_t labels_end = line.rfind('}');
  const std::size_t space = line.find(' ', labels_end == line.npos ? 0 : labels_end);
  if (space == line.npos) return std::nullopt;
  const std::string_view text = line.substr(space + 1, line.find_last_not_of("\r ") - space);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

// Returns the value of a label without unescaping it, because a URL contains no characters that
// need escaping.
std::string_view label_of(std::string_view line, std::string_view name) {
  const std::size_t at = line.find(std::string(name) + "=\"");
  if (at == line.npos) return {};
  const std::string_view rest = line.substr(at + name.size() + 2);
  return rest.substr(0, rest.find('"'));
}

// The URL without user information and query, which may contain secrets.
std::string shown_url(std::string_view url) {
  url = url.substr(0, url.find('?'));
  const std::size_t scheme = url.find("://");
  if (scheme == url.npos) return std::string(url);
  const std::size_t begin = scheme + 3;
  const std::string_view authority = url.substr(begin, url.find('/', begin) - begin);
  const std::size_t at = authority.rfind('@');
  if (at == authority.npos) return std::string(url);
  return std::string(url.substr(0, begin)) + std::string(url.substr(begin + at + 1));
}

}  // namespace

void OwnMetrics::feed(std::string_view bytes) {
  if (bytes.size() > kMaxBytes - size_) {
    throw ProbeError(Reason::protocol, "the page /metrics is larger than 64 MiB");
  }
  size_ += bytes.size();
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, bytes.find('\n'));
    const bool is_end = piece.size() < bytes.size();
    if (line_.size() + piece.size() > kMaxLine) skipping_ = true;
    if (!skipping_) line_ += piece;
    if (is_end) {
      if (!skipping_) take(line_);
      line_.clear();
      skipping_ = false;
    }
    bytes.remove_prefix(piece.size() + (is_end ? 1 : 0));
  }
}

void OwnMetrics::finish() {
  if (!skipping_) take(line_);
  line_.clear();
  if (!dropped_) {
    throw ProbeError(Reason::mismatch,
                     "the page /metrics has no prometheus_notifications_dropped_total, so this is "
                     "not a Prometheus that sends alerts: set alerting: false");
  }
}

OwnMetrics::Notifications OwnMetrics::sums() const {
  Notifications sums;
  for (const auto& [url, notifications] : notifications_) {
    sums.sent += notifications.sent;
    sums.errors += notifications.errors;
  }
  return sums;
}

void OwnMetrics::take(std::string_view line) {
  if (!line.starts_with("prometheus_")) return;  // most lines
  const std::string_view name = line.substr(0, line.find_first_of("{ "));
  const std::optional<double> value = value_of(line);
  if (!value) return;
  if (name == "prometheus_notifications_sent_total") of(line).sent += *value;
  if (name == "prometheus_notifications_errors_total") of(line).errors += *value;
  if (name == "prometheus_notifications_dropped_total") dropped_ = dropped_.value_or(0) + *value;
  if (name == "prometheus_rule_evaluation_failures_total") rule_failures_ += *value;
}

OwnMetrics::Notifications& OwnMetrics::of(std::string_view line) {
  const std::string url = shown_url(label_of(line, "alertmanager"));
  if (notifications_.size() == kMaxAlertmanagers && !notifications_.contains(url)) {
    throw ProbeError(Reason::protocol, "the page /metrics has more than 1,000 Alertmanagers");
  }
  return notifications_[url];
}

std::optional<double> RecentIncrease::update(Clock::time_point now, double value) {
  constexpr std::chrono::seconds kResolution{1};  // so that a short interval needs no more memory
  if (points_.empty()) {
    points_.push_back({now, 0});
    last_ = value;
    return value == 0 ? std::optional(0.0) : std::nullopt;
  }
  const double increase = value >= last_ ? value - last_ : value;
  const double total = points_.back().total + increase;
  last_ = value;
  if (points_.size() > 1 && now - points_[points_.size() - 2].time < kResolution) {
    points_.back() = {now, total};
  } else {
    points_.push_back({now, total});
  }
  while (points_.size() > 2 && points_[1].time <= now - kWindow) points_.pop_front();
  return total - points_.front().total;
}

std::optional<double> Undelivered::update(Clock::time_point now,
                                          const OwnMetrics::Notifications& sums, double dropped) {
  constexpr std::chrono::minutes kForgotten{10};  // alerts are sent again each minute by default
  const std::optional<Values> previous = std::exchange(previous_, Values{sums, dropped});
  if (!previous) return dropped == 0 ? std::optional(0.0) : std::nullopt;
  // A counter that has decreased was reset to 0.
  const bool has_dropped =
      dropped > previous->dropped || (dropped < previous->dropped && dropped > 0);
  if (has_dropped) {
    if (!first_) first_ = now;
    last_ = now;
  } else {
    const bool has_delivered =
        sums.sent != previous->sums.sent && sums.errors == previous->sums.errors;
    if (has_delivered || now - last_ > kForgotten) first_.reset();
  }
  return first_ ? std::chrono::duration<double>(last_ - *first_).count() : 0;
}

}  // namespace vitalsd::prometheus
