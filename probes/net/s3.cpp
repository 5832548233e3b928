#include "probes/net/s3.hpp"

#include "config/url.hpp"
#include "probes/error.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/net/http_secrets.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <system_error>
#include <utility>

#include <pugixml.hpp>

namespace vitalsd::net {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{4} << 20;  // a page has up to 1,000 keys of 1 KB
constexpr std::size_t kMaxSmallBytes = std::size_t{64} << 10;  // an error, or credentials
constexpr std::ptrdiff_t kMaxTags = 100'000;  // of a page; S3 sends up to 30 for each object
constexpr int kMaxPages = 1000;
// SHA-256 of the empty body of a GET. S3 requires it as a header, which libcurl signs.
constexpr std::string_view kEmptyHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string environment_text(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): never set here
  return value == nullptr ? "" : value;
}

std::optional<double> to_unix(std::tm& utc) {
  const std::time_t seconds = timegm(&utc);
  if (seconds == -1) return std::nullopt;
  return static_cast<double>(seconds);
}

// pugixml keeps namespace prefixes in names. Servers declare a namespace, but use no prefix.
pugi::xml_document parse_xml(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_parse_result result =
      document.load_buffer(xml.data(), xml.size(), pugi::parse_default & ~pugi::parse_doctype);
  if (!result) throw ProbeError(Reason::protocol, std::string("not XML: ") + result.description());
  return document;
}

// Decodes a key of a list with EncodingType "url". The encoding is that of HTML forms, in which '+'
// is a space.
std::string decode_key(std::string_view key) {
  std::string text(key);
  std::ranges::replace(text, '+', ' ');
  return config::percent_decode(text);
}

}  // namespace

std::optional<double> parse_iso_time(std::string_view text) {
  std::tm utc{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (end == nullptr) return std::nullopt;
  // The fraction is ignored.
  if (*end == '.') end += std::strspn(end + 1, "0123456789") + 1;
  if (std::string_view(end) != "Z") return std::nullopt;
  return to_unix(utc);
}

std::optional<double> parse_http_time(std::string_view text) {
  std::tm utc{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return to_unix(utc);
}

S3Page parse_s3_page(std::string_view xml) {
  // Each element needs 100 bytes.
  if (std::ranges::count(xml, '<') > kMaxTags) {
    throw ProbeError(Reason::protocol, "the list has too many elements");
  }
  const pugi::xml_document document = parse_xml(xml);
  const pugi::xml_node root = document.child("ListBucketResult");
  if (!root) throw ProbeError(Reason::protocol, "the response is not a ListBucketResult");
  const bool encoded = std::string_view(root.child_value("EncodingType")) == "url";
  S3Page page;
  for (const pugi::xml_node item : root.children("Contents")) {
    if (page.objects.size() == S3Bucket::kMaxObjects) {
      throw ProbeError(Reason::protocol, "the list has more objects than requested");
    }
    S3Object object;
    const std::string_view key = item.child_value("Key");
    object.key = encoded ? decode_key(key) : std::string(key);
    const std::string_view size = item.child_value("Size");
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), object.size);
    const auto modified = parse_iso_time(item.child_value("LastModified"));
    if (object.key.empty() || error != std::errc() || end != size.data() + size.size() ||
        !modified) {
      throw ProbeError(Reason::protocol,
                       "the list has an object without a valid key, size or time");
    }
    object.modified = *modified;
    page.objects.push_back(std::move(object));
  }
  if (std::string_view(root.child_value("IsTruncated")) == "true") {
    page.continuation = root.child_value("NextContinuationToken");
    if (page.continuation.empty()) {
      throw ProbeError(Reason::protocol, "the list is truncated, but has no continuation token");
    }
  }
  return page;
}

