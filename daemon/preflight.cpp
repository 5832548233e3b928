#include "daemon/preflight.hpp"

#include "config/path.hpp"
#include "config/variable.hpp"
#include "daemon/build.hpp"
#include "probes/error.hpp"
#include "probes/net/certificate_file.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/tls.hpp"
#include "probes/net/within.hpp"
#include "probes/registry.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using config::Value;

constexpr std::string_view kSecret = "secret";  // the type that Node::secret declares
constexpr std::string_view kUrl = config::Scalar<config::Url>::kName;
constexpr std::array kTypes = {kSecret,
                               kUrl,
                               config::kFile,
                               config::kCertificateFile,
                               config::kKeyFile,
                               config::kDirectory,
                               config::kWritableDirectory};

// The type of a value or of the items of a list; empty if values of the type refer to nothing.
std::string_view type_of(const config::Option& option) {
  constexpr std::string_view kList = "list of ";
  std::string_view type = option.type;
  if (type.starts_with(kList)) type.remove_prefix(kList.size());
  const auto* const found = std::ranges::find(kTypes, type);
  return found == kTypes.end() ? std::string_view() : *found;
}

std::string not_expanded(std::string_view variable) {
  return "vitalsd does not expand " + config::quoted(variable) + ": write its value";
}

constexpr std::string_view kHangs = ": check that its file system responds";

std::string repair(std::string_view error, std::string_view object) {
  if (error.contains(std::generic_category().message(EACCES))) {
    return ": let the user of vitalsd (here the uid " + std::to_string(geteuid()) + ") access it";
  }
  if (!error.contains(std::generic_category().message(ENOENT))) return "";
  return ": create the " + std::string(object) + " or correct the path";
}

// Blocks. Does not list the directory, which could take long.
std::string directory_error(const std::string& path, bool must_be_writable) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return std::generic_category().message(errno);
  if (!S_ISDIR(status.st_mode)) return "not a directory";
  const int mode = R_OK | X_OK | (must_be_writable ? W_OK : 0);
  if (faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) != 0) {
    return std::generic_category().message(errno);
  }
  return "";
}

asio::awaitable<void> look_at(const Environment& environment, std::string path, bool writable,
                              std::string& error) {
  auto look = [path, writable](const net::StopFlag&) { return directory_error(path, writable); };
  error = co_await environment.offload.run(path, std::move(look));
}

asio::awaitable<std::string> directory_fault(const Environment& environment, std::string path,
                                             bool writable) {
  constexpr std::chrono::seconds kMaxTime{1};
  std::string error;
  const bool in_time = co_await net::within(environment.wheel, kMaxTime,
                                            look_at(environment, path, writable, error));
  if (!in_time) co_return path + " does not respond" + std::string(kHangs);
  if (error.empty()) co_return error;
  co_return (writable ? "cannot write in " : "cannot read ") + path + ": " + error +
      repair(error, "directory");
}

std::string content_fault(std::string_view type, const std::string& content) {
  if (type == config::kKeyFile) return net::private_key_fault(content);
  if (type != config::kCertificateFile) return "";
  const net::CertificateList list = net::read_pem_certificates(content);
  return list.certificates.empty() ? net::describe_other(content) : list.fault;
}

asio::awaitable<net::FileText> text_of(const Environment& environment, std::string path) {
  if (net::is_pem(path)) co_return std::make_shared<const std::string>(std::move(path));
  co_return co_await environment.files.read(std::move(path));
}

// Both files are good by themselves.
asio::awaitable<std::string> pair_fault(std::string certificate, std::string key,
                                        const Environment& environment) {
  const auto shown = [](const std::string& path) { return net::is_pem(path) ? "text" : path; };
  std::string fault = "the key " + shown(key) + " does not match the certificate " +
                      shown(certificate) + ": use the key of this certificate";
  try {
    const net::FileText chain = co_await text_of(environment, certificate);
    const net::FileText secret = co_await text_of(environment, key);
    const bool match = co_await environment.computing.run(
        key, [chain, secret](const net::StopFlag&) { return net::is_pair(*chain, *secret); });
    if (match) co_return "";
  } catch (const ProbeError&) {
    co_return "";  // a file has changed since it was read: there may be a new pair
  }
  co_return fault;
}

}  // namespace

Preflight::Preflight(const config::Document& document, const Environment& environment)
    : problems_(document.problems().file()) {
  const Value& tree = document.tree();
  collect(tree, "", config::describe_settings());
  std::map<const ProbeKind*, std::vector<config::Option>> options;
  const config::Settings& settings = document.settings();
  for (const config::ProbeSettings& probe : settings.probes) {
    const ProbeKind* kind = find_kind(probe.kind);
    if (kind == nullptr || !probe.enabled) continue;
    const auto [found, is_new] = options.try_emplace(kind);
    if (is_new) found->second = describe_kind(*kind, environment);
    collect(probe.options->value(), probe.options->path(), found->second);
  }
  const config::Member* probes = tree.find("probes");
  if (probes == nullptr) return;
  if (settings.probes.empty()) {
    problems_.warning(probes->value.mark, "probes",
                      "no probe is configured, so nothing is observed: add one");
  } else if (std::ranges::none_of(settings.probes, &config::ProbeSettings::enabled)) {
    problems_.warning(probes->value.mark, "probes",
                      "all probes are disabled, so nothing is observed: enable one");
  }
}

