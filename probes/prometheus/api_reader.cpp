#include "probes/prometheus/api_reader.hpp"

#include "config/problems.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <boost/json/basic_parser_impl.hpp>

namespace vitalsd::prometheus {
namespace {

namespace json = boost::json;
using boost::system::error_code;

constexpr std::size_t kMaxBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxText = 1024;
constexpr std::size_t kMaxName = 64;  // of a member; no member in use is longer
constexpr std::size_t kMaxDepth = 32;

ProbeError invalid(const std::string& why) {
  return {Reason::protocol, "the response is not valid JSON: " + why};
}

/// Receives the parser's events and tracks the path.
class Handler {
 public:
  // Limits that basic_parser requires.
  static constexpr std::size_t max_object_size = kMaxBytes;  // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_array_size = kMaxBytes;   // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_key_size = kMaxBytes;     // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_string_size = kMaxBytes;  // NOLINT(*-identifier-naming)

  explicit Handler(ApiContent& content) : content_(content) {}

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code&) {
    objects_.push_back(path_.size());
    return true;
  }
  bool on_object_end(std::size_t, error_code&) {
    path_.resize(objects_.back());
    objects_.pop_back();
    content_.object_ended(path_);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    return append(part, kMaxName);
  }
  bool on_key(json::string_view part, std::size_t size, error_code&) {
    append(part, kMaxName);
    path_.resize(objects_.back());
    path_ += '/';
    // A name that contains a slash must not match a path.
    path_ += size <= kMaxName && !text_.contains('/') ? text_ : "?";
    text_.clear();
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    return append(part, kMaxText);
  }
  bool on_string(json::string_view part, std::size_t, error_code&) {
    append(part, kMaxText);
    if (path_ == "/status") {
      status = text_;
    } else if (path_ == "/errorType") {
      error_type = text_;
    } else if (path_ == "/error") {
      mark_cut();
      error = text_;
    } else if (path_ == "/warnings") {
      mark_cut();
      if (warning.empty()) warning = text_;
    } else {
      content_.text(path_, text_);
    }
    text_.clear();
    return true;
  }

  bool on_array_begin(error_code&) { return true; }
  bool on_array_end(std::size_t, error_code&) { return true; }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, error_code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, error_code&) { return true; }
  bool on_double(double, json::string_view, error_code&) { return true; }
  bool on_bool(bool, error_code&) { return true; }
  bool on_null(error_code&) { return true; }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

  std::string status;
  std::string error_type;
  std::string error;
  std::string warning;

 private:
  // The mark of a cut: see SampleSet::shown().
  void mark_cut() {
    if (text_.size() == kMaxText) text_ += "…";
  }

  bool append(json::string_view part, std::size_t max) {
    text_.append(part.data(), std::min(part.size(), max - std::min(max, text_.size())));
    return true;
  }

  ApiContent& content_;
  std::string path_;
  std::vector<std::size_t> objects_;  // size of path_ at the start of each open object
  std::string text_;                  // the received part of a key or string
};

json::parse_options limits() {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  return options;
}

class NoContent final : public ApiContent {
 public:
  void text(std::string_view, std::string_view) override {}
  void object_ended(std::string_view) override {}
};

}  // namespace

struct ApiReader::State {
  explicit State(ApiContent& content) : parser(limits(), content) {}

  json::basic_parser<Handler> parser;
  std::size_t size = 0;

  void write(bool more, std::string_view bytes) {
    error_code error;
    const std::size_t used = parser.write_some(more, bytes.data(), bytes.size(), error);
    if (!error && used < bytes.size()) error = json::error::extra_data;
    if (error) throw invalid(error.message() + " at byte " + std::to_string(size + used));
    size += used;
  }
};

ApiReader::ApiReader(ApiContent& content) : state_(std::make_unique<State>(content)) {}
ApiReader::~ApiReader() = default;

void ApiReader::feed(std::string_view bytes) {
  if (bytes.size() > kMaxBytes - state_->size) throw invalid("more than 256 MiB");
  state_->write(true, bytes);
}

void ApiReader::finish(int status) {
  state_->write(false, {});
  const Handler& handler = state_->parser.handler();
  if (handler.status == "success") return;
  if (handler.status == "error") throw api_error(status, handler.error_type, handler.error);
  throw ProbeError(Reason::protocol,
                   "the response is not one of Prometheus's API: it has no status");
}

const std::string& ApiReader::warning() const { return state_->parser.handler().warning; }

ProbeError api_error(int status, std::string_view type, std::string_view text) {
  constexpr std::array<std::pair<std::string_view, Reason>, 8> kTypes = {{
      {"bad_data", Reason::config},  // an invalid expression
      {"execution", Reason::mismatch},
      {"timeout", Reason::overload},
      {"canceled", Reason::overload},
      {"unavailable", Reason::unready},
      {"internal", Reason::mismatch},
      {"not_found", Reason::mismatch},
      {"unauthorized", Reason::auth},
  }};
  std::string message = "status " + std::to_string(status);
  if (!type.empty()) message += ", " + std::string(type);
  if (!text.empty()) message += ": " + config::quoted(text);
  const auto* const known =
      std::ranges::find(kTypes, type, &std::pair<std::string_view, Reason>::first);
  if (known != kTypes.end()) return {known->second, message};
  switch (status) {
    case 401:
      return {Reason::auth, message};
    case 403:
      return {Reason::permission, message};
    case 429:
      return {Reason::overload, message};
    default:
      return {status >= 500 ? Reason::unready : Reason::mismatch, message};
  }
}

ProbeError api_error(int status, std::string_view body) {
  NoContent nothing;
  ApiReader reader(nothing);
  try {
    reader.feed(body);
    reader.finish(status);
  } catch (const ProbeError& error) {
    if (error.reason() != Reason::protocol) return error;
  }
  const std::string_view line = body.substr(0, body.find_first_of("\r\n"));
  return api_error(status, "", line.starts_with('<') ? "" : line);
}

}  // namespace vitalsd::prometheus