namespace {

// A failure of the token service carries no information about the store.
ProbeError token_service_failure(const config::Url& service, const ProbeError& error) {
  if (!is_up(error.reason())) return error;  // a file, or a proxy
  const bool is_refusal = error.reason() == Reason::auth || error.reason() == Reason::permission;
  const std::string name = config::Endpoint{service.host, port_of(service)}.text();
  const std::string detail = error.what();
  return {is_refusal ? Reason::config : Reason::internal,
          "the token service " + (detail.starts_with(name) ? "" : name + ": ") + detail};
}

}  // namespace

ProbeError s3_error(int status, std::string_view xml) {
  struct Row {
    std::string_view code;
    Reason reason;
  };
  constexpr std::array kTable = {
      Row{"AccessDenied", Reason::permission},
      Row{"AllAccessDisabled", Reason::permission},
      Row{"SignatureDoesNotMatch", Reason::auth},
      Row{"InvalidAccessKeyId", Reason::auth},
      Row{"ExpiredToken", Reason::auth},
      Row{"InvalidToken", Reason::auth},
      Row{"InvalidIdentityToken", Reason::auth},
      Row{"ExpiredTokenException", Reason::auth},
      Row{"RequestTimeTooSkewed", Reason::auth},
      Row{"NoSuchBucket", Reason::mismatch},
      Row{"PermanentRedirect", Reason::config},
      Row{"AuthorizationHeaderMalformed", Reason::config},
      Row{"SlowDown", Reason::overload},
      Row{"ServiceUnavailable", Reason::overload},
  };
  std::string code;
  std::string message;
  pugi::xml_document document;
  // A longer text is not an error message, and takes long to parse.
  if (xml.size() <= kMaxSmallBytes && document.load_buffer(xml.data(), xml.size())) {
    pugi::xml_node error = document.child("Error");
    if (!error) error = document.child("ErrorResponse").child("Error");
    code = error.child_value("Code");
    message = error.child_value("Message");
  }
  std::string detail = "status " + std::to_string(status);
  if (!code.empty()) detail += ", " + code;
  if (!message.empty()) detail += ": " + config::quoted(message);
  const auto row = std::ranges::find(kTable, code, &Row::code);
  if (row != kTable.end()) return {row->reason, detail};
  if (status == 403) return {Reason::permission, detail};
  if (status == 401) return {Reason::auth, detail};
  if (status == 301 || status == 307) return {Reason::config, detail + " (another region?)"};
  return {status >= 500 ? Reason::unready : Reason::mismatch, detail};
}

