// The interface of a kind that receives reports over HTTP, for example that a backup has started.
// The web server checks the method, the token, the size and the rate of requests; the daemon passes
// accepted requests to the probe.
#pragma once

#include "config/secret.hpp"

#include <cstddef>
#include <functional>
#include <string>

namespace vitalsd {

/// The requests that a probe receives: POST to `prefix` + its name, and to all paths below that.
struct PushRoute {
  std::string prefix;        ///< "/api/v1/jobs/"
  std::size_t max_body = 0;  ///< bytes
  config::Secret token{};    ///< bearer token that every request must have; empty: none
};

struct Push {
  std::string path;   ///< behind the name of the probe: "/start"; may be empty
  std::string query;  ///< "rid=7"; as the client sent it
  std::string body;
};

struct PushAnswer {
  int status = 200;  ///< 503: the client should retry
  std::string text;  ///< ends with a newline
};

class Receiver {
 public:
  Receiver() = default;
  virtual ~Receiver() = default;
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  /// Constant. Any thread.
  [[nodiscard]] virtual PushRoute route() const = 0;

  using Answer = std::function<void(PushAnswer)>;
  /// Processes a request. Calls `answer` once, immediately or later, for example when its Notes are
  /// saved. If that takes longer than the limit for a request, the client receives 503. Probe loop
  /// only.
  virtual void receive(Push push, Answer answer) = 0;
};

}  // namespace vitalsd
