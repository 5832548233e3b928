#include "daemon/health_check.hpp"

#include "daemon/app.hpp"
#include "daemon/http_get.hpp"
#include "exporter/model/text_format.hpp"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string_view>

namespace vitalsd {

int check_health(const std::string& url) {
  const auto parsed = parse_http_url(url);
  if (!parsed) {
    std::fprintf(stderr, "--url: %s\n", parsed.error().c_str());
    return static_cast<int>(Exit::config);
  }
  net::HttpRequest request;
  request.url = *parsed;
  request.tls.verify = false;
  // The web thread of the daemon does no slow work, so a longer timeout would not help.
  request.limit = std::chrono::seconds(5);
  const auto response = http_get(request);
  constexpr int kOk = 200;
  if (response && response->status == kOk) return 0;
  std::string problem = response ? "" : response.error();
  if (response) {
    constexpr std::size_t kMaxText = 200;
    const std::string_view body(response->body);
    problem = "status " + std::to_string(response->status) + ": " +
              shown_text(body.substr(0, body.find('\n')), kMaxText);
  }
  std::fprintf(stderr, "%s: %s\n", url.c_str(), problem.c_str());
  return static_cast<int>(Exit::failure);
}

}  // namespace vitalsd
