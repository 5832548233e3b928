#include "probes/net/kubernetes/api.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace vitalsd::net::kubernetes {
namespace {

Reason reason_of(int code) {
  switch (code) {
    case 401:
      return Reason::auth;
    case 403:
      return Reason::permission;
    case 404:
    case 410:
      return Reason::mismatch;
    case 429:
      return Reason::overload;
    default:
      return code >= 500 ? Reason::unready : Reason::protocol;
  }
}

std::string describe(const std::string& what, const Status& status) {
  std::string text = "cannot " + what + ": the API server returned " + std::to_string(status.code);
  if (!status.reason.empty()) text += ' ' + status.reason;
  if (!status.message.empty()) text += ": " + status.message;
  return text;
}

std::string encode(std::string_view text) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~").contains(c)) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

}  // namespace

std::string name_of(const Resource& resource) {
  std::string name(resource.plural);
  if (!resource.group.empty()) name += '.' + std::string(resource.group);
  return name;
}

std::vector<std::string_view> Resource::versions() const {
  std::vector<std::string_view> all = {version};
  std::ranges::copy_if(older_versions, std::back_inserter(all),
                       [](std::string_view older) { return !older.empty(); });
  return all;
}

std::string Query::text() const {
  std::string text = name_of(resource);
  if (!namespace_name.empty()) text += " in " + namespace_name;
  if (!label_selector.empty()) text += " with " + label_selector;
  if (!field_selector.empty()) text += " where " + field_selector;
  return text;
}

bool lists_resource(std::string_view api_resource_list, std::string_view plural) {
  boost::json::error_code error;
  const boost::json::value list =
      boost::json::parse({api_resource_list.data(), api_resource_list.size()}, error);
  const boost::json::object* const object = list.if_object();
  const boost::json::value* const found = object ? object->if_contains("resources") : nullptr;
  const boost::json::array* const resources = found ? found->if_array() : nullptr;
  if (error || resources == nullptr) {
    throw ProbeError(Reason::protocol, "the API server sent an invalid APIResourceList");
  }
  return std::ranges::any_of(*resources, [&](const boost::json::value& value) {
    const boost::json::object* const resource = value.if_object();
    const boost::json::value* const name = resource ? resource->if_contains("name") : nullptr;
    return name != nullptr && name->is_string() && std::string_view(name->get_string()) == plural;
  });
}

ApiError::ApiError(const std::string& what, Status status)
    : ProbeError(reason_of(status.code), describe(what, status)), status_(std::move(status)) {}

asio::awaitable<Access> Api::access() const { return read_access(files_, options_); }

std::string Api::path_of(const Resource& resource, std::string_view namespace_name) {
  std::string path =
      resource.group.empty() ? "/api/" : "/apis/" + std::string(resource.group) + '/';
  path += resource.version;
  if (!namespace_name.empty()) path += "/namespaces/" + encode(namespace_name);
  path += '/';
  path += resource.plural;
  return path;
}

asio::awaitable<HttpResponse> Api::call(Call call, SampleSet& out) const {
  const Access access = co_await this->access();
  HttpRequest request;
  request.method = call.method;
  request.url = access.server;
  request.url.path += call.path;
  for (const auto& [key, value] : call.parameters) {
    if (!request.url.query.empty()) request.url.query += '&';
    request.url.query += std::string(key) + '=' + encode(value);
  }
  request.headers = {{"Accept", std::string(call.accept)}};
  request.body = std::move(call.body);
  if (!request.body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  request.tls = access.tls;
  request.max_body = call.max_body;
  request.on_data = std::move(call.on_data);
  request.reuse_connection = !request.on_data;
  request.http2 = true;
  if (access.token) request.bearer = co_await files_.read(access.token);
  HttpResponse response = co_await http_.perform(request, out);
  if (response.status >= 200 && response.status <= 299) co_return response;
  Status status = read_status(response.status, response.body);
  if (const std::string* after = response.header("Retry-After")) {
    int seconds = 0;
    const auto parsed = std::from_chars(after->data(), after->data() + after->size(), seconds);
    if (parsed.ec == std::errc{} && seconds > 0) status.retry_after = std::chrono::seconds(seconds);
  }
  throw ApiError(call.what, std::move(status));
}

}  // namespace vitalsd::net::kubernetes