void Preflight::collect(const Value& value, const std::string& path,
                        const std::vector<config::Option>& options) {
  for (const config::Option& option : options) {
    const std::string_view type = type_of(option);
    if (!type.empty()) collect(value, path, option.path, type);
  }
}

// Follows `pattern`, such as "tls.ca" or "queries[].token", from the mapping `value`.
void Preflight::collect(const Value& value, std::string path, std::string_view pattern,
                        std::string_view type) {
  if (pattern.empty()) return add(value, std::move(path), type);
  const std::size_t end = std::min(pattern.find('.'), pattern.size());
  std::string_view key = pattern.substr(0, end);
  const std::string_view rest = pattern.substr(std::min(end + 1, pattern.size()));
  const bool is_list = key.ends_with("[]");
  if (is_list) key.remove_suffix(2);
  const config::Member* found = value.find(key);
  if (found == nullptr) return;
  if (!path.empty()) path += '.';
  path += key;
  if (!is_list) return collect(found->value, std::move(path), rest, type);
  for (std::size_t i = 0; i < found->value.items.size(); ++i) {
    collect(found->value.items[i], path + '[' + std::to_string(i) + ']', rest, type);
  }
}

void Preflight::add(const Value& value, std::string path, std::string_view type) {
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    add(value.items[i], path + '[' + std::to_string(i) + ']', type);
  }
  if (type == kSecret) {
    const auto text = [&](std::string_view key) {
      const config::Member* source = value.find(key);
      return source == nullptr ? std::string() : source->value.text;
    };
    config::Secret secret;
    if (value.find("file") != nullptr) secret = config::Secret::file(text("file"));
    if (value.find("env") != nullptr) secret = config::Secret::environment(text("env"));
    if (value.find("credential") != nullptr) {
      secret = config::Secret::credential(text("credential"));
    }
    if (secret) references_.push_back({type, value.mark, std::move(path), text("env"), secret});
  } else if (value.kind == Value::Kind::scalar && !value.text.empty()) {
    if (type != kUrl) return references_.push_back({type, value.mark, path, value.text, {}});
    const std::string_view variable = config::find_variable(config::without_userinfo(value.text));
    if (!variable.empty()) problems_.warning(value.mark, path, not_expanded(variable));
  }
}

std::string Preflight::Reference::file() const { return type == kSecret ? secret.path() : text; }

asio::awaitable<config::Problems> Preflight::run(Preflight preflight,
                                                 const Environment& environment) {
  config::Problems problems = std::move(preflight.problems_);
  std::map<std::pair<std::string_view, std::string>, std::string> known;  // by type and file
  for (const Reference& reference : preflight.references_) {
    const std::pair key(reference.type, reference.file());
    const auto found = known.find(key);
    std::string message =
        found != known.end() ? found->second : co_await fault(reference, environment);
    if (!key.second.empty()) known.emplace(key, message);
    if (!message.empty()) problems.warning(reference.mark, reference.path, std::move(message));
  }
  for (const Reference& key : preflight.references_) {
    if (key.type != config::kKeyFile || !known[{key.type, key.text}].empty()) continue;
    const Reference* const certificate = preflight.certificate_of(key);
    if (certificate == nullptr || !known[{certificate->type, certificate->text}].empty()) continue;
    std::string message = co_await pair_fault(certificate->text, key.text, environment);
    if (!message.empty()) problems.warning(key.mark, key.path, std::move(message));
  }
  co_return problems;
}

// The certificate in the same section, such as tls.certificate for tls.key; null if there is none.
const Preflight::Reference* Preflight::certificate_of(const Reference& key) const {
  const std::string path = key.path.substr(0, key.path.rfind('.') + 1) + "certificate";
  const auto found = std::ranges::find_if(references_, [&](const Reference& each) {
    return each.type == config::kCertificateFile && each.path == path;
  });
  return found == references_.end() ? nullptr : &*found;
}

// Returns why the reference cannot be used, and what to do; empty if it can be used.
asio::awaitable<std::string> Preflight::fault(Reference reference, const Environment& environment) {
  const std::string path = reference.file();
  const std::string_view variable = config::find_variable(path.empty() ? reference.text : path);
  if (!variable.empty()) {
    co_return path.empty() ? "write the name of the variable without $" : not_expanded(variable);
  }
  if (path.starts_with('~')) co_return "vitalsd does not expand '~': write the whole path";
  try {
    if (reference.type == kSecret) {
      co_await environment.files.read(reference.secret);
      co_return "";
    }
    if (reference.type == config::kDirectory || reference.type == config::kWritableDirectory) {
      co_return co_await directory_fault(environment, path,
                                         reference.type == config::kWritableDirectory);
    }
    const bool is_text = net::is_pem(path);
    const net::FileText content = co_await text_of(environment, path);
    // A bundle of CAs takes ten milliseconds.
    std::string problem = co_await environment.computing.run(
        path, [type = reference.type, content](const net::StopFlag&) {
          return content_fault(type, *content);
        });
    if (problem.empty()) co_return "";
    if (!problem.contains(": ")) problem += ": use another file";
    co_return (is_text ? "the text" : path) + ' ' + problem;
  } catch (const ProbeError& error) {
    const std::string what = error.what();
    if (error.reason() != Reason::config) co_return what + std::string(kHangs);
    if (!path.empty()) co_return what + repair(what, "file");
    co_return what + (reference.text.empty() ? "" : ": set it in the environment of vitalsd");
  }
}

}  // namespace vitalsd
