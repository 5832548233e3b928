#include "probes/net/kubernetes/access.hpp"

#include "config/files/small_file.hpp"
#include "config/problems.hpp"
#include "config/yaml.hpp"

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

constexpr std::size_t kMaxFile = std::size_t{1} << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): never set by us
  return value == nullptr ? "" : value;
}

Text read_file(const std::string& path) {
  const Text text = config::read_small_file(path, kMaxFile);
  if (!text) return std::unexpected("cannot read " + path + ": " + text.error());
  return text;
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
  if (size < 0) return std::unexpected("is no base64");
  const bool one = in.ends_with('=');
  const bool two = in.ends_with("==");
  out.resize(static_cast<std::size_t>(size) - (one ? 1 : 0) - (two ? 1 : 0));
  return out;
}

std::expected<Access, std::string> in_cluster() {
  const std::string directory = service_account_directory();
  const std::string host = environment("KUBERNETES_SERVICE_HOST");
  const std::string port = environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return std::unexpected(
        "this is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set): name a kubeconfig "
        "under the top-level key kubernetes");
  }
  const config::Parsed<std::int64_t> number = config::Scalar<std::int64_t>::parse(port);
  if (!number || *number < 1 || *number > 65'535) {
    return std::unexpected("KUBERNETES_SERVICE_PORT is no port: " + config::quoted(port));
  }
  Access access;
  access.server.scheme = "https";
  access.server.host = host;
  access.server.port = static_cast<std::uint16_t>(*number);
  access.tls.ca = directory + "/ca.crt";
  access.token = config::Secret::file(directory + "/token");
  if (const Text name = read_file(directory + "/namespace")) access.namespace_name = *name;
  return access;
}

// One kubeconfig (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/). Keys that we do
// not know are left alone: the file is not ours. Those that change whom we ask, or as whom, are
// refused where they are not supported: without them the request means something else.
class Kubeconfig {
 public:
  Kubeconfig(std::string file, config::Value root)
      : file_(std::move(file)), root_(std::move(root)) {}

