// Lists the objects of an S3 bucket, at AWS or a compatible server. libcurl signs the requests with
// SigV4; pugixml parses the responses. Probe loop only.
#pragma once

#include "config/secret.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/http_route.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

struct S3Object {
  std::string key;
  std::uint64_t size = 0;
  double modified = 0;  ///< Unix time, by the store's clock
};

/// One page of ListObjectsV2.
struct S3Page {
  std::vector<S3Object> objects;
  std::string continuation;  ///< token of the next page; empty: this is the last page
};

struct S3Options {
  std::string bucket;
  std::string prefix;
  std::string region;
  config::Url endpoint;       ///< the service, without the bucket
  bool path_style = false;    ///< bucket in the path instead of in the host
  config::Secret access_key;  ///< if it is not set, the environment is used
  config::Secret secret_key;
  config::Secret session_token;
  /// For web identity; default: the endpoint of the region.
  std::optional<config::Url> sts_endpoint;
  HttpRoute route;  ///< also to the token service
  TlsOptions tls;

  /// Reads the section `s3` of a probe's options.
  static S3Options read(config::Node& section);
};

class S3Bucket {
 public:
  static constexpr std::size_t kMaxObjects = 1000;  ///< of a page

  S3Bucket(const Environment& environment, S3Options options)
      : environment_(environment), options_(std::move(options)) {}

  /// Returns one page of the objects under the prefix: the first page, or the page after the one
  /// with this continuation token. Throws ProbeError: see s3_error().
  asio::awaitable<S3Page> page(SampleSet& out, std::string continuation = {},
                               std::size_t max_objects = kMaxObjects);

  /// Calls `take` with each page of the objects under the prefix. Throws ProbeError: see
  /// s3_error(); ProbeError(config) for more than a million objects, because such a prefix is a
  /// mistake.
  asio::awaitable<void> list(SampleSet& out, const std::function<void(const S3Page&)>& take);

  /// The time of the store's clock in its last response, in Unix time.
  [[nodiscard]] std::optional<double> server_time() const { return server_time_; }
  [[nodiscard]] const S3Options& options() const { return options_; }
  /// "s3://BUCKET/PREFIX".
  [[nodiscard]] std::string text() const {
    return "s3://" + options_.bucket + '/' + options_.prefix;
  }

 private:
  asio::awaitable<AwsCredentials> credentials(SampleSet& out);
  asio::awaitable<AwsCredentials> assume_role(SampleSet& out);
  /// Sets assumed_ and assumed_until_.
  asio::awaitable<void> request_role(SampleSet& out);
  [[nodiscard]] config::Url token_service() const;
  asio::awaitable<S3Page> page(SampleSet& out, const AwsCredentials& credentials,
                               const std::string& continuation, std::size_t max_objects);
  /// Without proxy and IP version.
  [[nodiscard]] HttpRequest request(const AwsCredentials& credentials,
                                    const std::string& continuation, std::size_t max_objects) const;

  const Environment& environment_;
  S3Options options_;
  std::optional<double> server_time_;
  std::optional<AwsCredentials> assumed_;  // from web identity, valid until assumed_until_
  std::chrono::sys_seconds assumed_until_{};
};

/// Parses the XML of a page. Throws ProbeError(protocol).
S3Page parse_s3_page(std::string_view xml);

/// Classifies an error response by the code in its XML, or else by its status.
ProbeError s3_error(int status, std::string_view xml);

/// Parses "2026-11-23T02:00:05.000Z" to Unix time without the fraction. Returns nothing for other
/// formats.
std::optional<double> parse_iso_time(std::string_view text);

/// Parses "Mon, 23 Nov 2026 02:00:05 GMT" to Unix time. Returns nothing for other formats.
std::optional<double> parse_http_time(std::string_view text);

}  // namespace vitalsd::net
