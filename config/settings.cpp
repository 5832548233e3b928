#include "config/settings.hpp"

#include "config/files/small_file.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <expected>
#include <iterator>
#include <map>

namespace vitalsd::config {
namespace {

constexpr Duration kShortestInterval{100};
constexpr Duration kLongestInterval{7LL * 86'400'000};
constexpr Duration kShortestTimeout{10};

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Probe names are label values, URL path segments and keys of the state file.
bool is_probe_name(std::string_view name) {
  constexpr std::size_t kLongest = 128;
  return !name.empty() && name.size() <= kLongest && (is_lower(name[0]) || is_digit(name[0])) &&
         std::ranges::all_of(name, [](char c) {
           return is_lower(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
         });
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
  const std::string level = node.choice("level", {"info", "debug", "warn", "error"},
                                        "least severe level that is written");
  if (level == "debug") log.level = LogLevel::debug;
  if (level == "warn") log.level = LogLevel::warn;
  if (level == "error") log.level = LogLevel::error;
  const std::string format = node.choice("format", {"logfmt", "json"}, "one line an event");
  if (format == "json") log.format = LogFormat::json;
  return log;
}

LimitSettings read_limits(Node& node) {
  LimitSettings limits;
  constexpr std::int64_t kMax = 1'000'000;
  limits.running = node.get<std::int64_t>(
      "running", 0, "probes that run at once; 0: (open-file limit - 256) / 2", {0, kMax});
  limits.per_endpoint =
      node.get<std::int64_t>("per_endpoint", limits.per_endpoint,
                             "probes that run at once against one host and port", {1, kMax});
  return limits;
}

}  // namespace

bool is_label_name(std::string_view name) {
  const auto is_start = [](char c) { return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && is_start(name[0]) && !name.starts_with("__") &&
         std::ranges::all_of(name, [&](char c) { return is_start(c) || is_digit(c); });
}

std::unique_ptr<Document> Document::load(const std::string& file) {
  constexpr std::size_t kLargest = std::size_t{16} << 20;  // 10,000 probes are 2 MiB
  const std::expected<std::string, std::string> text =
      file == kStandardInput ? read_standard_input(kLargest) : read_small_file(file, kLargest);
  if (text) return std::make_unique<Document>(file, *text);
  auto document = std::make_unique<Document>(file, "probes: []");
  document->problems_.error({}, "", "cannot read the configuration: " + text.error());
  return document;
}

Document::Document(std::string file, std::string_view text)
    : text_(text), problems_(std::move(file)) {
  tree_ = parse_yaml(text, problems_);
  // After a syntax error the tree is a torso: what it lacks is not worth a message.
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
  settings_.log = read_log(root.section("log", "what is written to standard error"));
  settings_.limits = read_limits(root.section("limits", "caps of the whole daemon"));

  Node& state = root.section("state", "what survives a restart");
  settings_.state_directory =
      state.get<std::string>("directory", "", "facts are kept in a file here");
  Node& dns = root.section("dns", "how names are resolved");
  settings_.dns_servers = dns.list<std::string>("servers", "instead of those of resolv.conf");
  for (const std::string& server : settings_.dns_servers) {
    if (is_name_server(server)) continue;
    dns.error("servers", quoted(server) + " is neither an address nor address:port");
  }

  Node& kubernetes = root.section(
      "kubernetes", "the API server; without it the one of the cluster that this is a pod of");
  settings_.kubernetes.kubeconfig =
      kubernetes.get<std::string>("kubeconfig", "", "file with the address and credentials");
  settings_.kubernetes.context = kubernetes.get<std::string>(
      "context", "", "of the kubeconfig; without it its current-context");
  if (!settings_.kubernetes.context.empty() && settings_.kubernetes.kubeconfig.empty()) {
    kubernetes.error("context", "goes with a kubeconfig, which is missing");
  }

  if (Node* election = root.find_section(
          "leader_election", "several replicas, of which one observes and the others stand by")) {
    settings_.election.lease =
        election->required<std::string>("lease", "name of a Lease of the Kubernetes API");
    settings_.election.namespace_name =
        election->get<std::string>("namespace", "", "of the Lease; without it the pod's own");
  }

  Node& defaults = root.section("defaults", "for probes that do not say otherwise");
  constexpr Duration kDefaultInterval{30'000};
  constexpr Duration kDefaultTimeout{10'000};
  const auto interval = defaults.get<Duration>("interval", kDefaultInterval, "from run to run",
                                               {kShortestInterval, kLongestInterval});
  const auto timeout =
      defaults.get<Duration>("timeout", std::min(kDefaultTimeout, interval),
                             "for one run, names included", {kShortestTimeout, kLongestInterval});
  if (timeout > interval) defaults.error("timeout", "is longer than the interval");

  std::list<Node>& probes = root.sections("probes", "what is watched");
  if (probes.empty() && !root.has("probes"))
    root.error("probes", "the key 'probes' is missing (a list)");
  for (Node& probe : probes) read_probe(probe, interval, timeout);

  std::map<std::string_view, Mark> first;
  for (const ProbeSettings& probe : settings_.probes) {
    if (probe.name.empty()) continue;
    const auto [it, inserted] = first.emplace(probe.name, probe.options->mark("name"));
    if (!inserted) {
      probe.options->error("name", "another probe is called " + quoted(probe.name) +
                                       " too, in line " + std::to_string(it->second.line));
    }
  }
}

void Document::read_web(Node& web) {
  WebSettings& out = settings_.web;
  out.listen = web.get<Endpoint>("listen", out.listen, "address and port of the HTTP server");
  if (!is_address(out.listen.host)) {
    web.error("listen", quoted(out.listen.host) + " is not an address, as 0.0.0.0 or 127.0.0.1 is");
  }
  out.reload = web.get<bool>("reload", false, "answer POST /-/reload");
  Node& tls = web.section("tls", "serve HTTPS");
  out.certificate = tls.get<std::string>("certificate", "", "PEM file: certificate and chain");
  out.key = tls.get<std::string>("key", "", "PEM file: private key");
  out.client_ca =
      tls.get<std::string>("client_ca", "", "PEM file: clients must show a certificate of this CA");
  if (out.certificate.empty() != out.key.empty()) {
    tls.error("certificate", "certificate and key go together");
  } else if (out.certificate.empty() && !out.client_ca.empty()) {
    tls.error("client_ca", "needs certificate and key");
  }
  out.basic_auth = web.map<std::string>("basic_auth", "users and their bcrypt hashes");
  for (const auto& [user, hash] : out.basic_auth) {
    if (is_bcrypt(hash)) continue;
    web.error("basic_auth", "the password of " + quoted(user) +
                                " is no bcrypt hash: make one with htpasswd -nB " + user);
  }
}

void Document::read_probe(Node& node, Duration default_interval, Duration default_timeout) {
  ProbeSettings probe;
  probe.options = &node;
  probe.name = node.required<std::string>("name", "unique; the value of the label 'probe'");
  const Member* given = node.value().find("name");
  if (given != nullptr && given->value.kind == Value::Kind::scalar && !is_probe_name(probe.name)) {
    node.error("name",
               quoted(probe.name) + " is not a probe name: [a-z0-9][a-z0-9_.-]*, 128 at most");
  }
  probe.kind = node.required<std::string>("kind", "what kind of target this is");
  probe.kind_mark = node.mark("kind");
  probe.interval = node.get<Duration>("interval", default_interval, "from run to run",
                                      {kShortestInterval, kLongestInterval});
  // A shorter interval shortens a timeout that was not given with it.
  probe.timeout =
      node.get<Duration>("timeout", std::min(default_timeout, probe.interval),
                         "for one run, names included", {kShortestTimeout, kLongestInterval});
  if (node.has("timeout") && probe.timeout > probe.interval) {
    node.error("timeout", Scalar<Duration>::show(probe.timeout) +
                              " is longer than the interval of " +
                              Scalar<Duration>::show(probe.interval));
  }
  probe.labels = node.map<std::string>("labels", "added to every series of this probe");
  std::ranges::sort(probe.labels);
  // The labels of metrics themselves are refused where the kind is known (build_jobs).
  constexpr std::array<std::string_view, 6> kTaken = {"instance", "job",      "le",
                                                      "probe",    "quantile", "shard"};
  for (const auto& [name, value] : probe.labels) {
    if (!is_label_name(name)) {
      node.error("labels", quoted(name) + " is not a label name: [a-zA-Z_][a-zA-Z0-9_]*");
    } else if (std::ranges::find(kTaken, name) != kTaken.end()) {
      node.error("labels", "the label " + quoted(name) + " is set by vitalsd or Prometheus");
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
