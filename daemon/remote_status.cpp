#include "daemon/remote_status.hpp"

#include "config/scalar.hpp"
#include "daemon/http_get.hpp"
#include "daemon/units.hpp"
#include "exporter/model/check.hpp"
#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <optional>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace vitalsd {
namespace {

namespace json = boost::json;
using Time = ProbeView::Time;

// What is missing, or has another type, is left as it is.
class Reader {
 public:
  explicit Reader(RemoteStatus& status) : status_(status) {}

  void read(const json::object& document) {
    Overview& out = status_.overview;
    out.version = kept(text(document, "version"));
    out.now = time(document, "time").value_or(Time());
    out.healthy = flag(document, "healthy");
    out.leads = flag(document, "leads");
    for (const json::value& notice : list(document, "notices")) {
      if (!notice.is_string()) continue;
      out.notices.push_back(shown_lines(std::string_view(notice.as_string()), kMaxText));
    }
    for (const json::value& each : list(document, "probes")) {
      if (each.is_object()) out.probes.push_back(probe(each.as_object()));
    }
  }

 private:
  static constexpr std::size_t kMaxText = 10'000;

  // As it is sent: it may contain control characters, which could change the terminal.
  static std::string_view raw(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_string()) return {};
    return {value->as_string().data(), value->as_string().size()};
  }
  static std::string text(const json::object& object, std::string_view key) {
    return shown_text(raw(object, key), kMaxText);
  }
  static bool flag(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value == nullptr || !value->is_bool() || value->as_bool();
  }
  static std::optional<double> number(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_number()) return std::nullopt;
    return value->to_number<double>();
  }
  static const json::array& list(const json::object& object, std::string_view key) {
    static const json::array kNone;
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_array() ? value->as_array() : kNone;
  }
  static std::optional<Time> time(const json::object& object, std::string_view key) {
    std::tm utc{};
    const char* const end = strptime(text(object, key).c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (end == nullptr) return std::nullopt;
    return std::chrono::system_clock::from_time_t(timegm(&utc));
  }
  static std::chrono::milliseconds duration(const json::object& object, std::string_view key) {
    constexpr double kMax = 1e9;  // seconds
    const double seconds = std::clamp(number(object, key).value_or(0), 0.0, kMax);
    return std::chrono::round<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
  }

  std::string_view kept(std::string text) { return *status_.texts.insert(std::move(text)).first; }

  static CheckView check(const json::object& object) {
    CheckView out;
    out.name = text(object, "name");
    out.object = text(object, "object");
    const std::string state = text(object, "state");
    out.status = state == "critical" ? Status::critical
                 : state == "ok"     ? Status::ok
                                     : Status::warning;
    for (const Unit unit : {Unit::seconds, Unit::bytes, Unit::ratio}) {
      if (text(object, "unit") == unit_name(unit)) out.unit = unit;
    }
    out.value = number(object, "reading").value_or(std::numeric_limits<double>::quiet_NaN());
    out.reading = format_reading(out.unit, out.value);
    out.limit = number(object, "threshold");
    out.worse = text(object, "worse") == "below" ? Worse::below : Worse::above;
    const std::string limit_state = text(object, "threshold_state");
    out.limit_status = limit_state == "critical" || (limit_state.empty() && state == "critical")
                           ? Status::critical
                           : Status::warning;
    if (out.limit) {
      const Check shown{
          .name = {}, .unit = out.unit, .worse = out.worse, .warn = {}, .critical = {}, .help = {}};
      const bool is_critical = out.limit_status == Status::critical;
      out.threshold = format_threshold(
          shown, is_critical ? Thresholds{{}, out.limit} : Thresholds{out.limit, {}},
          out.limit_status);
    }
    return out;
  }

  // The verdict on the result is that of the document.
  static ProbeView::State state(std::string_view reason, std::string_view verdict) {
    if (reason == "pending") return ProbeView::State::pending;
    if (reason == "stale") return ProbeView::State::stale;
    if (!reason.empty()) return ProbeView::State::failed;
    return verdict == "unknown" ? ProbeView::State::pending : ProbeView::State::ok;
  }

  ProbeView probe(const json::object& object) {
    ProbeView out;
    out.name = text(object, "name");
    out.kind = kept(text(object, "kind"));
    out.target = text(object, "target");
    if (const json::value* labels = object.if_contains("labels");
        labels != nullptr && labels->is_object()) {
      for (const auto& [name, unused] : labels->as_object()) {
        out.labels.emplace_back(shown_text(name, kMaxText), text(labels->as_object(), name));
      }
    }
    out.interval = duration(object, "interval_seconds");
    out.reason = kept(text(object, "reason"));
    out.detail = text(object, "error");
    out.message = shown_lines(raw(object, "message"), kMaxText);
    out.since = time(object, "since");
    out.last_run = time(object, "last_run");
    out.last_success = time(object, "last_success");
    out.down_since = time(object, "down_since");
    out.next_run = time(object, "next_run");
    out.duration_seconds = number(object, "duration_seconds").value_or(0);
    for (const json::value& each : list(object, "checks")) {
      if (each.is_object()) out.checks.push_back(check(each.as_object()));
    }
    out.state = state(out.reason, text(object, "state"));
    const bool is_told = text(object, "state") == verdict_name(verdict(out));
    if (!is_told && text(object, "state") == "critical") out.state = ProbeView::State::failed;
    return out;
  }

  RemoteStatus& status_;
};

