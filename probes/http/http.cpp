// Kind `http`: each run sends one request on a new connection and compares the response with what
// is expected. Names are those of blackbox_exporter.
#include "probes/http/expectation.hpp"
#include "probes/net/certificate_expiry.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/http_access.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/net/offload.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

struct Result {
  net::HttpResponse response;  // the last one
  bool is_tls = false;         // of the last response
  net::HttpPhases phases;      // summed over redirects
  std::int64_t redirects = 0;
};

constexpr MetricTable kTable(
    MetricRow{Metric({.name = "probe_http_status_code",
                      .help = "Status of the last response, after redirects."}),
              [](const Result& result) { return result.response.status; }},
    MetricRow{Metric({.name = "probe_http_duration_seconds",
                      .unit = Unit::seconds,
                      .help = "Time by phase, summed over redirects."},
                     "phase"),
              [](const Result& result, const auto& put) {
                put(result.phases.resolve, "resolve");
                put(result.phases.connect, "connect");
                if (result.phases.tls > 0) put(result.phases.tls, "tls");
                put(result.phases.processing, "processing");
                put(result.phases.transfer, "transfer");
              }},
    MetricRow{Metric({.name = "probe_http_redirects", .help = "Redirects that were followed."}),
              [](const Result& result) { return result.redirects; }},
    MetricRow{Metric({.name = "probe_http_version",
                      .help = "HTTP version of the last response; 2 only if the option http2 is "
                              "set."}),
              [](const Result& result) { return result.response.version; }},
    MetricRow{Metric({.name = "probe_http_uncompressed_body_length",
                      .help = "Bytes in the body of the last response."}),
              [](const Result& result) { return result.response.body.size(); }},
    MetricRow{
        Metric({.name = "probe_http_ssl", .help = "Whether the last response came over TLS."}),
        [](const Result& result) { return result.is_tls; }},
    MetricRow{Metric(net::kEarliestExpiry), [](const Result& result) {
                return result.is_tls ? result.response.certificate_expiry : std::nullopt;
              }});
constexpr Histogram kHistory({.name = "vitalsd_http_request_duration_seconds",
                              .unit = Unit::seconds,
                              .help = "Durations of the runs that received a response, with all "
                                      "redirects; only if the option histogram is set."},
                             std::array{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
                                        10.0});
constexpr auto kMetrics = metric_list(kTable, net::kVerifiedChainTable, kHistory);

constexpr Check kDurationCheck{.name = "duration",
                               .unit = Unit::seconds,
                               .warn = {},
                               .critical = {},
                               .help = "duration from the request to the last response"};
constexpr std::array<const Check*, 2> kChecks = {&kDurationCheck, &net::kExpiryCheck};

bool is_redirect(int status) {
  constexpr std::array kRedirecting = {301, 302, 303, 307, 308};
  return std::ranges::find(kRedirecting, status) != kRedirecting.end();
}

