#include "probes/http/expectation.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace vitalsd {
namespace http {
namespace {

// Boost.JSON 1.81 reads doubles with an error of a few units in the last place.
bool is_close(double a, double b) {
  constexpr double kUnits = 4;
  const double error = kUnits * std::numeric_limits<double>::epsilon() * std::abs(a);
  return a == b || (std::isfinite(a) && std::abs(a - b) <= error);
}

// Compares numbers by value: 1.0 equals 1. `found` is `value` as text.
bool equals(const boost::json::value& value, const std::string& found,
            const std::string& expected) {
  if (found == expected) return true;
  if (!value.is_number()) return false;
  double number = 0;
  const auto [end, error] =
      std::from_chars(expected.data(), expected.data() + expected.size(), number);
  if (error != std::errc() || end != expected.data() + expected.size()) return false;
  if (value.is_double()) return is_close(value.get_double(), number);
  return value.to_number<double>() == number;
}

template <class Report>
void check_json(const std::string& body,
                const std::vector<std::pair<std::string, std::string>>& expected_values,
                const Report& report) {
  namespace json = boost::json;
  boost::system::error_code error;
  const json::value document = json::parse(body, error);  // fails if nested deeper than 32 levels
  if (error) {
    report("the body is not JSON: " + error.message());
    return;
  }
  for (const auto& [pointer, expected] : expected_values) {
    boost::system::error_code missing;
    const json::value* value = document.find_pointer(pointer, missing);
    if (value == nullptr) {
      report("the JSON value " + pointer + " is missing");
      continue;
    }
    const std::string found =
        value->is_string() ? std::string(value->as_string()) : json::serialize(*value);
    if (!equals(*value, found, expected)) {
      report("the JSON value " + pointer + " is " + config::quoted(found) + ", expected " +
             config::quoted(expected));
    }
  }
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Calls `take` with each directive of a header such as "max-age=1; preload".
template <class Take>
void for_each_directive(std::string_view value, const Take& take) {
  while (!value.empty()) {
    const std::string_view directive = value.substr(0, value.find(';'));
    value.remove_prefix(std::min(directive.size() + 1, value.size()));
    take(trimmed(directive));
  }
}

// Whether Strict-Transport-Security makes browsers use HTTPS: a max-age of 0 turns it off.
bool requires_https(std::string_view value) {
  bool found = false;
  for_each_directive(value, [&](std::string_view directive) {
    const std::size_t equals = directive.find('=');
    if (equals == std::string_view::npos) return;
    if (!net::same_header(trimmed(directive.substr(0, equals)), "max-age")) return;
    std::string_view age = trimmed(directive.substr(equals + 1));
    if (age.size() > 2 && age.starts_with('"') && age.ends_with('"')) {
      age = age.substr(1, age.size() - 2);
    }
    const bool is_number = !age.empty() && age.find_first_not_of("0123456789") == age.npos;
    found = is_number && age.find_first_not_of('0') != age.npos;
  });
  return found;
}

bool has_frame_ancestors(std::string_view policy) {
  bool found = false;
  for_each_directive(policy, [&](std::string_view directive) {
    found |= net::same_header(directive.substr(0, directive.find(' ')), "frame-ancestors");
  });
  return found;
}

// Returns all values of a header, because a proxy may add a second one.
std::vector<std::string_view> values_of(const net::HttpResponse& response, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& [header, value] : response.headers) {
    if (net::same_header(header, name)) values.push_back(trimmed(value));
  }
  return values;
}

template <class Report>
void check_security_headers(const net::HttpResponse& response, bool is_tls, const Report& report) {
  const auto require = [&](std::string_view name, const auto& is_good, std::string_view expected) {
    const std::vector<std::string_view> values = values_of(response, name);
    if (values.empty()) {
      report("the header " + std::string(name) + " is missing");
    } else if (!std::ranges::all_of(values, is_good)) {
      const auto bad = std::ranges::find_if_not(values, is_good);
      report("the header " + std::string(name) + " is " + config::quoted(*bad) + ", expected " +
             std::string(expected));
    }
  };
  // Browsers ignore Strict-Transport-Security in a response without TLS.
  if (is_tls) require("Strict-Transport-Security", &requires_https, "a max-age above 0");
  const std::vector<std::string_view> policies = values_of(response, "Content-Security-Policy");
  if (!std::ranges::any_of(policies, &has_frame_ancestors)) {
    const auto is_refusal = [](std::string_view value) {
      return net::same_header(value, "DENY") || net::same_header(value, "SAMEORIGIN");
    };
    require("X-Frame-Options", is_refusal, "DENY or SAMEORIGIN");
  }
  const auto is_nosniff = [](std::string_view value) { return net::same_header(value, "nosniff"); };
  require("X-Content-Type-Options", is_nosniff, "nosniff");
}

// Whether a server says that it expects TLS. nginx, Go and Apache answer a request without it.
bool expects_tls(const net::HttpResponse& response) {
  constexpr int kBadRequest = 400;
  return response.status == kBadRequest &&
         (response.body.contains("plain HTTP request was sent to HTTPS port") ||
          response.body.contains("HTTP request to an HTTPS server") ||
          response.body.contains("speaking plain HTTP to an SSL-enabled server port"));
}

}  // namespace

Expectation::Expectation(config::Node& node)
    : statuses_(node.one_or_more<StatusPattern>("status",
                                                "status codes such as 200 or 2xx; default 2xx")),
      json_(node.map<std::string>("json", "JSON pointers into the body, and the expected values")),
      headers_(node.list<std::string>(
          "headers", "names of headers that the response must have, with any value")),
      security_headers_(node.get<bool>(
          "security_headers", false,
          "the response must have X-Content-Type-Options: nosniff; X-Frame-Options: DENY or "
          "SAMEORIGIN, or a Content-Security-Policy with frame-ancestors; over TLS also "
          "Strict-Transport-Security with a max-age above 0")),
      body_(node.find<net::Pattern>("body", "pattern that a part of the body must match")),
      not_body_(
          node.find<net::Pattern>("not_body", "pattern that no part of the body must match")) {
  if (statuses_.empty()) statuses_.emplace_back();
  for (const std::string& name : headers_) {
    if (name.empty() || name.find_first_of(": \t") != std::string::npos) {
      node.error("headers", config::quoted(name.substr(0, name.find_first_of(": \t"))) +
                                " is not a header name: must be a name without a value");
    }
  }
  for (const auto& [pointer, value] : json_) {
    if (!pointer.starts_with('/')) {
      node.error("json",
                 config::quoted(pointer) + " is not a valid JSON pointer: it must start with /");
    }
  }
}

std::string Expectation::differences(const net::HttpResponse& response, bool is_tls) const {
  std::string out;
  const auto report = [&](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
  const auto matches = [&](const StatusPattern& status) { return status.matches(response.status); };
  if (!std::ranges::any_of(statuses_, matches)) {
    std::string expected;
    for (const StatusPattern& status : statuses_) {
      expected += (expected.empty() ? "" : " or ") + config::Scalar<StatusPattern>::show(status);
    }
    report("status " + std::to_string(response.status) + ", expected " + expected +
           (!is_tls && expects_tls(response) ? ": the server uses TLS on this port, use https://"
                                             : ""));
  }
  for (const std::string& name : headers_) {
    if (response.header(name) == nullptr) report("the header " + name + " is missing");
  }
  if (security_headers_) check_security_headers(response, is_tls, report);
  if (body_ && !body_->matches(response.body)) {
    report("the body does not match " + config::quoted(body_->text));
  }
  if (not_body_ && not_body_->matches(response.body)) {
    report("the body matches " + config::quoted(not_body_->text));
  }
  if (!json_.empty()) check_json(response.body, json_, report);
  return out;
}

}  // namespace http

config::Parsed<http::StatusPattern> config::Scalar<http::StatusPattern>::parse(
    std::string_view text) {
  const bool is_class =
      text.size() == 3 && text.substr(1) == "xx" && text[0] >= '1' && text[0] <= '5';
  if (is_class) return http::StatusPattern{(text[0] - '0') * 100, (text[0] - '0') * 100 + 99};
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= 100 && number <= 599) {
    return http::StatusPattern{number, number};
  }
  return std::unexpected(quoted(text) +
                         " is not a valid HTTP status: write for example 200 or 2xx");
}

std::string config::Scalar<http::StatusPattern>::show(const http::StatusPattern& value) {
  return value.first == value.last ? std::to_string(value.first)
                                   : std::to_string(value.first / 100) + "xx";
}

}  // namespace vitalsd
