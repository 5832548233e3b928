// One request whose response is processed piece by piece as it arrives, for any length of time and
// independent of runs, such as a log that is followed. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/kubernetes/client.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace vitalsd::net::kubernetes {

class Stream {
 public:
  /// How the stream ended. If there is no failure, the response was complete.
  struct End {
    std::optional<Failure> failure;
    int status = 0;  ///< HTTP status of the API server's error response; 0 if there is none
    std::optional<std::chrono::seconds> retry_after;
  };
  /// Called with an empty piece when the response starts, then with each piece. Must not throw.
  using OnData = std::function<void(std::string_view)>;
  /// Called once, unless the stream is stopped or destroyed before. May destroy the stream.
  using OnEnd = std::function<void(const End&)>;

  /// Sends the request. Must not be called from within another stream's OnData.
  Stream(Client& client, Api::Call call, OnData on_data, OnEnd on_end);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Cancels the request. No callback is called afterwards.
  void stop();
  /// The current step of the HTTP client, for error messages.
  [[nodiscard]] const std::string& step() const;

 private:
  struct Attempt;
  static asio::awaitable<void> run(std::shared_ptr<Attempt> attempt, Api::Call call);
  static void ended(Attempt& attempt, const std::exception_ptr& error);

  Client& client_;
  std::shared_ptr<Attempt> attempt_;
};

}  // namespace vitalsd::net::kubernetes
