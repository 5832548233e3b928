#include "exporter/web/status_json.hpp"

#include "exporter/model/metric.hpp"

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
  json::array& checks = out["checks"].emplace_array();
  for (const CheckView& check : probe.checks) checks.push_back(to_json(check));
  return out;
}

}  // namespace

std::string status_json(const Overview& overview) {
  json::object document;
  document["version"] = overview.version;
  document["time"] = iso_time(overview.now);
  document["state"] = verdict_name(verdict(overview));
  document["healthy"] = overview.healthy;
  document["leads"] = overview.leads;
  document["notices"] = json::array(overview.notices.begin(), overview.notices.end());
  json::array& list = document["probes"].emplace_array();
  for (const ProbeView& probe : overview.probes) list.push_back(to_json(probe));
  return json::serialize(document) + '\n';
}

}  // namespace vitalsd
