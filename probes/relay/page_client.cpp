#include "probes/relay/page_client.hpp"

#include "config/endpoint.hpp"
#include "probes/net/http_proxy.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <exception>
#include <utility>

namespace vitalsd::relay {
namespace {

// The same header as that of Prometheus, because a target may use other names in each format.
constexpr const char* kAccept =
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

// The media type of a Content-Type header, in lower case.
std::string media_type(const net::HttpResponse& response) {
  const std::string* const header = response.header("Content-Type");
  std::string type = header == nullptr ? "" : header->substr(0, header->find(';'));
  std::erase(type, ' ');
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::tolower(c); });
  return type;
}

void check_media_type(const std::string& type) {
  constexpr std::array<std::string_view, 3> kOther = {"text/html", "application/json",
                                                      "application/vnd.google.protobuf"};
  if (std::ranges::find(kOther, type) == kOther.end()) return;
  throw ProbeError(Reason::mismatch, "the response has the content type " + type +
                                         ", not that of Prometheus metrics (text/plain or "
                                         "application/openmetrics-text): check the path");
}

Reason reason_of(int status) {
  switch (status) {
    case 401:
      return Reason::auth;
    case 403:
      return Reason::permission;
    case 429:
      return Reason::overload;
    case 502:
    case 503:
    case 504:
      return Reason::unready;
    default:
      return Reason::mismatch;
  }
}

}  // namespace

PageClient::PageClient(config::Node& options, const Environment& environment, net::UrlOption urls)
    : environment_(environment),
      access_(net::HttpAccess::read_with_urls(options, {urls})),
      max_body_(options.get<config::Bytes>("max_body", config::Bytes{64 << 20},
                                           "a larger page, before compression, is an error",
                                           {config::Bytes{1}, config::Bytes{1 << 30}})) {}

asio::awaitable<std::unique_ptr<PageReader>> PageClient::get(const Target& target,
                                                             config::Duration limit, SampleSet& run,
                                                             const MakeReader& make) const {
  net::HttpRequest request = co_await access_.request(environment_.files, run);
  request.url = target.url;
  request.limit = limit;
  request.reuse_connection = true;
  request.accept_gzip = true;
  request.headers.emplace_back("Accept", kAccept);
  if (!target.host.empty()) {
    const config::Endpoint endpoint{target.host, target.url.port};
    request.headers.emplace_back("Host", endpoint.text());
    if (request.tls.server_name.empty()) request.tls.server_name = target.host;
  }
  std::unique_ptr<PageReader> reader;
  std::size_t size = 0;
  std::exception_ptr error;  // must not unwind through libcurl
  const auto guard = [&](const auto& action) {
    try {
      if (!error) action();
    } catch (...) {
      error = std::current_exception();
    }
    return error == nullptr;
  };
  request.on_headers = [&](const net::HttpResponse& response) {
    guard([&] {
      const std::string type = media_type(response);
      check_media_type(type);
      reader = make(type == "application/openmetrics-text");
    });
  };
  request.on_data = [&](std::string_view piece) {
    return guard([&] {
      size += piece.size();
      if (size > max_body_.value) {
        throw ProbeError(Reason::protocol,
                         "the page is larger than " + std::to_string(max_body_.value) +
                             " bytes: raise max_body, or drop families in the target");
      }
      reader->feed(piece);
    });
  };
  // The run reports one step for all targets, not one for each request.
  SampleSet steps;
  const net::HttpResponse response = co_await environment_.http.perform(request, steps);
  if (error) std::rethrow_exception(error);
  if (response.status < 200 || response.status > 299) {
    throw net::about_response(
        request.url, request.proxy,
        {reason_of(response.status), "status " + std::to_string(response.status)});
  }
  co_return reader;
}

}  // namespace vitalsd::relay