class HttpProbe final : public Probe {
 public:
  HttpProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        access_(net::HttpAccess::read(options, "URL with the scheme http or https")),
        method_(options.get<std::string>("method", "GET", "method of the request")),
        headers_(options.map<std::string>(
            "headers", "headers of the request, sent to the origin of the url only")),
        body_(options.get<std::string>("body", "",
                                       "body of the request, sent to the origin of the url only")),
        max_redirects_(options.get<std::int64_t>(
            "redirects", 10,
            "maximum number to follow; another origin gets no headers, credentials or body",
            {0, 20})),
        allow_downgrade_(
            options.get<bool>("allow_downgrade", true, "follow redirects from https to http")),
        max_body_(options.get<config::Bytes>("max_body", config::Bytes{1 << 20},
                                             "a larger response is an error",
                                             {config::Bytes{1}, config::Bytes{64 << 20}})),
        http2_(options.get<bool>("http2", false, "request HTTP/2 over TLS instead of HTTP/1.1")),
        expect_(std::make_shared<const http::Expectation>(
            options.section("expect", "what the response must contain"))) {
    if (options.get<bool>("histogram", false,
                          "publish vitalsd_http_request_duration_seconds, a histogram")) {
      history_.emplace(kHistory);
    }
    if (method_.empty() ||
        !std::ranges::all_of(method_, [](char c) { return c >= 'A' && c <= 'Z'; })) {
      options.error("method", config::quoted(method_) +
                                  " is not a valid method: write for example GET or HEAD");
    }
    for (const auto& [name, value] : headers_) {
      if (!is_header(name, value))
        options.error("headers", config::quoted(name.substr(0, name.find_first_of(": "))) +
                                     " is not a valid header");
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    net::HttpRequest request = co_await access_.request(environment_.files, out);
    request.method = method_;
    request.headers = headers_;
    request.body = body_;
    request.http2 = http2_;
    request.max_body = max_body_.value;
    const auto start = std::chrono::steady_clock::now();
    Result result;
    bool is_cut_off = false;
    for (;; ++result.redirects) {
      result.response = co_await perform(request, result.redirects > 0, out);
      result.is_tls = request.url.scheme == "https";
      add(result.phases, result.response.phases);
      const std::string* location = result.response.header("Location");
      if (!is_redirect(result.response.status) || location == nullptr) break;
      is_cut_off = result.redirects >= max_redirects_ && max_redirects_ > 0;
      if (result.redirects >= max_redirects_) break;
      redirect(request, result.response.status, *location);
      result.response = {};  // frees the body before the next one is read
    }
    const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - start;
    kTable.add(out, result);
    if (result.is_tls && result.response.chain) add_chain(out, *result.response.chain);
    std::string differences = co_await judge(std::move(result.response), result.is_tls, out);
    if (!differences.empty()) {
      if (is_cut_off) {
        differences = "more than " + std::to_string(max_redirects_) +
                      (max_redirects_ == 1 ? " redirect: " : " redirects: ") + differences;
      }
      const ProbeError error =
          net::about_response(request.url, request.proxy, {Reason::mismatch, differences});
      out.fail(error.reason(), error.what());
    }
    out.check(kDurationCheck, duration.count());
    if (!history_) co_return;
    history_->add(duration.count());
    out.add(kHistory, *history_);
  }

  [[nodiscard]] std::string target() const override { return access_.target(); }
  [[nodiscard]] std::string endpoint() const override { return access_.endpoint(); }
  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<HttpProbe&>(predecessor);
    if (history_ && old.history_) history_ = old.history_;
  }

 private:
  static bool is_header(std::string_view name, std::string_view value) {
    constexpr std::string_view kSeparators = "()<>@,;:\\\"/[]?={} \t";
    return !name.empty() &&
           std::ranges::all_of(
               name, [&](char c) { return c > 0x20 && c < 0x7f && !kSeparators.contains(c); }) &&
           !value.contains('\n') && !value.contains('\r');
  }

  static void add_chain(SampleSet& out, const STACK_OF(X509) & verified) {
    const std::vector<net::CertificateInfo> chain = net::describe(&verified);
    net::kVerifiedChainTable.add(out, net::first_to_expire(chain));
    for (const net::CertificateInfo& certificate : chain)
      net::check_expiry(out, certificate, certificate.common_name);
  }

  // The same rule as in curl. A redirect from http to https also changes the origin.
  static bool same_origin(const config::Url& a, const config::Url& b) {
    return a.scheme == b.scheme && net::same_header(a.host, b.host) &&
           net::port_of(a) == net::port_of(b);
  }

  // Whether a failure of the URL is one of the target, which has redirected to it. A redirect from
  // http to https is a part of most sites.
  [[nodiscard]] bool is_target(const config::Url& url) const {
    return net::same_header(access_.url.host, url.host) &&
           (net::port_of(access_.url) == net::port_of(url) ||
            (access_.url.scheme == "http" && url.scheme == "https"));
  }

  // A target that redirects to another server has answered, so a failure of that server is a
  // mismatch.
  asio::awaitable<net::HttpResponse> perform(const net::HttpRequest& request, bool is_redirected,
                                             SampleSet& out) const {
    try {
      co_return co_await environment_.http.perform(request, out);
    } catch (const ProbeError& error) {
      if (!is_redirected || !is_up(error.reason())) throw;
      throw ProbeError(is_target(request.url) ? error.reason() : Reason::mismatch,
                       "redirected to " + origin_of(request.url) + ": " + error.what());
    }
  }

