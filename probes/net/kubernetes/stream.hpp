// One request whose answer is taken as it comes, for as long as that may be, beside all runs: a log
// that is followed. Ends with its owner. Probe loop only.
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
  /// How it ended; without a failure the answer was whole.
  struct End {
    std::optional<Failure> failure;
    int status = 0;  ///< of HTTP, if the API server has refused
    std::optional<std::chrono::seconds> retry_after;
  };
  /// First nothing, when the answer begins, then piece by piece. Must not throw.
  using OnData = std::function<void(std::string_view)>;
  /// Called once, unless the stream is destroyed before; may destroy it.
  using OnEnd = std::function<void(const End&)>;

  /// Begins at once; not from within another stream's OnData.
  Stream(Client& client, Api::Call call, OnData on_data, OnEnd on_end);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// As destroying it: nothing is called any more.
  void stop();
  /// What it waits for, for errors.
  [[nodiscard]] const std::string& step() const;

 private:
  struct Attempt;
  static asio::awaitable<void> run(std::shared_ptr<Attempt> attempt, Api::Call call);
  static void ended(Attempt& attempt, const std::exception_ptr& error);

  Client& client_;
  std::shared_ptr<Attempt> attempt_;
};

}  // namespace vitalsd::net::kubernetes
