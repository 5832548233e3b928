#include "config/settings.hpp"

#include "config/characters.hpp"
#include "config/files/small_file.hpp"
#include "config/path.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <expected>
#include <iterator>
#include <map>
#include <system_error>

namespace vitalsd::config {
namespace {

constexpr Duration kMinInterval{100};
constexpr Duration kMaxInterval{7LL * 86'400'000};
constexpr Duration kMinTimeout{10};

// A probe name is a label value, a URL path segment and a key of the state file.
bool is_probe_name(std::string_view name) {
  constexpr std::size_t kMaxLength = 128;
  return !name.empty() && name.size() <= kMaxLength && (is_lower(name[0]) || is_digit(name[0])) &&
         std::ranges::all_of(name, [](char c) {
           return is_lower(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
         });
}

std::string at_most(Duration interval) {
  return "must be at most the interval (" + Scalar<Duration>::show(interval) + ")";
}

bool is_name_server(std::string_view text) {
  const auto endpoint = Scalar<Endpoint>::parse(text);
  return is_address(endpoint ? endpoint->host : text);
}

bool is_bcrypt(std::string_view hash) {
  constexpr std::size_t kLength = 60;
  if (hash.size() != kLength || !hash.starts_with("$2") || hash[3] != '$' || hash[6] != '$') {
    return false;
  }
  const std::string_view cost = hash.substr(4, 2);
  return (hash[2] == 'a' || hash[2] == 'b' || hash[2] == 'y') &&
         std::ranges::all_of(cost, is_digit) && cost >= "04" && cost <= "31";
}

LogSettings read_log(Node& node) {
  LogSettings log;
  const std::string level =
      node.choice("level", {"info", "debug", "warn", "error"}, "minimum level of log lines");
  if (level == "debug") log.level = LogLevel::debug;
  if (level == "warn") log.level = LogLevel::warn;
  if (level == "error") log.level = LogLevel::error;
  const std::string format =
      node.choice("format", {"logfmt", "json"}, "form of the lines, one per event");
  if (format == "json") log.format = LogFormat::json;
  return log;
}

LimitSettings read_limits(Node& node) {
  LimitSettings limits;
  constexpr std::int64_t kMax = 1'000'000;
  limits.running = node.get<std::int64_t>(
      "running", 0, "maximum number of concurrent runs; 0: (open-file limit - 256) / 3", {0, kMax});
  limits.per_endpoint = node.get<std::int64_t>(
      "per_endpoint", limits.per_endpoint,
      "maximum number of concurrent runs against one host and port", {1, kMax});
  limits.series = node.get<std::int64_t>(
      "series", 0,
      "maximum number of series on a page, without those of the process; if the probes have more, "
      "the page leaves out relayed series first, and then other series of the probes with the "
      "most, "
      "but never facts and series about the probes; 0: no limit",
      {0, 1'000'000'000});
  return limits;
}

}  // namespace

bool is_label_name(std::string_view name) {
  const auto is_start = [](char c) { return is_letter(c) || c == '_'; };
  return !name.empty() && is_start(name[0]) && !name.starts_with("__") &&
         std::ranges::all_of(name, [&](char c) { return is_start(c) || is_digit(c); });
}

Parsed<ListenAddress> Scalar<ListenAddress>::parse(std::string_view text) {
  const std::string any = WebSettings{}.listen.host;
  Parsed<Endpoint> endpoint =
      Scalar<Endpoint>::parse(text.starts_with(':') ? any + std::string(text) : text);
  if (!endpoint) return std::unexpected(std::move(endpoint.error()));
  if (is_address(endpoint->host)) return ListenAddress{*std::move(endpoint)};
  return std::unexpected(quoted(endpoint->host) +
                         " is not a valid listen address: must be an IP address, for example "
                         "0.0.0.0 or 127.0.0.1");
}

std::unique_ptr<Document> Document::load(const std::string& file) {
  constexpr std::size_t kMaxBytes = std::size_t{16} << 20;  // 10,000 probes are 2 MiB
  const std::expected<std::string, std::string> text =
      file == kStandardInput ? read_standard_input(kMaxBytes) : read_small_file(file, kMaxBytes);
  if (text) return std::make_unique<Document>(file, *text);
  auto document = std::make_unique<Document>(file, "probes: []");
  const bool is_missing = text.error() == std::generic_category().message(ENOENT);
  document->problems_.error(
      {}, "",
      "cannot read the file: " + text.error() + (is_missing ? ": `vitalsd init` prints one" : ""));
  return document;
}

Document::Document(std::string file, std::string_view text)
    : text_(text), problems_(std::move(file)) {
  tree_ = parse_yaml(text, problems_);
  // A syntax error leaves no tree, so all keys would be reported as missing.
  if (problems_.has_errors() && tree_.kind == Value::Kind::null) return;
  root_.emplace(tree_, "", problems_);
  if (tree_.kind == Value::Kind::mapping || tree_.kind == Value::Kind::null) read();
}

void Document::finish() {
  if (root_) root_->finish();
}

void Document::read() {
  Node& root = *root_;
  read_web(root.section("web", "the HTTP server"));
  settings_.log = read_log(root.section("log", "the log on standard error"));
  settings_.limits = read_limits(root.section("limits", "limits of the whole daemon"));

  Node& state = root.section("state", "data that survives a restart");
  settings_.state_directory =
      state
          .get<WritableDirectory>("directory", {},
                                  "directory of the state file, which stores facts")
          .text;
  Node& dns = root.section("dns", "name resolution");
  settings_.dns_servers =
      dns.list<std::string>("servers", "name servers in place of those in resolv.conf");
  for (const std::string& server : settings_.dns_servers) {
    if (is_name_server(server)) continue;
    dns.error("servers", quoted(server) +
                             " is not a valid name server: must be an IP address or address:port");
  }

  Node& kubernetes = root.section(
      "kubernetes", "the API server; default: that of the cluster in which vitalsd is a pod");
  settings_.kubernetes.kubeconfig =
      kubernetes.get<File>("kubeconfig", {}, "kubeconfig file with the address and credentials")
          .text;
  settings_.kubernetes.context = kubernetes.get<std::string>(
      "context", "", "context in the kubeconfig; default: its current-context");
  if (!settings_.kubernetes.context.empty() && settings_.kubernetes.kubeconfig.empty()) {
    kubernetes.error("context", "requires kubeconfig, which is not set");
  }

  if (Node* election = root.find_section(
          "leader_election",
          "leader election: one of several replicas runs the probes, the others are on standby")) {
    settings_.election.lease =
        election->required<std::string>("lease", "name of the Lease in the Kubernetes API");
    settings_.election.namespace_name = election->get<std::string>(
        "namespace", "", "namespace of the Lease; default: that of the pod");
  }

  Node& defaults = root.section("defaults", "defaults for all probes");
  constexpr Duration kDefaultInterval{30'000};
  constexpr Duration kDefaultTimeout{10'000};
  const auto interval = defaults.get<Duration>("interval", kDefaultInterval, "time from run to run",
                                               {kMinInterval, kMaxInterval});
  const auto timeout = defaults.get<Duration>("timeout", std::min(kDefaultTimeout, interval),
                                              "time limit of one run, including name resolution",
                                              {kMinTimeout, kMaxInterval});
  if (timeout > interval) defaults.error("timeout", at_most(interval));

  std::list<Node>& probes = root.sections("probes", "the probes");
  if (probes.empty() && !root.has("probes"))
    root.error("probes", "required key 'probes' is missing: must be a list");
  for (Node& probe : probes) read_probe(probe, interval, timeout);
  for (ProbeSettings& probe : settings_.probes) {
    probe.has_interval = probe.options->has("interval") || defaults.has("interval");
  }

  std::map<std::string_view, Mark> first;
  for (const ProbeSettings& probe : settings_.probes) {
    if (probe.name.empty()) continue;
    const auto [it, inserted] = first.emplace(probe.name, probe.options->mark("name"));
    if (!inserted) {
      probe.options->error("name", quoted(probe.name) + " is not unique: the probe in line " +
                                       std::to_string(it->second.line) + " has the same name");
    }
  }
}

void Document::read_web(Node& web) {
  WebSettings& out = settings_.web;
  out.listen = web.get<ListenAddress>("listen", {out.listen},
                                      "address and port of the HTTP server; without an address: "
                                      "0.0.0.0")
                   .endpoint;
  out.reload = web.get<bool>("reload", false, "enable POST /-/reload");
  Node& tls = web.section("tls", "serve HTTPS");
  out.certificate =
      tls.get<CertificateFile>("certificate", {}, "PEM file: certificate with its chain").text;
  out.key = tls.get<KeyFile>("key", {}, "PEM file: private key").text;
  out.client_ca =
      tls.get<CertificateFile>("client_ca", {},
                               "PEM file: clients need a certificate that this CA signed")
          .text;
  if (out.certificate.empty() != out.key.empty()) {
    tls.error("certificate", "certificate and key must be set together");
  } else if (out.certificate.empty() && !out.client_ca.empty()) {
    tls.error("client_ca", "requires certificate and key, which are not set");
  }
  out.basic_auth = web.map<std::string>("basic_auth", "users and their bcrypt hashes");
  for (const auto& [user, hash] : out.basic_auth) {
    if (is_bcrypt(hash)) continue;
    web.error("basic_auth", "the password of " + quoted(user) +
                                " is not a valid bcrypt hash: create one with htpasswd -nB " +
                                user);
  }
}

void Document::read_probe(Node& node, Duration default_interval, Duration default_timeout) {
  ProbeSettings probe;
  probe.options = &node;
  probe.name = node.required<std::string>("name", "unique name; the value of the label 'probe'");
  const Member* given = node.value().find("name");
  if (given != nullptr && given->value.kind == Value::Kind::scalar && !is_probe_name(probe.name)) {
    node.error("name",
               quoted(probe.name) +
                   " is not a valid probe name: must match [a-z0-9][a-z0-9_.-]* and have at most "
                   "128 characters");
  }
  probe.kind = node.required<std::string>("kind", "kind of the target");
  probe.kind_mark = node.mark("kind");
  probe.enabled = node.get<bool>(
      "enabled", true,
      "false: the configuration is checked, but the probe neither runs nor publishes");
  probe.interval = node.get<Duration>("interval", default_interval, "time from run to run",
                                      {kMinInterval, kMaxInterval});
  // The default timeout is at most the interval.
  probe.timeout = node.get<Duration>("timeout", std::min(default_timeout, probe.interval),
                                     "time limit of one run, including name resolution",
                                     {kMinTimeout, kMaxInterval});
  if (node.has("timeout") && probe.timeout > probe.interval) {
    node.error("timeout", at_most(probe.interval));
  }
  probe.labels = node.map<std::string>("labels", "labels added to every series of this probe");
  std::ranges::sort(probe.labels);
  // build_jobs refuses the labels that the metrics of the probe's kind have.
  constexpr std::array<std::string_view, 7> kReserved = {
      "exported_instance", "instance", "job", "le", "probe", "quantile", "shard"};
  for (const auto& [name, value] : probe.labels) {
    if (!is_label_name(name)) {
      node.error("labels", quoted(name) +
                               " is not a valid label name: must match [a-zA-Z_][a-zA-Z0-9_]* and "
                               "not start with __");
    } else if (std::ranges::find(kReserved, name) != kReserved.end()) {
      node.error("labels",
                 quoted(name) + " is reserved for vitalsd and Prometheus: use another label name");
    }
  }
  probe.fingerprint = std::hash<std::string>{}(canonical(node.value()));
  settings_.probes.push_back(std::move(probe));
}

std::vector<Option> describe_settings() {
  std::vector<Option> options;
  Document document("", "");
  Problems ignored("");
  document.root_.emplace(Node::describing(options, ignored));
  document.settings_ = {};
  document.read();
  return options;
}

}  // namespace vitalsd::config
