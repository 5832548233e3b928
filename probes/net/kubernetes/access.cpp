#include "probes/net/kubernetes/access.hpp"

#include "config/problems.hpp"
#include "config/yaml.hpp"
#include "probes/error.hpp"

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <utility>

#include <openssl/evp.h>

namespace vitalsd::net::kubernetes {
namespace {

using Text = std::expected<std::string, std::string>;

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): vitalsd never sets one
  return value == nullptr ? "" : value;
}

Text decode_base64(std::string_view text) {
  std::string in;
  for (const char c : text) {
    if (c != '\n' && c != '\r' && c != ' ') in += c;
  }
  std::string out(in.size() / 4 * 3 + 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(in.data()),
                                   static_cast<int>(in.size()));
  if (size < 0) return std::unexpected("is not valid base64");
  std::size_t padding = 0;
  if (in.ends_with("==")) {
    padding = 2;
  } else if (in.ends_with('=')) {
    padding = 1;
  }
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

std::expected<Access, std::string> in_cluster() {
  const std::string directory = service_account_directory();
  const std::string host = environment("KUBERNETES_SERVICE_HOST");
  const std::string port = environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return std::unexpected(
        "not running in a pod (KUBERNETES_SERVICE_HOST is not set): configure a kubeconfig under "
        "the top-level key kubernetes");
  }
  const config::Parsed<std::int64_t> number = config::Scalar<std::int64_t>::parse(port);
  if (!number || *number < 1 || *number > 65'535) {
    return std::unexpected("KUBERNETES_SERVICE_PORT is not a valid port: " + config::quoted(port));
  }
  Access access;
  access.server.scheme = "https";
  access.server.host = host;
  access.server.port = static_cast<std::uint16_t>(*number);
  access.tls.ca = directory + "/ca.crt";
  access.token = config::Secret::file(directory + "/token");
  return access;
}

// A kubeconfig (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/). Unknown keys are
// ignored, because other programs use the file too. Unsupported keys that select another server or
// another identity are errors: if vitalsd ignored them, a request would go to a server, or use an
// identity, that the user did not configure.
class Kubeconfig {
 public:
  Kubeconfig(std::string file, config::Value root)
      : file_(std::move(file)), root_(std::move(root)) {}

  [[nodiscard]] std::expected<Access, std::string> access(std::string context) const {
    if (context.empty()) context = text(root_, "current-context");
    if (context.empty()) {
      return std::unexpected(file_ + " has no current-context: configure kubernetes.context");
    }
    const config::Value* chosen = entry("contexts", context, "context");
    if (chosen == nullptr) {
      return std::unexpected(file_ + " has no context " + config::quoted(context) +
                             config::did_you_mean(context, names("contexts")));
    }
    Access access;
    access.namespace_name = text(*chosen, "namespace");
    const std::string cluster = text(*chosen, "cluster");
    const std::string user = text(*chosen, "user");
    if (const Result result = read_cluster(cluster, access); !result) {
      return std::unexpected(result.error());
    }
    if (const Result result = read_user(user, access); !result) {
      return std::unexpected(result.error());
    }
    return access;
  }

 private:
  using Result = std::expected<void, std::string>;  // the error message

  static const config::Value* child(const config::Value& value, std::string_view key) {
    const config::Member* member = value.find(key);
    return member == nullptr ? nullptr : &member->value;
  }
  static std::string text(const config::Value& value, std::string_view key) {
    const config::Value* found = child(value, key);
    return found != nullptr && found->kind == config::Value::Kind::scalar ? found->text : "";
  }

  // Returns the mapping `inside` in the entry of `list` that has this name; null if there is none.
  [[nodiscard]] const config::Value* entry(std::string_view list, std::string_view name,
                                           std::string_view inside) const {
    const config::Value* entries = child(root_, list);
    if (entries == nullptr) return nullptr;
    for (const config::Value& entry : entries->items) {
      if (text(entry, "name") == name) return child(entry, inside);
    }
    return nullptr;
  }

  [[nodiscard]] std::vector<std::string_view> names(std::string_view list) const {
    std::vector<std::string_view> all;
    const config::Value* entries = child(root_, list);
    if (entries == nullptr) return all;
    for (const config::Value& entry : entries->items) {
      const config::Value* name = child(entry, "name");
      if (name != nullptr) all.push_back(name->text);
    }
    return all;
  }

  static bool is_empty(const config::Value& value) {
    switch (value.kind) {
      case config::Value::Kind::scalar:
        return value.text.empty();
      case config::Value::Kind::sequence:
        return value.items.empty();
      case config::Value::Kind::mapping:
        return value.members.empty();
      case config::Value::Kind::null:
        break;
    }
    return true;
  }

  // Returns an error if `value` has a non-empty value for one of `keys`. `owner` and `reason` are
  // for the message.
  [[nodiscard]] Result reject(const config::Value& value, const std::string& owner,
                              std::initializer_list<std::string_view> keys,
                              std::string_view reason) const {
    for (const std::string_view key : keys) {
      const config::Value* found = child(value, key);
      if (found == nullptr || is_empty(*found)) continue;
      return std::unexpected(file_ + ": " + owner + " has " + std::string(key) + ", which " +
                             std::string(reason));
    }
    return {};
  }

