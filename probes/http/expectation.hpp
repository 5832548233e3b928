// What a response must contain: the option `expect` of kind `http`.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/options.hpp"

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::http {

/// "200", or "2xx" for a whole class.
struct StatusPattern {
  int first = 200;
  int last = 299;
  [[nodiscard]] bool matches(int status) const { return first <= status && status <= last; }
};

class Expectation {
 public:
  explicit Expectation(config::Node& node);

  /// All differences from what is expected, in one sentence; empty if there are none. `is_tls`:
  /// whether the response came over TLS.
  [[nodiscard]] std::string differences(const net::HttpResponse& response, bool is_tls) const;

 private:
  std::vector<StatusPattern> statuses_;
  std::vector<std::pair<std::string, std::string>> json_;  // pointers and values
  std::vector<std::string> headers_;
  bool security_headers_;
  std::optional<net::Pattern> body_;
  std::optional<net::Pattern> not_body_;
};

}  // namespace vitalsd::http

template <>
struct vitalsd::config::Scalar<vitalsd::http::StatusPattern> {
  static constexpr std::string_view kName = "HTTP status";
  static constexpr bool kPlain = false;
  static Parsed<http::StatusPattern> parse(std::string_view text);
  static std::string show(const http::StatusPattern& value);
};
