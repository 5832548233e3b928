#include "exporter/web/routes.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "unit/support/page.hpp"
#include "unit/support/web.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

class RoutesTest : public testing::Test {
 protected:
  WebResponse get(std::string_view target) { return send("GET", target); }
  WebResponse send(std::string_view method, std::string_view target) {
    return respond(daemon.options, {method, target, accept, accept_encoding});
  }

  test::WebDaemon daemon;
  std::string_view accept;
  std::string_view accept_encoding;
};

std::string body(const WebResponse& response) {
  return response.page ? test::text_of(*response.page) : response.body;
}

// The value of a response header; empty if it is missing.
std::string header(const WebResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

constexpr std::string_view kOpenMetrics =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
constexpr std::string_view kText = "text/plain; version=0.0.4; charset=utf-8";

TEST_F(RoutesTest, MetricsShowsAllProbesAndTheProcess) {
  const WebResponse response = get("/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, kText);
  EXPECT_EQ(response.route, "/metrics");
  EXPECT_TRUE(body(response).contains("connections{probe=\"db\"} 7\n"));
  EXPECT_TRUE(body(response).contains("connections{probe=\"cache\"} 7\n"));
  EXPECT_TRUE(body(response).contains("vitalsd_probes 2\n"));
  EXPECT_EQ(daemon.scraped_bytes, body(response).size());
}

TEST_F(RoutesTest, CoreHasNoForeignFamiliesAndRelayHasThemAlone) {
  const std::string core = body(get("/metrics/core"));
  EXPECT_TRUE(core.contains("connections{probe=\"db\"} 7\n"));
  EXPECT_TRUE(core.contains("vitalsd_probes 2\n"));
  EXPECT_EQ(body(get("/metrics/relay")), "");  // nothing is relayed
  EXPECT_EQ(get("/metrics/relay/x").status, 404);
}

TEST_F(RoutesTest, MetricsSupportsOpenMetrics) {
  accept = "application/openmetrics-text;version=1.0.0";
  const WebResponse response = get("/metrics");
  EXPECT_EQ(response.content_type, kOpenMetrics);
  EXPECT_TRUE(body(response).ends_with("# EOF\n"));
}

TEST_F(RoutesTest, MetricsIsCompressedForClientsThatAcceptGzip) {
  accept_encoding = "gzip";
  const WebResponse response = get("/metrics");
  EXPECT_TRUE(response.gzip);
  EXPECT_TRUE(body(response).starts_with("\x1f\x8b"));
  EXPECT_EQ(daemon.scraped_bytes, body(response).size());
}

TEST_F(RoutesTest, MetricsOmitsReadingsWhileTheLoopHangs) {
  daemon.healthy = false;
  const WebResponse response = get("/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_FALSE(body(response).contains("connections"));
  EXPECT_TRUE(body(response).contains("cert_expiry{probe=\"db\"} 1767225600\n"));
  EXPECT_TRUE(body(response).contains("vitalsd_probes 2\n"));
  EXPECT_FALSE(body(get("/probes/db/metrics")).contains("connections"));
}

TEST_F(RoutesTest, MetricsIgnoresTheQuery) { EXPECT_EQ(get("/metrics?x=/y").status, 200); }

TEST_F(RoutesTest, AcceptsAbsoluteUrlsAsTargets) {
  for (const char* target : {"http://h/metrics", "HTTP://h:9747/metrics?x", "https://h/metrics"}) {
    EXPECT_EQ(get(target).route, "/metrics") << target;
  }
  for (const char* target : {"http://h", "http://h/", "http://h?x=/metrics", "http://"}) {
    EXPECT_EQ(get(target).route, "/") << target;
  }
  EXPECT_TRUE(is_health({"GET", "http://h/-/healthy", "", ""}));
  EXPECT_FALSE(is_health({"GET", "http://h/metrics?/-/healthy", "", ""}));
  EXPECT_EQ(get("ftp://h/metrics").status, 404);
}

TEST_F(RoutesTest, ProbeMetricsShowOneProbe) {
  const WebResponse response = get("/probes/db/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.route, "/probes");
  EXPECT_TRUE(body(response).contains("connections{probe=\"db\"} 7\n"));
  EXPECT_FALSE(body(response).contains("cache"));
  EXPECT_FALSE(body(response).contains("vitalsd_probes"));
  EXPECT_EQ(daemon.scraped_bytes, 0U);
}

TEST_F(RoutesTest, UnknownProbesAreNotFound) {
  EXPECT_EQ(get("/probes/nobody/metrics").status, 404);
  EXPECT_EQ(get("/probes/nobody/metrics").body, "No probe has this name: / lists all probes.\n");
  for (const char* target : {"/probes/metrics", "/probes//metrics", "/probes/db/", "/probes/",
                             "/api/v1/probes/", "/api/v1/probes/db/x"}) {
    EXPECT_EQ(get(target).status, 404) << target;
  }
}

class ProbeRoutesTest : public RoutesTest {
 protected:
  ProbeRoutesTest() {
    for (const char* name : {"cache", "db"}) {
      ProbeView& view = daemon.views.emplace_back();
      view.name = name;
      view.kind = name == std::string_view("db") ? "postgres" : "redis";
      view.state = ProbeView::State::failed;
      view.reason = "connect";
      view.detail = "refused";
      daemon.events.push_back(std::make_shared<const ProbeEvent>(ProbeEvent{
          .probe = name, .state = Verdict::critical, .text = name + std::string(" is gone")}));
    }
  }
};

TEST_F(ProbeRoutesTest, EachProbeHasAPage) {
  const WebResponse response = get("/probes/%64b");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(response.route, "/probes");
  EXPECT_TRUE(header(response, "Content-Security-Policy").starts_with("default-src 'none'"));
  EXPECT_TRUE(body(response).contains("<h1><b class=critical>critical</b>: db</h1>"));
  EXPECT_TRUE(body(response).contains("db is gone"));
  EXPECT_FALSE(body(response).contains("cache is gone"));
  const WebResponse json = get("/api/v1/probes/db");
  EXPECT_EQ(json.content_type, "application/json");
  EXPECT_EQ(json.route, "/api");
  EXPECT_TRUE(body(json).contains("\"name\":\"db\""));
  EXPECT_FALSE(body(json).contains("cache"));
}

TEST_F(ProbeRoutesTest, AnUnknownProbeIsAnsweredWithTheNamesThatExist) {
  const WebResponse page = get("/probes/d%3Cb");
  EXPECT_EQ(page.status, 404);
  EXPECT_EQ(page.route, "/probes");
  EXPECT_TRUE(body(page).contains("No probe has the name d&lt;b"));
  EXPECT_TRUE(body(page).contains("<a href=\"cache\">cache</a>"));
  const WebResponse json = get("/api/v1/probes/nobody");
  EXPECT_EQ(json.status, 404);
  EXPECT_EQ(json.content_type, "application/json");
  EXPECT_EQ(body(json),
            "{\"error\":\"no probe has the name 'nobody'\",\"probes\":[\"cache\",\"db\"]}\n");
}

TEST_F(ProbeRoutesTest, AProbeThatIsDisabledIsNoUnknownName) {
  daemon.options.why_absent = [](std::string_view name) {
    return std::string(name == "off" ? "is disabled" : "");
  };
  EXPECT_TRUE(body(get("/probes/off")).contains("<h1>The probe off is disabled</h1>"));
  EXPECT_TRUE(body(get("/api/v1/probes/off")).contains("the probe 'off' is disabled"));
  EXPECT_EQ(get("/probes/off").status, 404);
  EXPECT_EQ(get("/probes/off/metrics").body, "The probe is disabled.\n");
  EXPECT_TRUE(body(get("/probes/misspelled")).contains("No probe has the name misspelled"));
}

TEST_F(ProbeRoutesTest, ThePageOfAProbeHasNoParameters) {
  for (const char* target : {"/probes/db?x=y", "/api/v1/probes/db?state=ok"}) {
    EXPECT_EQ(get(target).status, 400) << target;
  }
  EXPECT_EQ(get("/probes/db?").status, 200);
}

// The error of a page is plain text.
TEST_F(ProbeRoutesTest, ErrorsOfTheApiAreJson) {
  const auto error = [&](std::string_view method, std::string_view target) {
    WebResponse response = send(method, target);
    format_error(target, response);
    EXPECT_EQ(response.content_type, "application/json") << target;
    return response.body;
  };
  EXPECT_EQ(error("GET", "/api/v1/status?state=bad"),
            "{\"error\":\"unknown state 'bad': use ok, warning, critical, unknown, or failed for "
            "all but ok\"}\n");
  EXPECT_EQ(error("POST", "/api/v1/events"), "{\"error\":\"Use GET or HEAD\"}\n");
  EXPECT_TRUE(error("GET", "/api/v1/nothing").starts_with("{\"error\":\"Not found"));
  EXPECT_TRUE(error("GET", "/api/v1/jobs/x").starts_with("{\"error\":"));
  EXPECT_TRUE(error("GET", "/api/v1/probes/x").contains("\"probes\":["));
  for (const char* target : {"/?state=bad", "/probes/db?x=y", "/metrics/"}) {
    WebResponse response = get(target);
    format_error(target, response);
    EXPECT_TRUE(response.content_type.starts_with("text/plain")) << target;
  }
}

TEST_F(ProbeRoutesTest, AProbeIsUnknownWhileTheLoopHangs) {
  daemon.healthy = false;
  EXPECT_TRUE(body(get("/probes/db")).contains("<b class=unknown>unknown</b>: db"));
  EXPECT_TRUE(body(get("/api/v1/probes/db")).contains("\"reason\":\"stale\""));
}

TEST_F(ProbeRoutesTest, AStandbyHasNoProbesAndNoEvents) {
  daemon.options.leads = [] { return false; };
  for (const char* target : {"/probes/db", "/api/v1/probes/db"}) {
    EXPECT_EQ(get(target).status, 503) << target;
    EXPECT_TRUE(body(get(target)).contains("standby"));
  }
  for (const char* target : {"/events", "/api/v1/events"}) {
    EXPECT_EQ(get(target).status, 200) << target;
    EXPECT_FALSE(body(get(target)).contains("is gone"));
  }
  EXPECT_TRUE(body(get("/events")).contains("standby: another replica is the leader"));
}

TEST_F(ProbeRoutesTest, EventsCanBeFiltered) {
  for (const std::string path : {"/events", "/api/v1/events"}) {
    EXPECT_TRUE(body(get(path)).contains("cache is gone"));
    const WebResponse response = get(path + "?kind=postgres&state=critical");
    EXPECT_EQ(response.status, 200);
    EXPECT_TRUE(body(response).contains("db is gone"));
    EXPECT_FALSE(body(response).contains("cache"));
    EXPECT_FALSE(body(get(path + "?state=ok")).contains("is gone"));
    EXPECT_EQ(get(path + "?state=bad").status, 400);
  }
}

TEST_F(ProbeRoutesTest, ChangesThatAreNotKeptAreCounted) {
  daemon.options.dropped_events = [](std::string_view name) { return name == "db" ? 5U : 2U; };
  daemon.events.clear();
  EXPECT_TRUE(body(get("/events")).contains("7 older changes are not kept."));
  EXPECT_TRUE(body(get("/probes/db")).contains("5 older changes are not kept."));
  EXPECT_TRUE(body(get("/api/v1/probes/cache")).contains("\"dropped\":2"));
  EXPECT_TRUE(body(get("/api/v1/events?name=db&state=ok&q=x")).contains("\"dropped\":5"));
}

TEST_F(RoutesTest, HealthFollowsTheProbeLoop) {
  EXPECT_EQ(get("/-/healthy").status, 200);
  daemon.healthy = false;
  EXPECT_EQ(get("/-/healthy").status, 503);
  EXPECT_EQ(get("/-/healthy").body, "The probe loop does not respond.\n");
}

TEST_F(RoutesTest, ReadinessRequiresAllFirstRuns) {
  EXPECT_EQ(get("/-/ready").status, 200);
  daemon.ready = false;
  EXPECT_EQ(get("/-/ready").status, 503);
  EXPECT_EQ(get("/-/ready").body, "Some probes have not completed their first run.\n");
}

TEST_F(RoutesTest, StatusPageForbidsScripts) {
  const WebResponse response = get("/");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/html; charset=utf-8");
  EXPECT_TRUE(header(response, "Content-Security-Policy").starts_with("default-src 'none'"));
}

TEST_F(RoutesTest, StatusPageHasAnIcon) {
  EXPECT_TRUE(body(get("/")).contains("href=\"favicon.ico?"));
  const WebResponse response = get("/favicon.ico?ok");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "image/svg+xml");
  EXPECT_TRUE(header(get("/"), "Content-Security-Policy").contains("img-src 'self'"));
}

TEST_F(RoutesTest, StatusCanBeFiltered) {
  for (const auto& [name, state] :
       {std::pair("db", ProbeView::State::ok), std::pair("cache", ProbeView::State::failed)}) {
    ProbeView& view = daemon.views.emplace_back();
    view.name = name;
    view.state = state;
  }
  for (const std::string path : {"/", "/api/v1/status"}) {
    EXPECT_TRUE(body(get(path)).contains("cache"));
    const WebResponse response = get(path + "?state=ok");
    EXPECT_EQ(response.status, 200);
    EXPECT_TRUE(body(response).contains("db"));
    EXPECT_FALSE(body(response).contains("cache"));
    EXPECT_EQ(get(path + "?state=bad").status, 400);
    EXPECT_EQ(get(path + "?stat=ok").status, 400);
  }
}

// The state of the probes that the other parameters select does not depend on those shown.
TEST_F(RoutesTest, NoFailedProbeIsNotNoProbe) {
  for (const auto& [name, state] :
       {std::pair("db", ProbeView::State::ok), std::pair("cache", ProbeView::State::failed)}) {
    ProbeView& view = daemon.views.emplace_back();
    view.name = name;
    view.state = state;
  }
  const auto state_of = [&](const std::string& query) {
    const std::string text = body(get("/api/v1/status" + query));
    const std::size_t at = text.find("\"state\":\"", text.find("\"notices\"")) + 9;
    return text.substr(at, text.find('"', at) - at);
  };
  EXPECT_EQ(state_of("?name=db&state=failed"), "ok");
  EXPECT_EQ(state_of("?name=cache&state=ok"), "critical");
  EXPECT_EQ(state_of("?state=ok"), "critical");
  EXPECT_EQ(state_of("?name=none&state=failed"), "unknown");
  EXPECT_TRUE(body(get("/?name=db&state=failed")).contains("</b>: 1 ok</h1>"));
  EXPECT_TRUE(body(get("/?name=none&state=failed")).contains("</b>: no probe matches</h1>"));
}

TEST_F(RoutesTest, StatusIsAvailableAsJson) {
  const WebResponse response = get("/api/v1/status");
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_TRUE(body(response).contains("\"version\":\"1.2.3\""));
}

TEST_F(RoutesTest, AJobWithoutANameIsNotFound) {
  const WebResponse response = send("POST", "/api/v1/jobs");
  EXPECT_EQ(response.status, 404);
  EXPECT_TRUE(body(response).contains("/api/v1/jobs/NAME")) << body(response);
}

TEST_F(RoutesTest, UnknownPathsAreNotFound) {
  for (const char* target : {"/nothing", "/metrics/", "", "//", "/../etc/passwd"}) {
    const WebResponse response = get(target);
    EXPECT_EQ(response.status, 404) << target;
    EXPECT_EQ(response.route, "other");
  }
  EXPECT_EQ(get("/nothing").body,
            "Not found. Valid paths: /, /events, /probes/NAME, /probes/NAME/metrics, /metrics, "
            "/metrics/core, /metrics/relay, /api/v1/status, /api/v1/events, /api/v1/probes/NAME, "
            "/api/v1/jobs/NAME and /metrics/job/NAME of a probe of kind job, /-/healthy and "
            "/-/ready.\n");
}

TEST_F(RoutesTest, UnknownJobsAreNotFound) {
  for (const char* method : {"POST", "PUT", "DELETE", "GET"}) {
    for (const char* path : {"/api/v1/jobs/unknown/start", "/metrics/job/unknown/a/b",
                             "/metrics/job@base64/dW5rbm93bg"}) {
      const WebResponse response = send(method, path);
      EXPECT_EQ(response.status, 404);
      EXPECT_EQ(response.body,
                "No enabled probe of the kind job has this name: / lists all probes.\n");
    }
  }
}

TEST_F(RoutesTest, HeadHasTheResponseOfGet) {
  const WebResponse response = send("HEAD", "/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(body(response), body(get("/metrics")));  // the server omits the body
}

TEST_F(RoutesTest, OtherMethodsAreRefused) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "get"}) {
    const WebResponse response = send(method, "/metrics");
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(header(response, "Allow"), "GET, HEAD");
  }
}

TEST_F(RoutesTest, ReloadIsForbiddenByDefault) {
  EXPECT_FALSE(is_reload(daemon.options, {"POST", "/-/reload", "", ""}));
  EXPECT_EQ(send("POST", "/-/reload").status, 403);
}

TEST_F(RoutesTest, ReloadRequiresPost) {
  daemon.options.reload = [](const WebOptions::ReloadDone&) {};
  EXPECT_TRUE(is_reload(daemon.options, {"POST", "/-/reload?now", "", ""}));
  EXPECT_FALSE(is_reload(daemon.options, {"GET", "/-/reload", "", ""}));
  EXPECT_EQ(get("/-/reload").status, 405);
  EXPECT_EQ(header(get("/-/reload"), "Allow"), "POST");
}

TEST_F(RoutesTest, OnlyHealthPagesRequireNoCredentials) {
  EXPECT_TRUE(is_health({"GET", "/-/healthy", "", ""}));
  EXPECT_TRUE(is_health({"GET", "/-/ready?x", "", ""}));
  for (const char* target : {"/metrics", "/", "/-/reload", "/-/healthy/x", "/x?/-/healthy"}) {
    EXPECT_FALSE(is_health({"GET", target, "", ""})) << target;
  }
}

TEST(NegotiateFormat, ReturnsOpenMetricsIfItIsPreferred) {
  // The header of Prometheus 2.x and 3.x.
  EXPECT_EQ(negotiate_format("application/openmetrics-text;version=1.0.0,"
                             "application/openmetrics-text;version=0.0.1;q=0.75,"
                             "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            Format::openmetrics);
  EXPECT_EQ(negotiate_format("application/openmetrics-text"), Format::openmetrics);
  EXPECT_EQ(negotiate_format("Application/OpenMetrics-Text , text/plain"), Format::openmetrics);
  EXPECT_EQ(negotiate_format("text/plain;q=0.5, application/openmetrics-text; q=0.6"),
            Format::openmetrics);
}

TEST(NegotiateFormat, ReturnsTheTextFormatOtherwise) {
  for (const char* accept :
       {"", "*/*", "text/plain", "text/html,application/xhtml+xml,*/*;q=0.8", "image/png", ";;,,",
        "application/openmetrics-text;q=0", "application/openmetrics-text;q=nonsense",
        "text/plain, application/openmetrics-text;q=0.9"}) {
    EXPECT_EQ(negotiate_format(accept), Format::text) << accept;
  }
}

TEST(AcceptsGzip, ReadsWeights) {
  for (const char* encodings :
       {"gzip", "deflate, gzip", "GZIP", "gzip;q=0.1", "*", "br;q=1, *;q=0.5"}) {
    EXPECT_TRUE(accepts_gzip(encodings)) << encodings;
  }
  for (const char* encodings :
       {"", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "*, gzip;q=0", "xgzip"}) {
    EXPECT_FALSE(accepts_gzip(encodings)) << encodings;
  }
}

}  // namespace
}  // namespace vitalsd
