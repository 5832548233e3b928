// Kind `http`: one request a run on a fresh connection, and what the answer has to look like. Names
// are blackbox_exporter's.
#include "probes/net/http_client.hpp"
#include "probes/net/options.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace vitalsd {
namespace {

constexpr Metric kStatus({.name = "probe_http_status_code",
                          .help = "Status of the last answer, after redirects."});
constexpr Metric kPhases({.name = "probe_http_duration_seconds",
                          .unit = Unit::seconds,
                          .help = "Time by phase, summed over redirects."},
                         "phase");
constexpr Metric kRedirects({.name = "probe_http_redirects",
                             .help = "Redirects that were followed."});
constexpr Metric kVersion(
    {.name = "probe_http_version",
     .help = "HTTP version of the last answer; 2 only where the option http2 is set."});
constexpr Metric kLength({.name = "probe_http_uncompressed_body_length",
                          .help = "Bytes in the body of the last answer."});
constexpr Metric kTls({.name = "probe_http_ssl", .help = "Whether the last answer came over TLS."});
constexpr Metric kCertificate(
    {.name = "probe_ssl_earliest_cert_expiry",
     .help = "When the first certificate of the chain that the server sent "
             "expires, in Unix time.",
     .keep = Keep::fact});

constexpr Check kDurationCheck{.name = "duration",
                               .unit = Unit::seconds,
                               .warn = {},
                               .critical = {},
                               .help = "time of the whole run"};

/// "200", or "2xx" for a whole class.
struct StatusPattern {
  int first = 200;
  int last = 299;
  [[nodiscard]] bool matches(int status) const { return first <= status && status <= last; }
};

}  // namespace
}  // namespace vitalsd

template <>
struct vitalsd::config::Scalar<vitalsd::StatusPattern> {
  static constexpr std::string_view kName = "HTTP status";
  static constexpr bool kPlain = false;
  static Parsed<StatusPattern> parse(std::string_view text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_class =
        text.size() == 3 && text.substr(1) == "xx" && text[0] >= '1' && text[0] <= '5';
    if (is_class) return StatusPattern{(text[0] - '0') * 100, (text[0] - '0') * 100 + 99};
    if (error == std::errc() && end == text.data() + text.size() && number >= 100 &&
        number <= 599) {
      return StatusPattern{number, number};
    }
    return std::unexpected(quoted(text) + " is not an HTTP status: write for example 200 or 2xx");
  }
  static std::string show(const StatusPattern& value) {
    return value.first == value.last ? std::to_string(value.first)
                                     : std::to_string(value.first / 100) + "xx";
  }
};

namespace vitalsd {
namespace {

/// What an answer has to look like.
class Expectation {
 public:
  explicit Expectation(config::Node& node)
      : statuses_(node.one_or_more<StatusPattern>("status", "such as 200 or 2xx; without it 2xx")),
        json_(node.map<std::string>("json", "JSON pointers into the body, and their values")),
        headers_(node.list<std::string>("headers", "headers that must be there")),
        body_(node.find<net::Pattern>("body", "the body must match it")),
        not_body_(node.find<net::Pattern>("not_body", "the body must not match it")) {
    if (statuses_.empty()) statuses_.emplace_back();
    for (const auto& [pointer, value] : json_) {
      if (!pointer.starts_with('/')) {
        node.error("json", config::quoted(pointer) + " is not a JSON pointer: it begins with /");
      }
    }
  }