  // Paths in a kubeconfig are relative to its directory.
  [[nodiscard]] std::string resolve(const std::string& path) const {
    return (std::filesystem::path(file_).parent_path() / path).string();
  }

  // Returns the PEM text in KEY-data; otherwise the path in KEY; otherwise an empty text.
  [[nodiscard]] Text pem(const config::Value& value, const std::string& key) const {
    const std::string data = text(value, key + "-data");
    if (data.empty()) {
      const std::string path = text(value, key);
      return path.empty() ? "" : resolve(path);
    }
    Text decoded = decode_base64(data);
    if (!decoded) return std::unexpected(file_ + ": " + key + "-data " + decoded.error());
    if (!is_pem(*decoded)) return std::unexpected(file_ + ": " + key + "-data is not PEM text");
    return decoded;
  }

  Result read_cluster(const std::string& name, Access& access) const {
    const config::Value* cluster = entry("clusters", name, "cluster");
    if (cluster == nullptr) {
      return std::unexpected(file_ + " has no cluster " + config::quoted(name));
    }
    if (Result result = reject(*cluster, "cluster " + config::quoted(name), {"proxy-url"},
                               "is not supported: vitalsd connects to the server directly");
        !result) {
      return result;
    }
    const std::string server = text(*cluster, "server");
    const config::Parsed<config::Url> url = config::Scalar<config::Url>::parse(server);
    if (!url || (url->scheme != "https" && url->scheme != "http")) {
      return std::unexpected(file_ + ": the server of cluster " + config::quoted(name) +
                             " is not a valid https URL");
    }
    access.server = *url;
    while (access.server.path.ends_with('/')) access.server.path.pop_back();
    Text ca = pem(*cluster, "certificate-authority");
    if (!ca) return std::unexpected(ca.error());
    access.tls.ca = std::move(*ca);
    access.tls.server_name = text(*cluster, "tls-server-name");
    access.tls.verify = text(*cluster, "insecure-skip-tls-verify") != "true";
    return {};
  }

  Result read_user(const std::string& name, Access& access) const {
    const config::Value* user = entry("users", name, "user");
    if (user == nullptr) return std::unexpected(file_ + " has no user " + config::quoted(name));
    for (const std::string_view plugin : {"exec", "auth-provider"}) {
      if (child(*user, plugin) == nullptr) continue;
      return std::unexpected(file_ + ": user " + config::quoted(name) + " uses " +
                             std::string(plugin) +
                             ", which runs a program and is not supported: use a token, a "
                             "tokenFile or a client certificate, for example of a service account");
    }
    if (Result result = reject(
            *user, "user " + config::quoted(name), {"as", "as-uid", "as-groups", "as-user-extra"},
            "is not supported: vitalsd would use the permissions of the user itself, which may be "
            "wider; create a service account for vitalsd");
        !result) {
      return result;
    }
    if (!text(*user, "username").empty() || !text(*user, "password").empty()) {
      return std::unexpected(file_ + ": user " + config::quoted(name) +
                             " uses a password, which Kubernetes no longer supports");
    }
    Text certificate = pem(*user, "client-certificate");
    if (!certificate) return std::unexpected(certificate.error());
    Text key = pem(*user, "client-key");
    if (!key) return std::unexpected(key.error());
    if (certificate->empty() != key->empty()) {
      return std::unexpected(file_ + ": client-certificate and client-key of user " +
                             config::quoted(name) + " must be set together");
    }
    access.tls.certificate = std::move(*certificate);
    access.tls.key = std::move(*key);
    const std::string token_file = text(*user, "tokenFile");
    const std::string token = text(*user, "token");
    if (!token_file.empty()) {
      access.token = config::Secret::file(resolve(token_file));
    } else if (!token.empty()) {
      access.token = config::Secret::literal(token);
    }
    return {};
  }

  std::string file_;
  config::Value root_;
};

// The pod's namespace is optional.
asio::awaitable<std::string> read_namespace(ConfiguredFiles& files) {
  try {
    const FileText name = co_await files.read(service_account_directory() + "/namespace");
    co_return *name;
  } catch (const ProbeError&) {
    co_return "";
  }
}

}  // namespace

std::string service_account_directory() {
  const std::string chosen = environment("VITALSD_SERVICE_ACCOUNT");
  return chosen.empty() ? "/var/run/secrets/kubernetes.io/serviceaccount" : chosen;
}

std::expected<Access, std::string> read_kubeconfig(const AccessOptions& options,
                                                   std::string_view content) {
  config::Problems problems(options.kubeconfig);
  config::Value root = config::parse_yaml(content, problems);
  if (problems.has_errors()) return std::unexpected(problems.line(problems.list().front()));
  return Kubeconfig(options.kubeconfig, std::move(root)).access(options.context);
}

asio::awaitable<Access> read_access(ConfiguredFiles& files, AccessOptions options) {
  std::expected<Access, std::string> access;
  if (options.kubeconfig.empty()) {
    access = in_cluster();
    if (access) access->namespace_name = co_await read_namespace(files);
  } else {
    const FileText content = co_await files.read(options.kubeconfig);
    access = read_kubeconfig(options, *content);
  }
  if (!access) throw ProbeError(Reason::config, access.error());
  co_return std::move(*access);
}

}  // namespace vitalsd::net::kubernetes
