// One request to the Kubernetes API: address, credentials, format, and the meaning of its error
// responses. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/net/configured_files.hpp"
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

/// A type of object, with its names in URLs.
struct Resource {
  std::string_view group;    ///< "" for core
  std::string_view version;  ///< "v1"
  std::string_view plural;   ///< "pods"
  Format format = Format::protobuf;
  /// Versions to use if the server does not have `version`, in order of preference. An empty entry
  /// is unused.
  std::array<std::string_view, 2> older_versions{};
  bool operator==(const Resource&) const = default;

  /// `version` and the older ones, in order of preference.
  [[nodiscard]] std::vector<std::string_view> versions() const;
};

/// "pods", "cronjobs.batch": the name that kubectl uses.
std::string name_of(const Resource& resource);

/// The objects to list and watch.
struct Query {
  Resource resource;
  std::string namespace_name{};  ///< empty: all namespaces
  std::string label_selector{};
  std::string field_selector{};
  bool operator==(const Query&) const = default;
  /// "pods", "secrets in web": for messages.
  [[nodiscard]] std::string text() const;
};

/// Whether an APIResourceList (the response to GET /apis/GROUP/VERSION) contains `plural`. Throws
/// ProbeError(protocol) if the text is not an APIResourceList.
bool lists_resource(std::string_view api_resource_list, std::string_view plural);

/// An error response of the API server. reason(): auth (401), permission (403), mismatch (404,
/// 410), overload (429), unready (5xx), otherwise protocol.
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

  Api(ConfiguredFiles& files, HttpClient& http) : files_(files), http_(http) {}

  /// Sets the server and credentials for all further requests.
  void set_access(AccessOptions options) { options_ = std::move(options); }
  [[nodiscard]] const AccessOptions& options() const { return options_; }

  /// Reads the credentials. Throws the exceptions of read_access().
  [[nodiscard]] asio::awaitable<Access> access() const;

  struct Call {
    std::string path;         ///< "/api/v1/pods"
    Parameters parameters{};  ///< of the URL's query, not yet percent-encoded
    std::string_view accept = "application/json";
    std::string what{};  ///< "list pods", for errors
    std::string_view method = "GET";
    std::string body{};  ///< JSON
    OnData on_data{};    ///< see HttpRequest::on_data
    std::size_t max_body = std::size_t{4} << 20;
  };
  /// Throws ApiError for an error response, otherwise the exceptions of HttpClient.
  asio::awaitable<HttpResponse> call(Call call, SampleSet& out) const;

  /// "/apis/apps/v1/namespaces/web/deployments"; an empty name selects all namespaces.
  static std::string path_of(const Resource& resource, std::string_view namespace_name);

 private:
  ConfiguredFiles& files_;
  HttpClient& http_;
  AccessOptions options_;
};

}  // namespace vitalsd::net::kubernetes