// The error of the API, or the first line of another text.
std::string error_of(std::string_view body) {
  constexpr std::size_t kMax = 200;
  boost::system::error_code error;
  const json::value document = json::parse(body, error);
  if (!error && document.is_object()) {
    const json::value* const text = document.as_object().if_contains("error");
    if (text != nullptr && text->is_string()) {
      return shown_text(std::string_view(text->as_string()), kMax);
    }
  }
  return shown_text(body.substr(0, body.find('\n')), kMax);
}

}  // namespace

std::expected<std::unique_ptr<RemoteStatus>, std::string> parse_status(std::string_view text) {
  boost::system::error_code error;
  const json::value document = json::parse(text, error);
  if (error || !document.is_object() || !document.as_object().contains("probes")) {
    return std::unexpected("the response is not the status of vitalsd");
  }
  auto status = std::make_unique<RemoteStatus>();
  Reader(*status).read(document.as_object());
  return status;
}

std::expected<std::unique_ptr<RemoteStatus>, std::string> fetch_status(const std::string& url,
                                                                       const std::string& ca) {
  const auto parsed = parse_http_url(url);
  if (!parsed) return std::unexpected(parsed.error());
  if (!parsed->password.empty()) {
    return std::unexpected(
        "a password on the command line is easily disclosed: set the environment variable "
        "VITALSD_PASSWORD");
  }
  constexpr std::string_view kPath = "/api/v1/status";
  constexpr std::size_t kMaxBody = std::size_t{64} << 20;  // 10,000 probes are 5 MiB
  net::HttpRequest request;
  request.url = *parsed;
  request.url.query.clear();
  while (request.url.path.ends_with('/')) request.url.path.pop_back();
  if (!request.url.path.ends_with(kPath)) request.url.path += kPath;
  request.user = parsed->user;
  if (const char* password = std::getenv("VITALSD_PASSWORD")) request.password = password;
  request.tls.ca = ca;
  request.max_body = kMaxBody;
  request.limit = std::chrono::seconds(10);
  const std::string prefix = request.url.text() + ": ";
  const auto response = http_get(request);
  if (!response) return std::unexpected(prefix + response.error());
  constexpr int kOk = 200;
  if (response->status != kOk) {
    return std::unexpected(prefix + "status " + std::to_string(response->status) + ": " +
                           error_of(response->body));
  }
  auto status = parse_status(response->body);
  if (!status) return std::unexpected(prefix + status.error());
  return status;
}

}  // namespace vitalsd
