#include "exporter/web/routes.hpp"

#include "exporter/model/gzip.hpp"
#include "exporter/model/text_format.hpp"
#include "exporter/web/events.hpp"
#include "exporter/web/filter.hpp"
#include "exporter/web/page.hpp"
#include "exporter/web/probe_page.hpp"
#include "exporter/web/status_json.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <optional>

namespace vitalsd {
namespace {

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Removes the first item, and the separator after it, from `rest`.
std::string_view next_item(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view item = trim(rest.substr(0, end));
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return item;
}

// The weight of an item of an Accept header: its "q" parameter, 1 if it has none.
double weight(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view parameter = next_item(parameters, ';');
    if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
    parameter.remove_prefix(2);
    double q = 0;
    const auto result = std::from_chars(parameter.data(), parameter.data() + parameter.size(), q);
    return result.ec == std::errc() ? q : 0;
  }
  return 1;
}

// What follows the "?" of a request target.
std::string_view query_of(std::string_view target) {
  const std::size_t at = target.find('?');
  return at == std::string_view::npos ? "" : target.substr(at + 1);
}

WebResponse plain(int status, std::string text, std::string_view route) {
  WebResponse response;
  response.status = status;
  response.body = std::move(text);
  response.route = route;
  return response;
}

std::string_view route_of(Exposition::Families families) {
  switch (families) {
    case Exposition::Families::declared:
      return "/metrics/core";
    case Exposition::Families::foreign:
      return "/metrics/relay";
    default:
      return "/metrics";
  }
}

WebResponse gather(const WebOptions& options, const WebRequest& request,
                   const Exposition::Selection& wanted, bool leading) {
  const Format format = negotiate_format(request.accept);
  Exposition::Selection selection = wanted;
  // If the probe loop hangs, all readings are stale.
  selection.readings = leading && options.healthy();
  selection.facts = leading;
  WebResponse response;
  response.route = wanted.owner ? "/probes" : route_of(wanted.families);
  response.content_type = content_type(format);
  response.gzip = accepts_gzip(request.accept_encoding);
  std::vector<Exposition::Extra> extras;
  const bool has_extras = !wanted.owner && wanted.families != Exposition::Families::foreign;
  if (has_extras) extras = options.self_metrics();
  auto page = options.exposition->page(format, selection, std::move(extras));
  if (response.gzip) {
    GzipWriter gzip;
    for (const std::string_view piece : page->pieces()) gzip.write(piece);
    response.body = gzip.finish();
  } else {
    response.page = std::move(page);
  }
  return response;
}

WebResponse metrics(const WebOptions& options, const WebRequest& request,
                    const Exposition::Selection& wanted) {
  const auto start = std::chrono::steady_clock::now();
  const bool leading = is_leader(options);
  WebResponse response = gather(options, request, wanted, leading);
  // The lease may have expired while the page was made, for example because the process was
  // suspended.
  if (leading && !is_leader(options)) response = gather(options, request, wanted, false);
  if (!wanted.owner) {
    options.on_scrape(response.route, std::chrono::steady_clock::now() - start,
                      response.page ? response.page->size() : response.body.size());
  }
  return response;
}

WebResponse html(std::string body) {
  WebResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = std::move(body);
  response.route = "/";
  response.headers.emplace_back(
      "Content-Security-Policy",
      "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-ancestors 'none'");
  return response;
}

WebResponse json(std::string body) {
  WebResponse response = plain(200, std::move(body), "/api");
  response.content_type = "application/json";
  return response;
}

// The process, without probes.
Overview process_of(const WebOptions& options) {
  Overview overview{.probes = {},
                    .version = options.version,
                    .now = std::chrono::system_clock::now(),
                    .healthy = options.healthy(),
                    .leads = is_leader(options)};
  if (options.notices) overview.notices = options.notices();
  return overview;
}

void expire_without_loop(ProbeView& probe) { expire(probe, "the probe loop does not respond"); }

// Shows of each probe what /metrics publishes: nothing on a standby replica, and no readings while
// the probe loop does not respond.
Overview overview_of(const WebOptions& options, const ProbeFilter& filter = {}) {
  Overview overview = process_of(options);
  if (overview.leads) overview.probes = options.probes();
  if (!overview.healthy) std::ranges::for_each(overview.probes, expire_without_loop);
  select_probes(overview, filter);
  return overview;
}

WebResponse status(const WebOptions& options, const WebRequest& request, bool as_json) {
  const auto filter = parse_filter(query_of(request.target));
  if (!filter) return plain(400, filter.error() + ".\n", as_json ? "/api" : "/");
  const Overview overview = overview_of(options, *filter);
  return as_json ? json(status_json(overview)) : html(status_page(overview));
}

std::size_t dropped_events(const WebOptions& options, std::string_view name) {
  return options.dropped_events ? options.dropped_events(name) : 0;
}

WebResponse events(const WebOptions& options, const WebRequest& request, bool as_json) {
  const auto filter = parse_filter(query_of(request.target));
  if (!filter) return plain(400, filter.error() + ".\n", as_json ? "/api" : "/");
  Overview overview = overview_of(options);
  overview.filter = *filter;
  EventFeed feed = select_events(options.events(""), overview.probes, *filter);
  ProbeFilter lasting = *filter;  // without what depends on the change
  lasting.states.clear();
  lasting.text.clear();
  for (const ProbeView& probe : overview.probes) {
    if (matches(lasting, probe)) feed.dropped += dropped_events(options, probe.name);
  }
  return as_json ? json(events_json(overview, feed)) : html(events_page(overview, feed));
}

std::string why_absent(const WebOptions& options, std::string_view name) {
  return options.why_absent ? options.why_absent(name) : "";
}

// The page of one probe, and its JSON.
WebResponse one_probe(const WebOptions& options, const std::string& name, std::string_view query,
                      bool as_json) {
  if (!query.empty()) {
    return plain(400, "The page of a probe has no parameters.\n", as_json ? "/api" : "/probes");
  }
  const Overview overview = process_of(options);
  if (!overview.leads) {
    return unavailable("This replica is on standby: the leader has the probes.\n",
                       as_json ? "/api" : "/probes");
  }
  std::optional<ProbeView> probe = options.probe(name);
  WebResponse response;
  if (probe) {
    if (!overview.healthy) expire_without_loop(*probe);
    const ProbeEvents events = options.events(name);
    const std::size_t dropped = dropped_events(options, name);
    response = as_json ? json(probe_json(overview, *probe, events, dropped))
                       : html(probe_page(overview, *probe, events, dropped));
  } else {
    const std::vector<ProbeView> probes = options.probes();
    const std::string why = why_absent(options, name);
    response = as_json ? json(unknown_probe_json(name, probes, why))
                       : html(unknown_probe_page(name, probes, why));
    response.status = 404;
  }
  if (!as_json) response.route = "/probes";
  return response;
}

// What is between `front` and `back`, decoded: "/probes/NAME/metrics" -> NAME.
std::optional<std::string> name_in(std::string_view path, std::string_view front,
                                   std::string_view back = "") {
  if (!path.starts_with(front) || !path.ends_with(back)) return std::nullopt;
  if (path.size() <= front.size() + back.size()) return std::nullopt;
  path = path.substr(front.size(), path.size() - front.size() - back.size());
  if (path.contains('/')) return std::nullopt;
  return decode_path(path);
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string_view path_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(std::min(target.find_first_of("/?", scheme.size()), target.size()));
    if (!target.starts_with('/')) return "/";
  }
  return target.substr(0, target.find('?'));
}

