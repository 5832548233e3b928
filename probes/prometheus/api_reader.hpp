// Reads a response of Prometheus's HTTP API while it arrives, in bounded memory: a list of targets
// may be hundreds of megabytes long. Performs no I/O.
#pragma once

#include "probes/error.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace vitalsd::prometheus {

/// Receives the content of a response. Paths consist of member names
/// ("/data/activeTargets/health"); the elements of a list have the path of the list. Both functions
/// may throw ProbeError.
class ApiContent {
 public:
  ApiContent() = default;
  virtual ~ApiContent() = default;
  ApiContent(const ApiContent&) = delete;
  ApiContent& operator=(const ApiContent&) = delete;

  /// A string, of which at most 1 KiB is kept. Other values are not passed on.
  virtual void text(std::string_view path, std::string_view text) = 0;
  /// The end of an object.
  virtual void object_ended(std::string_view path) = 0;
};

class ApiReader {
 public:
  /// `content` must outlive the reader.
  explicit ApiReader(ApiContent& content);
  ~ApiReader();
  ApiReader(const ApiReader&) = delete;
  ApiReader& operator=(const ApiReader&) = delete;

  /// Parses a piece. Throws ProbeError(protocol) for invalid JSON and for more than 256 MiB.
  void feed(std::string_view bytes);

  /// Must be called after the last piece, with the HTTP status of the response. Throws
  /// ProbeError(protocol) if the JSON is incomplete, and the error that the response contains, see
  /// api_error().
  void finish(int status);

  /// The first warning, which says why the result may be incomplete. Empty if there is none.
  [[nodiscard]] const std::string& warning() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Classifies an error by its type ("bad_data") or, if that is not known, by the HTTP status.
ProbeError api_error(int status, std::string_view type, std::string_view text);

/// The error for a response that is not 2xx. `body` may be JSON from the API or the text of a
/// proxy.
ProbeError api_error(int status, std::string_view body);

}  // namespace vitalsd::prometheus
