// One request to the Kubernetes API: address, credentials, format, and what its refusals mean.
// Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/kubernetes/access.hpp"
#include "probes/net/kubernetes/wire.hpp"

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net::kubernetes {

/// A type of object, as URLs name it.
struct Resource {
  std::string_view group;    ///< "" for core
  std::string_view version;  ///< "v1"
  std::string_view plural;   ///< "pods"
  Format format = Format::protobuf;
  /// What to make do with where the server does not have it in `version`; best first, "" is none.
  std::array<std::string_view, 2> older_versions{};
  bool operator==(const Resource&) const = default;

  /// All of them, best first.
  [[nodiscard]] std::vector<std::string_view> versions() const;
};

/// "pods", "cronjobs.batch": as kubectl names them.
std::string name_of(const Resource& resource);

/// Whether an APIResourceList (the answer to GET /apis/GROUP/VERSION) has `plural`. Throws
/// ProbeError(protocol) for what is none.
bool lists_resource(std::string_view api_resource_list, std::string_view plural);

/// Refused by the API server. reason(): auth (401), permission (403), mismatch (404), overload
/// (429), unready (5xx), else protocol.
class ApiError : public ProbeError {
 public:
  ApiError(const std::string& what, Status status);
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  Status status_;
};

class Api {
 public:
  using Parameters = std::vector<std::pair<std::string_view, std::string>>;
  using OnData = std::function<bool(std::string_view)>;

  explicit Api(HttpClient& http) : http_(http) {}

  /// Whom to ask from the next request on.
  void set_access(AccessOptions options) { options_ = std::move(options); }
  [[nodiscard]] const AccessOptions& options() const { return options_; }

  /// Credentials as they are now; throws ProbeError(config, auth).
  [[nodiscard]] Access access() const;

  struct Call {
    std::string path;         ///< "/api/v1/pods"
    Parameters parameters{};  ///< of the query, not encoded
    std::string_view accept = "application/json";
    std::string what{};  ///< "list pods", for errors
    std::string_view method = "GET";
    std::string body{};  ///< JSON
    OnData on_data{};    ///< as HttpRequest's
    std::size_t max_body = std::size_t{4} << 20;
  };
  /// Throws ApiError where the server refuses, else ProbeError as HttpClient does.
  asio::awaitable<HttpResponse> call(Call call, SampleSet& out) const;

  /// "/apis/apps/v1/namespaces/web/deployments"; an empty namespace means all of them.
  static std::string path_of(const Resource& resource, std::string_view namespace_name);

 private:
  HttpClient& http_;
  AccessOptions options_;
};

}  // namespace vitalsd::net::kubernetes