S3Options S3Options::read(config::Node& node) {
  S3Options s3;
  s3.bucket = node.required<std::string>("bucket", "name of the bucket");
  s3.prefix = node.get<std::string>("prefix", "", "prefix of the keys");
  s3.region =
      node.get<std::string>("region", "us-east-1", "region in the signature and the host name");
  const auto endpoint = node.find<config::Url>("endpoint", "URL of a service other than AWS");
  const std::string style =
      node.choice("style", {"auto", "path", "virtual"},
                  "bucket in the path or in the host name; auto: in the path if endpoint is set or "
                  "the bucket name has dots");
  s3.access_key = node.secret("access_key",
                              "if not set: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                              "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN");
  s3.secret_key = node.secret("secret_key", "requires access_key");
  s3.session_token = node.secret("session_token", "of temporary credentials; requires access_key");
  s3.sts_endpoint =
      node.find<config::Url>("sts_endpoint", "URL of a token service other than AWS's");
  s3.route = HttpRoute::read(node);
  check_ip(node, s3.route.target_ip(), "endpoint", endpoint ? endpoint->host : "");
  s3.tls = TlsOptions::read(node);
  if (static_cast<bool>(s3.access_key) != static_cast<bool>(s3.secret_key)) {
    node.error("access_key", "access_key and secret_key must be set together");
  }
  if (s3.session_token && !s3.access_key) node.error("session_token", "requires access_key");
  // A wildcard certificate does not match a host name that contains the dots of a bucket name.
  const bool has_dots = s3.bucket.contains('.');
  s3.path_style = style == "path" || (style == "auto" && (endpoint || has_dots));
  if (endpoint) {
    s3.endpoint = *endpoint;
    while (s3.endpoint.path.ends_with('/')) s3.endpoint.path.pop_back();
    if (s3.endpoint.scheme != "http" && s3.endpoint.scheme != "https") {
      node.error("endpoint",
                 "the scheme must be http or https, not " + config::quoted(s3.endpoint.scheme));
    }
  } else {
    s3.endpoint.scheme = "https";
    s3.endpoint.host = "s3." + s3.region + ".amazonaws.com";
  }
  return s3;
}

// Returns the configured credentials, or otherwise those in the environment variables that AWS's
// tools use.
asio::awaitable<AwsCredentials> S3Bucket::credentials(SampleSet& out) {
  if (options_.access_key) {
    AwsCredentials keys;
    keys.access_key = co_await environment_.files.read(options_.access_key, out);
    keys.secret_key = co_await environment_.files.read(options_.secret_key, out);
    keys.session_token = co_await environment_.files.read(options_.session_token, out);
    co_return keys;
  }
  AwsCredentials found{environment_text("AWS_ACCESS_KEY_ID"),
                       environment_text("AWS_SECRET_ACCESS_KEY"),
                       environment_text("AWS_SESSION_TOKEN")};
  if (!found.access_key.empty() && !found.secret_key.empty()) co_return found;
  if (!environment_text("AWS_WEB_IDENTITY_TOKEN_FILE").empty()) co_return co_await assume_role(out);
  throw ProbeError(
      Reason::config,
      "no credentials: set access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
      "AWS_WEB_IDENTITY_TOKEN_FILE");
}

asio::awaitable<AwsCredentials> S3Bucket::assume_role(SampleSet& out) {
  // The time is in seconds, because nanoseconds overflow in 2262 and a server may send a later
  // year.
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (assumed_ && now < assumed_until_) co_return *assumed_;
  try {
    co_await request_role(out);
  } catch (const ProbeError& error) {
    throw token_service_failure(token_service(), error);
  }
  co_return *assumed_;
}

config::Url S3Bucket::token_service() const {
  if (options_.sts_endpoint) return *options_.sts_endpoint;
  config::Url url;
  url.scheme = "https";
  url.host = "sts." + options_.region + ".amazonaws.com";
  return url;
}

asio::awaitable<void> S3Bucket::request_role(SampleSet& out) {
  const std::string role = environment_text("AWS_ROLE_ARN");
  if (role.empty()) throw ProbeError(Reason::config, "AWS_ROLE_ARN is not set");
  const std::string session = environment_text("AWS_ROLE_SESSION_NAME");
  const auto token_file = config::Secret::file(environment_text("AWS_WEB_IDENTITY_TOKEN_FILE"));
  const std::string token = co_await environment_.files.read(token_file, out);
  HttpRequest request;
  request.method = "POST";
  request.url = token_service();
  if (request.url.path.empty()) request.url.path = "/";
  request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" +
                 config::percent_encode(role) + "&RoleSessionName=" +
                 config::percent_encode(session.empty() ? "vitalsd" : session) +
                 "&WebIdentityToken=" + config::percent_encode(token);
  co_await options_.route.apply(request, environment_.files, out);
  request.tls = options_.tls;
  request.max_body = kMaxSmallBytes;
  conceal_secrets(request, out);
  out.doing("waiting for a response from the token service " + request.url.host, Reason::internal);
  SampleSet steps;  // a timeout of this request is not one of the store
  const HttpResponse response = co_await environment_.http.perform(request, steps);
  if (response.status != 200) {
    throw about_response(request.url, request.proxy, s3_error(response.status, response.body));
  }
  const pugi::xml_document document = parse_xml(response.body);
  const pugi::xml_node found = document.child("AssumeRoleWithWebIdentityResponse")
                                   .child("AssumeRoleWithWebIdentityResult")
                                   .child("Credentials");
  AwsCredentials assumed{found.child_value("AccessKeyId"), found.child_value("SecretAccessKey"),
                         found.child_value("SessionToken")};
  const auto expires = parse_iso_time(found.child_value("Expiration"));
  if (assumed.access_key.empty() || assumed.secret_key.empty() || !expires) {
    throw ProbeError(Reason::protocol, "the response has no valid credentials");
  }
  // Credentials are renewed this long before they expire.
  constexpr std::chrono::minutes kMargin{5};
  assumed_until_ =
      std::chrono::sys_seconds(std::chrono::seconds(static_cast<std::int64_t>(*expires))) - kMargin;
  assumed_ = std::move(assumed);
}

HttpRequest S3Bucket::request(const AwsCredentials& credentials, const std::string& continuation,
                              std::size_t max_objects) const {
  HttpRequest request;
  request.url = options_.endpoint;
  if (options_.path_style) {
    request.url.path += '/' + config::percent_encode(options_.bucket);
  } else {
    request.url.host = options_.bucket + '.' + options_.endpoint.host;
    request.url.path += '/';
  }
  // libcurl signs the query unchanged, so the parameters must be encoded and sorted by name.
  if (!continuation.empty()) {
    request.url.query = "continuation-token=" + config::percent_encode(continuation) + '&';
  }
  request.url.query += "encoding-type=url&list-type=2&max-keys=" + std::to_string(max_objects);
  if (!options_.prefix.empty())
    request.url.query += "&prefix=" + config::percent_encode(options_.prefix);
  request.headers.emplace_back("x-amz-content-sha256", kEmptyHash);
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("x-amz-security-token", credentials.session_token);
  }
  request.aws = credentials;
  request.aws_region = options_.region;
  request.tls = options_.tls;
  request.max_body = kMaxBytes;
  request.reuse_connection = true;  // for the pages of one list
  return request;
}

