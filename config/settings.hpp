// The configuration file as typed settings. The options of a probe's kind stay a Node, which the
// kind reads later, because this module does not depend on the kinds. The file is loaded at start
// and at every reload; reading it is the only I/O.
#pragma once

#include "config/node.hpp"
#include "config/problems.hpp"
#include "config/scalar.hpp"
#include "config/yaml.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::config {

/// Where the HTTP server listens: an IP address and a port; ":9747" is 0.0.0.0:9747.
struct ListenAddress {
  Endpoint endpoint;
};

template <>
struct Scalar<ListenAddress> {
  static constexpr std::string_view kName = Scalar<Endpoint>::kName;
  static constexpr bool kPlain = Scalar<Endpoint>::kPlain;
  static Parsed<ListenAddress> parse(std::string_view text);
  static std::string show(const ListenAddress& value) { return value.endpoint.text(); }
};

using Labels = std::vector<std::pair<std::string, std::string>>;

struct WebSettings {
  Endpoint listen{"0.0.0.0", 9747};
  bool reload = false;  ///< enables POST /-/reload
  std::string certificate;
  std::string key;
  std::string client_ca;  ///< PEM file: clients need a certificate signed by this CA
  std::vector<std::pair<std::string, std::string>> basic_auth;  ///< user, bcrypt hash
  bool operator==(const WebSettings&) const = default;
};

enum class LogLevel : unsigned char { debug, info, warn, error };
enum class LogFormat : unsigned char { logfmt, json };

struct LogSettings {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::logfmt;
  bool operator==(const LogSettings&) const = default;
};

struct LimitSettings {
  std::int64_t running = 0;        ///< concurrent runs; 0: derived from the descriptor limit
  std::int64_t per_endpoint = 64;  ///< concurrent runs against one address and port
  std::int64_t series = 0;         ///< on a page; 0: no limit
};

/// The Kubernetes API server and the credentials for it.
struct KubernetesSettings {
  std::string kubeconfig;  ///< file; empty: this cluster, with the pod's service account
  std::string context;     ///< empty: the kubeconfig's current-context
};

/// Leader election: only the leader of several replicas runs probes.
struct ElectionSettings {
  std::string lease;           ///< name of the Lease; empty: no leader election
  std::string namespace_name;  ///< of the Lease; empty: the pod's own namespace
  bool operator==(const ElectionSettings&) const = default;
};

/// The settings that all kinds of probes share.
struct ProbeSettings {
  std::string name;
  std::string kind;
  Mark kind_mark;
  Duration interval;
  bool has_interval = false;  ///< set here or in `defaults`
  Duration timeout;
  bool enabled = true;          ///< if false, the configuration is checked and nothing runs
  Labels labels;                ///< the user's labels, sorted by name
  Node* options = nullptr;      ///< read by the kind's factory; owned by the Document
  std::size_t fingerprint = 0;  ///< hash of the probe's configuration
};

struct Settings {
  WebSettings web;
  LogSettings log;
  LimitSettings limits;
  std::string state_directory;           ///< empty: facts are lost at a restart
  std::vector<std::string> dns_servers;  ///< "address" or "address:port"; empty: resolv.conf
  KubernetesSettings kubernetes;
  ElectionSettings election;
  std::vector<ProbeSettings> probes;
};

/// The file name that means standard input.
inline constexpr std::string_view kStandardInput = "-";

/// One configuration file: its tree, its problems and its settings. Order of use: construct, let
/// the factories read the options of each probe, call finish().
class Document {
 public:
  /// Reads `text`. `file` is its name in messages.
  Document(std::string file, std::string_view text);
  /// Reads the file. A read error becomes an error in problems().
  static std::unique_ptr<Document> load(const std::string& file);

  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const Value& tree() const { return tree_; }
  [[nodiscard]] Settings& settings() { return settings_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] Problems& problems() { return problems_; }
  [[nodiscard]] const Problems& problems() const { return problems_; }

  /// Reports unknown keys. problems() is complete after this call.
  void finish();

 private:
  friend std::vector<Option> describe_settings();

  void read();
  void read_web(Node& web);
  void read_probe(Node& node, Duration default_interval, Duration default_timeout);

  std::string text_;
  Problems problems_;
  Value tree_;
  std::optional<Node> root_;
  Settings settings_;
};

/// Whether `name` is a valid label name: [a-zA-Z_][a-zA-Z0-9_]*, not starting with "__", which
/// Prometheus reserves.
bool is_label_name(std::string_view name);

/// The top-level keys and the keys that all probes share, for the reference.
std::vector<Option> describe_settings();

}  // namespace vitalsd::config
