// Listing of an S3 bucket: requests signed with SigV4 by libcurl, answers in XML by pugixml. Works
// with AWS and with servers that speak its protocol. Probe loop only.
#pragma once

#include "config/secret.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <chrono>
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
  std::string continuation;  ///< empty: the last page
};

struct S3Options {
  std::string bucket;
  std::string prefix;
  std::string region;
  config::Url endpoint;       ///< the service, without the bucket
  bool path_style = false;    ///< bucket in the path instead of in the host
  config::Secret access_key;  ///< none: from the environment
  config::Secret secret_key;
  config::Secret session_token;
  std::optional<config::Url> sts_endpoint;  ///< for web identity; else that of the region
  TlsOptions tls;

  /// Reads the section `s3` of a probe's options.
  static S3Options read(config::Node& section);
};

class S3Bucket {
 public:
  S3Bucket(const Environment& environment, S3Options options)
      : environment_(environment), options_(std::move(options)) {}

  /// Calls `take` with each page of the objects under the prefix. Throws ProbeError: see
  /// s3_error(); also for more than a million objects, since a prefix that wide is a mistake.
  asio::awaitable<void> list(SampleSet& out, const std::function<void(const S3Page&)>& take);

  /// The store's clock at its last answer, in Unix time.
  [[nodiscard]] std::optional<double> server_time() const { return server_time_; }
  [[nodiscard]] const S3Options& options() const { return options_; }

 private:
  asio::awaitable<AwsCredentials> credentials(SampleSet& out);
  asio::awaitable<AwsCredentials> assume_role(SampleSet& out);
  [[nodiscard]] HttpRequest request(const AwsCredentials& credentials,
                                    const std::string& continuation) const;

  const Environment& environment_;
  S3Options options_;
  std::optional<double> server_time_;
  std::optional<AwsCredentials> assumed_;  // by web identity, until assumed_until_
  std::chrono::sys_seconds assumed_until_{};
};

/// Reads the XML of a page. Throws ProbeError(protocol).
S3Page parse_s3_page(std::string_view xml);

/// What an answer with an error means, by its status and the code in its XML.
ProbeError s3_error(int status, std::string_view xml);

/// "2026-11-23T02:00:05.000Z" in Unix time.
std::optional<double> parse_iso_time(std::string_view text);

/// "Mon, 23 Nov 2026 02:00:05 GMT" in Unix time.
std::optional<double> parse_http_time(std::string_view text);

}  // namespace vitalsd::net