  // For messages, because path and query may contain tokens.
  static std::string origin_of(config::Url url) {
    url.path.clear();
    url.query.clear();
    return url.text();
  }

  // Removes the credentials and headers that are configured for the origin of the URL. They stay
  // removed for the rest of the run, because another origin could redirect back to a path of its
  // choice.
  static void remove_credentials(net::HttpRequest& request) {
    request.headers.clear();
    request.user.clear();
    request.password.clear();
    request.bearer.clear();
    request.tls.server_name.clear();
    request.tls.certificate.clear();
    request.tls.key.clear();
  }

  static void drop_body(net::HttpRequest& request) {
    request.body.clear();
    std::erase_if(request.headers, [](const auto& header) {
      constexpr std::string_view kPrefix = "Content-";
      return net::same_header(header.first.substr(0, kPrefix.size()), kPrefix);
    });
  }

  // Changes the request to follow a redirect. Throws ProbeError(mismatch) if that is not allowed.
  void redirect(net::HttpRequest& request, int status, const std::string& location) const {
    const std::optional<config::Url> to = config::resolve_url(request.url, location);
    if (!to) {
      const std::size_t query = location.find('?');  // may contain tokens
      const std::string shown =
          location.substr(0, query) + (query == std::string::npos ? "" : "?…");
      throw ProbeError(Reason::mismatch,
                       "redirected to " + config::quoted(shown) + ", which is not a valid URL");
    }
    if (!allow_downgrade_ && request.url.scheme == "https" && to->scheme != "https") {
      throw ProbeError(Reason::mismatch, "redirected from https to http, to " +
                                             config::quoted(origin_of(*to)) +
                                             ", which allow_downgrade forbids");
    }
    const bool leaves_origin = !same_origin(request.url, *to);
    const bool keeps_method = status == 307 || status == 308;
    if (!keeps_method) {
      if (request.method != "HEAD") request.method = "GET";
      drop_body(request);
    }
    const bool is_read = request.method == "GET" || request.method == "HEAD";
    if (leaves_origin && (!is_read || !request.body.empty())) {
      throw ProbeError(Reason::mismatch, "redirected to " + config::quoted(origin_of(*to)) +
                                             ", another origin: only GET and HEAD without a body "
                                             "follow such a redirect");
    }
    request.url = *to;
    if (leaves_origin) remove_credentials(request);
  }

  static void add(net::HttpPhases& sum, const net::HttpPhases& hop) {
    sum.resolve += hop.resolve;
    sum.connect += hop.connect;
    sum.tls += hop.tls;
    sum.processing += hop.processing;
    sum.transfer += hop.transfer;
  }

  asio::awaitable<std::string> judge(net::HttpResponse response, bool is_tls,
                                     SampleSet& out) const {
    constexpr std::size_t kMaxOnLoop = std::size_t{64} << 10;
    if (response.body.size() <= kMaxOnLoop) co_return expect_->differences(response, is_tls);
    // Parsing JSON and matching patterns takes up to 10 ms for each MiB.
    auto work = [expect = expect_, response = std::move(response), is_tls](const net::StopFlag&) {
      return expect->differences(response, is_tls);
    };
    out.doing("evaluating the response", Reason::internal);
    co_return co_await environment_.computing.run("response of " + target(), std::move(work));
  }

  const Environment& environment_;
  net::HttpAccess access_;
  std::string method_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::string body_;
  std::int64_t max_redirects_;
  bool allow_downgrade_;
  config::Bytes max_body_;
  bool http2_;
  std::shared_ptr<const http::Expectation> expect_;  // also read by threads
  std::optional<HistogramCounts> history_;
};

}  // namespace

namespace kinds {
extern const ProbeKind http;
const ProbeKind http = {
    .name = "http",
    .help = "An HTTP endpoint responds as expected.",
    .make = make_probe<HttpProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .documented_series = "vitalsd_target_up{kind=\"http\"}",
};
}  // namespace kinds

}  // namespace vitalsd
