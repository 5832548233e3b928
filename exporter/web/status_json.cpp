#include "exporter/web/status_json.hpp"

#include "exporter/model/metric.hpp"
#include "exporter/web/runbooks.hpp"

#include <cmath>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace vitalsd {
namespace {

namespace json = boost::json;

json::value number(double value) {
  return std::isfinite(value) ? json::value(value) : json::value(nullptr);
}

json::object to_json(const CheckView& check) {
  json::object out;
  out["name"] = check.name;
  out["state"] = verdict_name(verdict(check));
  out["reading"] = number(check.value);
  if (check.unit != Unit::none) out["unit"] = unit_name(check.unit);
  if (!check.object.empty()) out["object"] = check.object;
  if (check.limit) {
    out["threshold"] = number(*check.limit);
    out["threshold_state"] = status_name(check.limit_status);
    out["worse"] = check.worse == Worse::above ? "above" : "below";
  }
  return out;
}

json::object to_json(const ProbeView& probe) {
  json::object out;
  out["name"] = probe.name;
  out["kind"] = probe.kind;
  out["target"] = probe.target;
  json::object& labels = out["labels"].emplace_object();
  for (const auto& [name, value] : probe.labels) labels[name] = value;
  out["interval_seconds"] = std::chrono::duration<double>(probe.interval).count();
  out["state"] = verdict_name(verdict(probe));
  if (probe.since) out["since"] = iso_time(*probe.since);
  if (!probe.reason.empty()) {
    out["reason"] = probe.reason;
    out["error"] = probe.detail;
  }
  if (!probe.message.empty()) out["message"] = probe.message;
  if (probe.last_run) {
    out["last_run"] = iso_time(*probe.last_run);
    out["duration_seconds"] = probe.duration_seconds;
  }
  if (probe.last_success) out["last_success"] = iso_time(*probe.last_success);
  if (probe.down_since) out["down_since"] = iso_time(*probe.down_since);
  if (probe.next_run) out["next_run"] = iso_time(*probe.next_run);
  json::array& checks = out["checks"].emplace_array();
  for (const CheckView& check : probe.checks) checks.push_back(to_json(check));
  return out;
}

// A check without a reading any more has only its name.
json::object to_json(const ProbeEvent& event) {
  json::object out;
  out["time"] = iso_time(event.time);
  out["probe"] = event.probe;
  out["event"] = event_name(event.what);
  out["state"] = verdict_name(event.state);
  if (!event.reason.empty()) out["reason"] = event.reason;
  if (!event.text.empty()) out["error"] = event.text;
  if (event.after) {
    out["after_seconds"] = std::chrono::duration<double>(*event.after).count();
  }
  if (event.check && event.check_state != Verdict::unknown) {
    out["check"] = to_json(*event.check);
  } else if (event.check) {
    out["check"] = {{"name", event.check->name}, {"state", verdict_name(event.check_state)}};
  }
  return out;
}

json::object head(const Overview& overview) {
  json::object document;
  document["version"] = overview.version;
  document["time"] = iso_time(overview.now);
  document["healthy"] = overview.healthy;
  document["leads"] = overview.leads;
  document["notices"] = json::array(overview.notices.begin(), overview.notices.end());
  return document;
}

}  // namespace

std::string status_json(const Overview& overview) {
  json::object document = head(overview);
  document["state"] = verdict_name(verdict(overview));
  json::array& list = document["probes"].emplace_array();
  for (const ProbeView& probe : overview.probes) list.push_back(to_json(probe));
  return json::serialize(document) + '\n';
}

std::string probe_json(const Overview& overview, const ProbeView& probe, const ProbeEvents& events,
                       std::size_t dropped) {
  json::object document = head(overview);
  json::object& row = document["probe"].emplace_object();
  row = to_json(probe);
  row["timeout_seconds"] = std::chrono::duration<double>(probe.timeout).count();
  if (probe.options) {
    json::object& options = row["options"].emplace_object();
    for (const auto& [name, value] : *probe.options) options[name] = value;
  }
  json::array& rules = row["rules"].emplace_array();
  for (const std::string_view rule : failing_rules(probe)) {
    rules.push_back({{"name", rule}, {"runbook", runbook_url(rule)}});
  }
  json::array& list = document["events"].emplace_array();
  for (const auto& event : events) list.push_back(to_json(*event));
  document["dropped"] = dropped;
  return json::serialize(document) + '\n';
}

std::string unknown_probe_json(std::string_view name, const std::vector<ProbeView>& probes,
                               std::string_view why) {
  json::object document;
  const std::string quoted = '\'' + std::string(name) + '\'';
  document["error"] = why.empty() ? "no probe has the name " + quoted
                                  : "the probe " + quoted + ' ' + std::string(why);
  json::array& names = document["probes"].emplace_array();
  for (const ProbeView& probe : probes) names.push_back(json::value(probe.name));
  return json::serialize(document) + '\n';
}

std::string error_json(std::string_view text) {
  return json::serialize(json::object{{"error", text}}) + '\n';
}

std::string events_json(const Overview& overview, const EventFeed& feed) {
  json::object document = head(overview);
  document["older"] = feed.older;
  document["dropped"] = feed.dropped;
  json::array& list = document["events"].emplace_array();
  for (const EventFeed::Entry& entry : feed.entries) {
    json::object event = to_json(*entry.event);
    event["kind"] = entry.kind;
    list.push_back(std::move(event));
  }
  return json::serialize(document) + '\n';
}

}  // namespace vitalsd