  [[nodiscard]] std::expected<Access, std::string> access(std::string context) const {
    if (context.empty()) context = text(root_, "current-context");
    if (context.empty()) {
      return std::unexpected(file_ +
                             " has no current-context: choose one under kubernetes.context");
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
    if (const auto done = read_cluster(cluster, access); !done)
      return std::unexpected(done.error());
    if (const auto done = read_user(user, access); !done) return std::unexpected(done.error());
    return access;
  }

 private:
  using Done = std::expected<void, std::string>;

  static const config::Value* child(const config::Value& value, std::string_view key) {
    const config::Member* member = value.find(key);
    return member == nullptr ? nullptr : &member->value;
  }
  static std::string text(const config::Value& value, std::string_view key) {
    const config::Value* found = child(value, key);
    return found != nullptr && found->kind == config::Value::Kind::scalar ? found->text : "";
  }

  // The mapping `inside` of the entry of that name in the list `list`.
  [[nodiscard]] const config::Value* entry(std::string_view list, std::string_view name,
                                           std::string_view inside) const {
    const config::Value* entries = child(root_, list);
    if (entries == nullptr) return nullptr;
    for (const config::Value& each : entries->items) {
      if (text(each, "name") == name) return child(each, inside);
    }
    return nullptr;
  }

  [[nodiscard]] std::vector<std::string_view> names(std::string_view list) const {
    std::vector<std::string_view> all;
    const config::Value* entries = child(root_, list);
    if (entries == nullptr) return all;
    for (const config::Value& each : entries->items) {
      const config::Value* name = child(each, "name");
      if (name != nullptr) all.push_back(name->text);
    }
    return all;
  }

  static bool says_nothing(const config::Value& value) {
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

  // An error if `value`, described by `whose`, has one of `keys`.
  [[nodiscard]] Done refuse(const config::Value& value, const std::string& whose,
                            std::initializer_list<std::string_view> keys,
                            std::string_view why) const {
    for (const std::string_view key : keys) {
      const config::Value* found = child(value, key);
      if (found == nullptr || says_nothing(*found)) continue;
      return std::unexpected(file_ + ": " + whose + " has " + std::string(key) + ", which " +
                             std::string(why));
    }
    return {};
  }

  // Files are named relative to the kubeconfig.
  [[nodiscard]] std::string beside(const std::string& path) const {
    return (std::filesystem::path(file_).parent_path() / path).string();
  }

  // PEM text from KEY-data, else the file that KEY names, else nothing.
  [[nodiscard]] Text pem(const config::Value& value, const std::string& key) const {
    const std::string data = text(value, key + "-data");
    if (data.empty()) {
      const std::string path = text(value, key);
      return path.empty() ? "" : beside(path);
    }
    Text decoded = decode_base64(data);
    if (!decoded) return std::unexpected(file_ + ": " + key + "-data " + decoded.error());
    if (!is_pem(*decoded)) return std::unexpected(file_ + ": " + key + "-data is no PEM text");
    return decoded;
  }

  Done read_cluster(const std::string& name, Access& access) const {
    const config::Value* cluster = entry("clusters", name, "cluster");
    if (cluster == nullptr) {
      return std::unexpected(file_ + " has no cluster " + config::quoted(name));
    }
    if (Done done = refuse(*cluster, "cluster " + config::quoted(name), {"proxy-url"},
                           "is not supported: vitalsd asks the server without a proxy");
        !done) {
      return done;
    }
    const std::string server = text(*cluster, "server");
    const config::Parsed<config::Url> url = config::Scalar<config::Url>::parse(server);
    if (!url || (url->scheme != "https" && url->scheme != "http")) {
      return std::unexpected(file_ + ": the server of cluster " + config::quoted(name) +
                             " is no URL of https");
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

  Done read_user(const std::string& name, Access& access) const {
    const config::Value* user = entry("users", name, "user");
    if (user == nullptr) return std::unexpected(file_ + " has no user " + config::quoted(name));
    for (const std::string_view way : {"exec", "auth-provider"}) {
      if (child(*user, way) == nullptr) continue;
      return std::unexpected(file_ + ": user " + config::quoted(name) + " signs in by " +
                             std::string(way) +
                             ", which runs a program and is not supported: use a token, a "
                             "tokenFile or a client certificate, such as a service account's");
    }
    if (Done done = refuse(
            *user, "user " + config::quoted(name), {"as", "as-uid", "as-groups", "as-user-extra"},
            "is not supported: vitalsd asks with the user's own rights, which may be "
            "stronger; give it a service account of its own");
        !done) {
      return done;
    }
    if (!text(*user, "username").empty() || !text(*user, "password").empty()) {
      return std::unexpected(file_ + ": user " + config::quoted(name) +
                             " signs in by a password, which Kubernetes no longer knows");
    }
    Text certificate = pem(*user, "client-certificate");
    if (!certificate) return std::unexpected(certificate.error());
    Text key = pem(*user, "client-key");
    if (!key) return std::unexpected(key.error());
    if (certificate->empty() != key->empty()) {
      return std::unexpected(file_ + ": client-certificate and client-key of user " +
                             config::quoted(name) + " go together");
    }
    if (is_pem(*certificate) != is_pem(*key)) {
      if (const Done done = load(*certificate); !done) return done;
      if (const Done done = load(*key); !done) return done;
    }
    access.tls.certificate = std::move(*certificate);
    access.tls.key = std::move(*key);
    const std::string token_file = text(*user, "tokenFile");
    const std::string token = text(*user, "token");
    if (!token_file.empty()) {
      access.token = config::Secret::file(beside(token_file));
    } else if (!token.empty()) {
      access.token = config::Secret::literal(token);
    }
    return {};
  }

  // The file's text instead of its name.
  static Done load(std::string& pem) {
    if (is_pem(pem)) return {};
    Text read = read_file(pem);
    if (!read) return std::unexpected(read.error());
    pem = std::move(*read);
    return {};
  }

  std::string file_;
  config::Value root_;
};

std::expected<Access, std::string> from_kubeconfig(const AccessOptions& options) {
  const Text text = read_file(options.kubeconfig);
  if (!text) return std::unexpected(text.error());
  config::Problems problems(options.kubeconfig);
  config::Value root = config::parse_yaml(*text, problems);
  if (problems.has_errors()) return std::unexpected(problems.line(problems.list().front()));
  return Kubeconfig(options.kubeconfig, std::move(root)).access(options.context);
}

}  // namespace

std::string service_account_directory() {
  const std::string chosen = environment("VITALSD_SERVICE_ACCOUNT");
  return chosen.empty() ? "/var/run/secrets/kubernetes.io/serviceaccount" : chosen;
}

std::expected<Access, std::string> read_access(const AccessOptions& options) {
  return options.kubeconfig.empty() ? in_cluster() : from_kubeconfig(options);
}

}  // namespace vitalsd::net::kubernetes