bool is_leader(const WebOptions& options) { return !options.leads || options.leads(); }

WebResponse unavailable(std::string text, std::string_view route) {
  WebResponse response = plain(503, std::move(text), route);
  response.headers.emplace_back("Retry-After", "5");
  return response;
}

Format negotiate_format(std::string_view accept) {
  double openmetrics = 0;
  double text = accept.empty() ? 1 : 0;
  while (!accept.empty()) {
    std::string_view item = next_item(accept, ',');
    const std::string_view type = next_item(item, ';');
    const double q = weight(item);
    if (equals_ignoring_case(type, "application/openmetrics-text")) {
      openmetrics = std::max(openmetrics, q);
    } else if (equals_ignoring_case(type, "text/plain") || type == "text/*" || type == "*/*") {
      text = std::max(text, q);
    }
  }
  return openmetrics > 0 && openmetrics >= text ? Format::openmetrics : Format::text;
}

bool accepts_gzip(std::string_view accept_encoding) {
  std::optional<double> gzip, any;
  while (!accept_encoding.empty()) {
    std::string_view item = next_item(accept_encoding, ',');
    const std::string_view name = next_item(item, ';');
    if (equals_ignoring_case(name, "gzip")) gzip = weight(item);
    if (name == "*") any = weight(item);
  }
  return gzip.value_or(any.value_or(0)) > 0;
}