  /// All that is not as expected, in one sentence; empty if nothing.
  [[nodiscard]] std::string faults(const net::HttpResponse& response) const {
    std::string out;
    const auto fault = [&](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
    if (!std::ranges::any_of(statuses_,
                             [&](const StatusPattern& s) { return s.matches(response.status); })) {
      std::string wanted;
      for (const StatusPattern& status : statuses_) {
        wanted += (wanted.empty() ? "" : " or ") + config::Scalar<StatusPattern>::show(status);
      }
      fault("status " + std::to_string(response.status) + ", expected " + wanted);
    }
    for (const std::string& name : headers_) {
      if (response.header(name) == nullptr) fault("no header " + name);
    }
    if (body_ && !body_->matches(response.body))
      fault("the body does not match " + config::quoted(body_->text));
    if (not_body_ && not_body_->matches(response.body)) {
      fault("the body matches " + config::quoted(not_body_->text));
    }
    if (!json_.empty()) check_json(response.body, fault);
    return out;
  }

 private:
  template <class Fault>
  void check_json(const std::string& body, const Fault& fault) const {
    namespace json = boost::json;
    boost::system::error_code error;
    const json::value document = json::parse(body, error);  // 32 levels deep at most
    if (error) {
      fault("the body is not JSON: " + error.message());
      return;
    }
    for (const auto& [pointer, wanted] : json_) {
      boost::system::error_code missing;
      const json::value* value = document.find_pointer(pointer, missing);
      if (value == nullptr) {
        fault("JSON has no " + pointer);
      } else if (const std::string found =
                     value->is_string() ? std::string(value->as_string()) : json::serialize(*value);
                 !equal(*value, found, wanted)) {
        fault("JSON " + pointer + " is " + config::quoted(found) + ", expected " +
              config::quoted(wanted));
      }
    }
  }

  // Numbers are compared as such: 1.0 is 1.
  static bool equal(const boost::json::value& value, const std::string& found,
                    const std::string& wanted) {
    if (found == wanted) return true;
    if (!value.is_number()) return false;
    double number = 0;
    const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
    return error == std::errc() && end == wanted.data() + wanted.size() &&
           value.to_number<double>() == number;
  }

  std::vector<StatusPattern> statuses_;
  std::vector<std::pair<std::string, std::string>> json_;
  std::vector<std::string> headers_;
  std::optional<net::Pattern> body_;
  std::optional<net::Pattern> not_body_;
};

bool is_redirect(int status) {
  constexpr std::array kRedirecting = {301, 302, 303, 307, 308};
  return std::ranges::find(kRedirecting, status) != kRedirecting.end();
}

class HttpProbe final : public Probe {
 public:
  HttpProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        url_(options.required<config::Url>("url", "http:// or https://")),
        method_(options.get<std::string>("method", "GET", "of the request")),
        headers_(options.map<std::string>("headers", "sent to the origin of the url")),
        body_(options.get<std::string>("body", "", "sent to the origin of the url")),
        max_redirects_(options.get<std::int64_t>(
            "redirects", 10,
            "followed at most; to another origin without headers, credentials and body", {0, 20})),
        allow_downgrade_(
            options.get<bool>("allow_downgrade", true, "follow redirects from https to http")),
        max_body_(options.get<config::Bytes>("max_body", config::Bytes{1 << 20},
                                             "a larger answer is an error",
                                             {config::Bytes{1}, config::Bytes{64 << 20}})),
        http2_(options.get<bool>("http2", false, "ask for HTTP/2 over TLS instead of HTTP/1.1")),
        tls_(net::TlsOptions::read(options)),
        user_(url_.user),
        password_(net::read_password(options, url_)),
        bearer_(options.secret("bearer_token", "sent as Authorization: Bearer")),
        expect_(options.section("expect", "what the answer has to look like")) {
    if (const auto user = options.find<std::string>("user", "of basic authentication"))
      user_ = *user;
    if (!url_.host.empty() && url_.scheme != "http" && url_.scheme != "https") {
      options.error("url", "the scheme is http or https, not " + config::quoted(url_.scheme));
    }
    if (method_.empty() ||
        !std::ranges::all_of(method_, [](char c) { return c >= 'A' && c <= 'Z'; })) {
      options.error("method",
                    config::quoted(method_) + " is not a method: write for example GET or HEAD");
    }
    if (bearer_ && !user_.empty())
      options.error("bearer_token", "user and bearer_token exclude each other");
    if (password_ && user_.empty()) options.error("password", "needs a user");
    for (const auto& [name, value] : headers_) {
      if (!is_header(name, value))
        options.error("headers", config::quoted(name) + " is not a header");
    }
    url_.user.clear();
    url_.password.clear();
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto began = std::chrono::steady_clock::now();
    net::HttpRequest request = first_request();
    net::HttpPhases phases;
    for (std::int64_t hop = 0;; ++hop) {
      const config::Url asked = request.url;
      const net::HttpResponse response = co_await environment_.http.perform(request, out);
      add(phases, response.phases);
      const std::string* location = response.header("Location");
      if (is_redirect(response.status) && location != nullptr && hop < max_redirects_) {
        redirect(request, response.status, *location);
        continue;
      }
      publish(out, asked, response, phases, hop);
      break;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    out.check(kDurationCheck, took.count());
  }

  // Without the query, which is where tokens are put.
  [[nodiscard]] std::string target() const override {
    config::Url shown = url_;
    shown.query.clear();
    return shown.text() + (url_.query.empty() ? "" : "?…");
  }
  [[nodiscard]] std::string endpoint() const override {
    return config::Endpoint{url_.host, net::port_of(url_)}.text();
  }

 private:
  static bool is_header(std::string_view name, std::string_view value) {
    constexpr std::string_view kSeparators = "()<>@,;:\\\"/[]?={} \t";
    return !name.empty() &&
           std::ranges::all_of(
               name, [&](char c) { return c > 0x20 && c < 0x7f && !kSeparators.contains(c); }) &&
           !value.contains('\n') && !value.contains('\r');
  }

  [[nodiscard]] net::HttpRequest first_request() const {
    net::HttpRequest request;
    request.method = method_;
    request.url = url_;
    request.headers = headers_;
    request.body = body_;
    request.tls = tls_;
    request.http2 = http2_;
    request.max_body = max_body_.value;
    request.user = user_;
    const auto password = password_.read();
    const auto bearer = bearer_.read();
    if (!password) throw ProbeError(Reason::config, password.error());
    if (!bearer) throw ProbeError(Reason::config, bearer.error());
    request.password = *password;
    request.bearer = *bearer;
    return request;
  }

  // As curl has it; an upgrade from http to https is another origin, too.
  static bool same_origin(const config::Url& a, const config::Url& b) {
    return a.scheme == b.scheme && net::same_header(a.host, b.host) &&
           net::port_of(a) == net::port_of(b);
  }

  // To be shown: path and query may hold tokens.
  static std::string origin_of(config::Url url) {
    url.path.clear();
    url.query.clear();
    return url.text();
  }

  // What was configured for the origin of the URL stays with it, for good: another origin might
  // send the request back to a path of its own choice.
  static void leave_origin(net::HttpRequest& request) {
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
      constexpr std::string_view kOfBodies = "Content-";
      return net::same_header(header.first.substr(0, kOfBodies.size()), kOfBodies);
    });
  }