asio::awaitable<S3Page> S3Bucket::page(SampleSet& out, const AwsCredentials& credentials,
                                       const std::string& continuation, std::size_t max_objects) {
  HttpRequest page_request = request(credentials, continuation, max_objects);
  co_await options_.route.apply(page_request, environment_.files, out);
  HttpResponse response = co_await environment_.http.perform(page_request, out);
  const std::string* const date = response.header("Date");
  server_time_ = date == nullptr ? std::nullopt : parse_http_time(*date);
  if (response.status != 200) {
    if (response.status == 401 || response.status == 403) assumed_.reset();
    throw about_response(page_request.url, page_request.proxy,
                         s3_error(response.status, response.body));
  }
  // A page of up to 4 MiB takes long to parse.
  auto parse = [body = std::move(response.body)](const StopFlag&) { return parse_s3_page(body); };
  out.doing("reading the page", Reason::internal);
  co_return co_await environment_.computing.run("page of " + options_.bucket, std::move(parse));
}

asio::awaitable<S3Page> S3Bucket::page(SampleSet& out, std::string continuation,
                                       std::size_t max_objects) {
  const AwsCredentials keys = co_await credentials(out);
  co_return co_await page(out, keys, continuation, max_objects);
}

asio::awaitable<void> S3Bucket::list(SampleSet& out,
                                     const std::function<void(const S3Page&)>& take) {
  const AwsCredentials keys = co_await credentials(out);
  std::string continuation;
  for (int pages = 0; pages < kMaxPages; ++pages) {
    const S3Page next = co_await page(out, keys, continuation, kMaxObjects);
    take(next);
    if (next.continuation.empty()) co_return;
    continuation = next.continuation;
  }
  throw ProbeError(Reason::config, "more than a million objects have the prefix " +
                                       config::quoted(options_.prefix) + ": use a longer prefix");
}

}  // namespace vitalsd::net
