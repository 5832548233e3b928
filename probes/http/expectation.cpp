#include "probes/http/expectation.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace vitalsd {
namespace http {
namespace {

// Compares numbers by value: 1.0 equals 1. `found` is `value` as text.
bool equals(const boost::json::value& value, const std::string& found,
            const std::string& expected) {
  if (found == expected) return true;
  if (!value.is_number()) return false;
  double number = 0;
  const auto [end, error] =
      std::from_chars(expected.data(), expected.data() + expected.size(), number);
  return error == std::errc() && end == expected.data() + expected.size() &&
         value.to_number<double>() == number;
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

}  // namespace

Expectation::Expectation(config::Node& node)
    : statuses_(node.one_or_more<StatusPattern>("status",
                                                "status codes such as 200 or 2xx; default 2xx")),
      json_(node.map<std::string>("json", "JSON pointers into the body, and the expected values")),
      headers_(node.list<std::string>("headers", "headers that the response must have")),
      body_(node.find<net::Pattern>("body", "pattern that the body must match")),
      not_body_(node.find<net::Pattern>("not_body", "pattern that the body must not match")) {
  if (statuses_.empty()) statuses_.emplace_back();
  for (const auto& [pointer, value] : json_) {
    if (!pointer.starts_with('/')) {
      node.error("json",
                 config::quoted(pointer) + " is not a valid JSON pointer: it must start with /");
    }
  }
}

std::string Expectation::differences(const net::HttpResponse& response) const {
  std::string out;
  const auto report = [&](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
  const auto matches = [&](const StatusPattern& status) { return status.matches(response.status); };
  if (!std::ranges::any_of(statuses_, matches)) {
    std::string expected;
    for (const StatusPattern& status : statuses_) {
      expected += (expected.empty() ? "" : " or ") + config::Scalar<StatusPattern>::show(status);
    }
    report("status " + std::to_string(response.status) + ", expected " + expected);
  }
  for (const std::string& name : headers_) {
    if (response.header(name) == nullptr) report("the header " + name + " is missing");
  }
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
