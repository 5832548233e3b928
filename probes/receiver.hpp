// The interface of a kind that receives reports over HTTP, for example that a backup has started.
// The web server checks the method, the token, the size and the rate of requests; the daemon passes
// accepted requests to the probe.
#pragma once

#include "config/secret.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace vitalsd {

/// Requests that a probe receives: those to `path`, and to all paths below it.
struct PushRoute {
  std::string path;  ///< "/api/v1/jobs/nightly"
  std::vector<std::string> methods{"POST"};
  std::size_t max_body = 0;  ///< bytes
  config::Secret token{};    ///< bearer token that every request must have; empty: none
};

struct Push {
  std::string method;
  std::string route;  ///< the path of the route
  std::string path;   ///< behind that: "/start"; may be empty
  std::string query;  ///< "rid=7"; as the client sent it
  std::string content_type{};
  std::string content_encoding{};
  std::string body{};
};

struct PushAnswer {
  int status = 200;  ///< 503: the client should retry
  std::string text;  ///< ends with a newline, or is empty
};

class Receiver {
 public:
  Receiver() = default;
  virtual ~Receiver() = default;
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  /// Constant. Any thread.
  [[nodiscard]] virtual std::vector<PushRoute> routes() const = 0;

  using Answer = std::function<void(PushAnswer)>;
  using Changed = std::function<void()>;
  /// Processes a request. Calls `changed` after each change of its Notes, which are then saved
  /// soon. Calls `answer` once, immediately or later, for example when its Notes are saved. If that
  /// takes longer than the limit for a request, the client receives 503. Probe loop only.
  virtual void receive(Push push, Answer answer, Changed changed) = 0;
};

}  // namespace vitalsd
