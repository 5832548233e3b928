#include "daemon/init.hpp"

#include "config/characters.hpp"
#include "config/scalar.hpp"
#include "probes/filesystem/mounts.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

extern char** environ;

namespace vitalsd {
namespace {

using config::Url;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return value == nullptr ? "" : value;
}

bool is_set(const char* name) { return !variable(name).empty(); }

constexpr std::array<std::string_view, 6> kModes = {"disable", "allow",     "prefer",
                                                    "require", "verify-ca", "verify-full"};

bool is_readable(const std::string& file) { return access(file.c_str(), R_OK) == 0; }

bool is_directory(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// As a YAML scalar in double quotes.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

bool has_controls(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

class Starter {
 public:
  std::string write() {
    find_kubernetes();
    find_postgres();
    find_redis();
    find_urls();
    find_disks();
    const bool has_state = access(kState, W_OK) == 0;
    return fmt::format(
        "# Written by `vitalsd init` from what it found here. Check it with `vitalsd config "
        "check`, "
        "and run\n# every probe once with `vitalsd check`. `vitalsd config reference` lists all "
        "keys.\n\n"
        "web: {{listen: \"{}\"}}  # the status page, and /metrics for Prometheus{}\n\n"
        "{}state: {{directory: {}}}  # keeps certificate and backup dates across restarts\n\n"
        "{}defaults: {{interval: 30s, timeout: 10s}}\n\nprobes:\n{}\n"
        "  # - {{name: api, kind: http, url: \"https://api.example/health\"}}\n"
        "  # - {{name: api-tls, kind: certificate, endpoint: \"api.example:443\"}}\n",
        is_pod_ ? "0.0.0.0:9747" : "127.0.0.1:9747", is_pod_ ? "" : "; 0.0.0.0 for all addresses",
        has_state ? "" : "# ", kState, kubernetes_, probes_);
  }

 private:
  static constexpr const char* kState = "/var/lib/vitalsd";

  // `lines` are the options after the name and the kind.
  void add(std::string_view why, std::string name, std::string_view kind,
           const std::vector<std::string>& lines = {}) {
    std::string unique = name;
    for (int i = 2; !names_.insert(unique).second; ++i) unique = name + '-' + std::to_string(i);
    probes_ += fmt::format("  # {}\n  - name: {}\n    kind: {}\n", why, unique, kind);
    for (const std::string& line : lines) probes_ += "    " + line + '\n';
  }

  // The secret: the variable if it is set, else a file that the user has to write.
  static std::string password(const std::string& name, const std::string& probe) {
    if (is_set(name.c_str())) return fmt::format("password: {{env: {}}}", name);
    return fmt::format(
        "password: {{file: /etc/vitalsd/{}-password}}  # write the password to this file", probe);
  }

  void find_kubernetes() {
    std::string why = "the pod's service account; it needs deploy/kubernetes/rbac.yaml";
    is_pod_ = is_set("KUBERNETES_SERVICE_HOST");
    if (!is_pod_) {
      const std::string all = variable("KUBECONFIG");
      std::string file = all.substr(0, all.find(':'));
      if (file.empty()) file = variable("HOME") + "/.kube/config";
      if (!file.starts_with('/') || !is_readable(file) || has_controls(file)) return;
      kubernetes_ = "kubernetes: {kubeconfig: " + quoted(file) + "}\n\n";
      why = "the cluster of the kubeconfig";
    }
    for (const char* kind : {"node", "pod", "workload"}) add(why, std::string(kind) + 's', kind);
  }

  void find_postgres() {
    const std::string host = variable("PGHOST");
    if (host.empty() || has_controls(host)) return;
    const std::string user = is_set("PGUSER") ? variable("PGUSER") : "postgres";
    std::string url = "postgresql://" + config::percent_encode(user) + '@';
    const bool is_socket = host.starts_with('/');
    if (!is_socket) {
      url += config::bracketed(host);
      if (is_set("PGPORT")) url += ':' + variable("PGPORT");
    }
    url += '/' + config::percent_encode(is_set("PGDATABASE") ? variable("PGDATABASE") : user);
    if (is_socket) {
      url += "?host=" + config::percent_encode(host);
    } else if (std::ranges::find(kModes, variable("PGSSLMODE")) != kModes.end()) {
      url += "?sslmode=" + variable("PGSSLMODE");
    }
    if (!is_socket && !config::Scalar<Url>::parse(url)) return;
    std::vector<std::string> lines = {"url: " + quoted(url)};
    if (is_set("PGPASSWORD")) lines.push_back(password("PGPASSWORD", "postgres"));
    add("PGHOST", "postgres", "postgres", lines);
  }

  void find_redis() {
    const std::string host = variable("REDIS_HOST");
    const std::string port = is_set("REDIS_PORT") ? variable("REDIS_PORT") : "6379";
    const std::string url = "redis://" + config::bracketed(host) + ':' + port;
    // Kubernetes sets REDIS_PORT to tcp://ADDRESS:PORT for a Service with the name redis.
    if (host.empty() || !config::Scalar<Url>::parse(url)) return;
    std::vector<std::string> lines = {"url: " + quoted(url)};
    if (is_set("REDIS_PASSWORD")) lines.push_back(password("REDIS_PASSWORD", "redis"));
    add("REDIS_HOST", "redis", "redis", lines);
  }

  // DATABASE_URL, REDIS_URL, API_URL and others.
  void find_urls() {
    std::vector<std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const std::string_view name = text.substr(0, text.find('='));
      if (name.ends_with("_URL") || name.ends_with("_URI")) variables.emplace_back(name);
    }
    std::ranges::sort(variables);
    for (const std::string& name : variables) {
      const auto url = config::Scalar<Url>::parse(variable(name.c_str()));
      if (url) add_url(name, *url);
    }
  }

  void add_url(const std::string& variable_name, const Url& given) {
    constexpr std::size_t kSuffix = 4;  // _URL
    const std::string prefix = variable_name.substr(0, variable_name.size() - kSuffix);
    std::string name;
    for (const char c : prefix.substr(0, kMaxName)) {
      if (is_lower_or_digit(c)) {
        name += c;
      } else if (config::is_letter(c)) {
        name += static_cast<char>(c - 'A' + 'a');
      } else if (!name.empty()) {
        name += '-';
      }
    }
    if (name.empty() || names_.size() >= kMaxProbes) return;
    const std::string& scheme = given.scheme;
    const std::string host =
        config::bracketed(given.host) + (given.port == 0 ? "" : ':' + std::to_string(given.port));
    const std::string user = given.user.empty() ? "" : config::percent_encode(given.user) + '@';
    std::vector<std::string> lines;
    // The query may contain a secret, so that only the mode of TLS is taken over.
    if (scheme.starts_with("postgres")) {
      std::string query;
      for (const std::string_view mode : kModes) {
        if (('&' + given.query + '&').contains("&sslmode=" + std::string(mode) + '&')) {
          query = "?sslmode=" + std::string(mode);
        }
      }
      lines.push_back("url: " + quoted("postgresql://" + (user.empty() ? "postgres@" : user) +
                                       host + given.path + query));
      if (!given.password.empty()) lines.push_back(password(prefix + "_PASSWORD", name));
      add(variable_name, name, "postgres", lines);
    } else if (scheme == "redis" || scheme == "rediss") {
      const bool is_number = given.path.size() == 2 && config::is_digit(given.path[1]);
      const std::string database = is_number ? given.path : "";
      lines.push_back("url: " + quoted(scheme + "://" + user + host + database));
      if (!given.password.empty()) lines.push_back(password(prefix + "_PASSWORD", name));
      add(variable_name, name, "redis", lines);
    } else if (scheme == "http" || scheme == "https") {
      add(variable_name, name, "http", {"url: " + quoted(scheme + "://" + host + given.path)});
      if (scheme == "https") {
        const std::string endpoint = config::bracketed(given.host) + ':' +
                                     std::to_string(given.port == 0 ? 443 : given.port);
        add(variable_name, name + "-tls", "certificate", {"endpoint: " + quoted(endpoint)});
      }
    } else if (given.port != 0) {
      add(variable_name, name, "tcp", {"endpoint: " + quoted(host)});
    }
  }

  void find_disks() {
    std::string mounts = quoted("/");
    std::set<std::string> devices;
    std::vector<Mount> table = read_mount_table();
    std::ranges::sort(table, {}, [](const Mount& mount) { return mount.mountpoint.size(); });
    for (const Mount& mount : table) {
      // The runtime of a container mounts single files of the host's disk.
      if (!mount.device.starts_with("/dev/") || has_no_free_space(mount.fstype) ||
          has_controls(mount.mountpoint) ||
          mount.mountpoint.find_first_of("*?") != std::string::npos ||
          !is_directory(mount.mountpoint) || devices.size() >= kMaxDisks ||
          !devices.insert(mount.device).second || mount.mountpoint == "/") {
        continue;
      }
      mounts += ", " + quoted(mount.mountpoint);
    }
    add("the local disks", "disks", "filesystem", {"mounts: [" + mounts + "]"});
  }

  static bool is_lower_or_digit(char c) { return config::is_lower(c) || config::is_digit(c); }

  static constexpr std::size_t kMaxName = 64;
  static constexpr std::size_t kMaxProbes = 100;
  static constexpr std::size_t kMaxDisks = 20;

  std::set<std::string> names_;
  bool is_pod_ = false;
  std::string kubernetes_;
  std::string probes_;
};

}  // namespace

int initialize(const std::string& file) {
  const std::string text = Starter().write();
  if (file.empty()) {
    std::fputs(text.c_str(), stdout);
    return 0;
  }
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  std::FILE* const out = descriptor < 0 ? nullptr : fdopen(descriptor, "w");
  const bool is_written = out != nullptr && std::fputs(text.c_str(), out) >= 0;
  if (out == nullptr || std::fclose(out) != 0 || !is_written) {
    const int error = errno;
    fmt::print(stderr, "vitalsd init: cannot write {}: {}{}\n", file,
               std::generic_category().message(error),
               error == EEXIST ? ": choose another name, or remove the file" : "");
    return 1;
  }
  fmt::print("{}: written; check it with `vitalsd config check {}`\n", file, file);
  return 0;
}

}  // namespace vitalsd