void format_error(std::string_view target, WebResponse& response) {
  constexpr int kFirstError = 400;
  const bool is_text = response.content_type == WebResponse().content_type;
  const std::string_view path = path_of(target);
  const bool is_api = path == "/api" || path.starts_with("/api/");
  if (response.status < kFirstError || !is_text || !is_api) return;
  const std::string_view text = response.body;
  response.body = error_json(text.substr(0, text.find_last_not_of(".\n") + 1));
  response.content_type = "application/json";
}

bool is_reload(const WebOptions& options, const WebRequest& request) {
  return options.reload && request.method == "POST" && path_of(request.target) == "/-/reload";
}

bool is_health(const WebRequest& request) {
  const std::string_view path = path_of(request.target);
  return path == "/-/healthy" || path == "/-/ready";
}

WebResponse unauthorized() {
  WebResponse response;
  response.status = 401;
  response.body = "Authentication is required: send a user name and a password.\n";
  response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"vitalsd\", charset=\"UTF-8\"");
  return response;
}

WebResponse unknown_job() {
  return plain(404, "No enabled probe of the kind job has this name: / lists all probes.\n",
               "/push");
}

WebResponse respond(const WebOptions& options, const WebRequest& request) {
  const std::string_view path = path_of(request.target);
  if (path == "/-/reload") {
    if (!options.reload) {
      return plain(403, "Reload over HTTP is not enabled: set web.reload to true or send SIGHUP.\n",
                   "/-/reload");
    }
    WebResponse response = plain(405, "Use POST.\n", "/-/reload");
    response.headers.emplace_back("Allow", "POST");
    return response;
  }
  for (const std::string_view jobs : {"/api/v1/jobs/", "/metrics/job/", "/metrics/job@base64/"}) {
    if (path.starts_with(jobs)) return unknown_job();
  }
  const bool lacks_name = path == "/api/v1/jobs";  // 404 with the valid paths for all methods
  if (request.method != "GET" && request.method != "HEAD" && !lacks_name) {
    WebResponse response = plain(405, "Use GET or HEAD.\n", "other");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  if (path == "/metrics") return metrics(options, request, {});
  if (path == "/metrics/core") {
    return metrics(options, request, {.owner = {}, .families = Exposition::Families::declared});
  }
  if (path == "/metrics/relay") {
    return metrics(options, request, {.owner = {}, .families = Exposition::Families::foreign});
  }
  if (path == "/-/healthy") {
    return options.healthy() ? plain(200, "vitalsd is healthy.\n", "/-/healthy")
                             : plain(503, "The probe loop does not respond.\n", "/-/healthy");
  }
  if (path == "/-/ready") {
    return options.ready()
               ? plain(200, "vitalsd is ready.\n", "/-/ready")
               : plain(503, "Some probes have not completed their first run.\n", "/-/ready");
  }
  if (path == "/" || path == "/api/v1/status") return status(options, request, path != "/");
  if (path == "/favicon.ico") {
    WebResponse response = plain(200, favicon(verdict(overview_of(options))), "/");
    response.content_type = "image/svg+xml";
    return response;
  }
  if (path == "/events" || path == "/api/v1/events") {
    return events(options, request, path != "/events");
  }
  for (const std::string_view front : {"/api/v1/probes/", "/probes/"}) {
    if (const auto probe = name_in(path, front)) {
      return one_probe(options, *probe, query_of(request.target), front != "/probes/");
    }
  }
  if (const auto probe = name_in(path, "/probes/", "/metrics")) {
    if (options.exposition->has_owner(*probe)) return metrics(options, request, {.owner = *probe});
    if (!is_leader(options))
      return plain(503, "This replica is on standby: the leader has the metrics.\n", "/probes");
    const std::string why = why_absent(options, *probe);
    return plain(
        404,
        why.empty() ? "No probe has this name: / lists all probes.\n" : "The probe " + why + ".\n",
        "/probes");
  }
  return plain(
      404,
      "Not found. Valid paths: /, /events, /probes/NAME, /probes/NAME/metrics, /metrics, "
      "/metrics/core, /metrics/relay, /api/v1/status, /api/v1/events, /api/v1/probes/NAME, "
      "/api/v1/jobs/NAME and /metrics/job/NAME of a probe of kind job, /-/healthy "
      "and /-/ready.\n",
      "other");
}

}  // namespace vitalsd
