// The configuration file as typed settings. What a probe's kind reads from its own mapping stays
// an open Node: the kinds are not known here. Read once at start and at every reload; no I/O but
// reading the file.
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

using Labels = std::vector<std::pair<std::string, std::string>>;

struct WebSettings {
  Endpoint listen{"0.0.0.0", 9747};
  bool reload = false;  ///< whether POST /-/reload is answered
  std::string certificate;
  std::string key;
  std::string client_ca;  ///< clients must show a certificate that this CA signed
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
  std::int64_t running = 0;        ///< runs at once; 0: as many as the descriptor limit carries
  std::int64_t per_endpoint = 64;  ///< runs at once against one address and port
};

/// Which Kubernetes API, and as whom.
struct KubernetesSettings {
  std::string kubeconfig;  ///< file; empty: in the cluster, as the pod's service account
  std::string context;     ///< empty: the kubeconfig's current one
};

/// Of several replicas, one observes.
struct ElectionSettings {
  std::string lease;           ///< its name; empty: there is one replica only
  std::string namespace_name;  ///< empty: the pod's own
  bool operator==(const ElectionSettings&) const = default;
};

/// What every kind of probe has in common.
struct ProbeSettings {
  std::string name;
  std::string kind;
  Mark kind_mark;
  Duration interval;
  Duration timeout;
  Labels labels;                ///< the user's own, sorted by name
  Node* options = nullptr;      ///< for the kind's factory; owned by the Document
  std::size_t fingerprint = 0;  ///< a hash: equal for the same configuration
};

struct Settings {
  WebSettings web;
  LogSettings log;
  LimitSettings limits;
  std::string state_directory;           ///< empty: facts do not survive a restart
  std::vector<std::string> dns_servers;  ///< "address" or "address:port"; empty: resolv.conf
  KubernetesSettings kubernetes;
  ElectionSettings election;
  std::vector<ProbeSettings> probes;
};

/// The name of a file that stands for standard input.
inline constexpr std::string_view kStandardInput = "-";

/// One configuration file being read: its tree, what is wrong with it, and what it says.
/// Order of use: construct, let the factories read each probe's options, finish().
class Document {
 public:
  /// Reads `text`; `file` is its name in messages.
  Document(std::string file, std::string_view text);
  /// Reads the file; one that cannot be read is a problem like any other.
  static std::unique_ptr<Document> load(const std::string& file);

  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] Settings& settings() { return settings_; }
  [[nodiscard]] Problems& problems() { return problems_; }

  /// Reports unknown keys. Afterwards problems() is complete.
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

/// Whether `name` can be a label of ours: [a-zA-Z_][a-zA-Z0-9_]*, without "__" in front.
bool is_label_name(std::string_view name);

/// The top-level keys and those that every probe has, for the reference.
std::vector<Option> describe_settings();

}  // namespace vitalsd::config