  // Turns the request to where the answer points.
  void redirect(net::HttpRequest& request, int status, const std::string& location) const {
    const std::optional<config::Url> to = config::resolve_url(request.url, location);
    if (!to) {
      const std::string shown = location.substr(0, location.find('?'));  // as target() shows URLs
      throw ProbeError(Reason::mismatch,
                       "redirected to " + config::quoted(shown) + ", no URL of ours");
    }
    if (!allow_downgrade_ && request.url.scheme == "https" && to->scheme != "https") {
      throw ProbeError(Reason::mismatch, "redirected from https to http, to " +
                                             config::quoted(origin_of(*to)) +
                                             ", which allow_downgrade forbids");
    }
    const bool leaves = !same_origin(request.url, *to);
    const bool repeats = status == 307 || status == 308;
    if (!repeats) {
      if (request.method != "HEAD") request.method = "GET";
      drop_body(request);
    }
    const bool reads = request.method == "GET" || request.method == "HEAD";
    if (leaves && (!reads || !request.body.empty())) {
      throw ProbeError(Reason::mismatch, "redirected to " + config::quoted(origin_of(*to)) +
                                             ", another origin, where only GET and HEAD without a "
                                             "body follow");
    }
    request.url = *to;
    if (leaves) leave_origin(request);
  }

  static void add(net::HttpPhases& sum, const net::HttpPhases& hop) {
    sum.resolve += hop.resolve;
    sum.connect += hop.connect;
    sum.tls += hop.tls;
    sum.processing += hop.processing;
    sum.transfer += hop.transfer;
  }

  void publish(SampleSet& out, const config::Url& url, const net::HttpResponse& response,
               const net::HttpPhases& phases, std::int64_t redirects) const {
    const bool tls = url.scheme == "https";
    out.add(kStatus, response.status);
    out.add(kPhases, phases.resolve, "resolve");
    out.add(kPhases, phases.connect, "connect");
    if (phases.tls > 0) out.add(kPhases, phases.tls, "tls");
    out.add(kPhases, phases.processing, "processing");
    out.add(kPhases, phases.transfer, "transfer");
    out.add(kRedirects, static_cast<double>(redirects));
    out.add(kVersion, response.version);
    out.add(kLength, static_cast<double>(response.body.size()));
    out.add(kTls, tls ? 1 : 0);
    if (tls) out.add(kCertificate, response.certificate_expiry);
    const std::string faults = expect_.faults(response);
    if (!faults.empty()) out.fail(Reason::mismatch, faults);
  }

  const Environment& environment_;
  config::Url url_;
  std::string method_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::string body_;
  std::int64_t max_redirects_;
  bool allow_downgrade_;
  config::Bytes max_body_;
  bool http2_;
  net::TlsOptions tls_;
  std::string user_;
  config::Secret password_;
  config::Secret bearer_;
  Expectation expect_;
};

constexpr auto kMetrics =
    metric_list(kStatus, kPhases, kRedirects, kVersion, kLength, kTls, kCertificate);
constexpr std::array<const Check*, 1> kChecks = {&kDurationCheck};

}  // namespace

namespace kinds {
extern const ProbeKind http;
const ProbeKind http = {
    .name = "http",
    .help = "An HTTP endpoint answers as expected.",
    .make = make_probe<HttpProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .documented_series = "vitalsd_target_up{kind=\"http\"}",
};
}  // namespace kinds

}  // namespace vitalsd
