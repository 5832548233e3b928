// Runs what blocks (statvfs on a dead NFS, file trees, large files), or computes without a bound,
// on threads that may be given up: a probe that is cancelled goes on at once, and the thread stays
// behind, at the lowest priority, until its call returns. Called on the probe loop only.
#pragma once

#include "probes/error.hpp"
#include "probes/net/pending.hpp"

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd::net {

/// Tells work on a thread that nobody waits for it any more; to be asked between its steps.
class StopFlag {
 public:
  StopFlag() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  [[nodiscard]] bool stopped() const { return *flag_; }
  void stop() const { *flag_ = true; }
  bool operator==(const StopFlag&) const = default;

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

class Offload {
 public:
  static constexpr std::size_t kMaxThreads = 16;
  static constexpr std::size_t kMaxHanging = 48;

  /// At most `max_threads`, beside those that hang, of which there are `max_hanging` at most:
  /// targets on which calls hang leave room for others. None is started before it is needed. With
  /// one thread, work that is not given up is done in the order in which it is submitted.
  explicit Offload(asio::io_context& loop, std::size_t max_threads = kMaxThreads,
                   std::size_t max_hanging = kMaxHanging);
  /// Waits for threads that have nothing to do; those that work, or hang, end with the process.
  ~Offload();
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  /// The result of `work(StopFlag)`, or what it throws. `flight` names what it may hang on (a
  /// mount, a directory): while work of that name has been given up and not come back, more of it
  /// is refused with Reason::timeout, since it would only hang beside it. When as many as may
  /// have been given up, work is refused with Reason::internal.
  template <class Work>
  auto run(std::string flight, Work work)
      -> asio::awaitable<std::invoke_result_t<Work, const StopFlag&>> {
    using Result = std::invoke_result_t<Work, const StopFlag&>;
    admit(flight);
    const auto start = [this, &flight, &work](std::shared_ptr<Pending<Result>> pending) {
      const StopFlag stop;
      pending->on_cancel = [this, stop] { give_up(stop); };
      auto refuse = [pending]() mutable {
        pending->fail_with(ProbeError(Reason::internal, "no thread can be started"));
      };
      auto job = [pending = std::move(pending), work = std::move(work), stop]() mutable -> Finish {
        std::optional<Result> result;
        std::exception_ptr error;
        try {
          result = work(stop);
        } catch (...) {  // rethrown where the result is waited for
          error = std::current_exception();
        }
        return [pending = std::move(pending), result = std::move(result),
                error = std::move(error)]() mutable {
          if (error) {
            pending->fail(std::move(error));
          } else {
            pending->succeed(std::move(*result));
          }
        };
      };
      submit(std::move(flight), stop, std::move(job), std::move(refuse));
    };
    co_return co_await Pending<Result>::wait(start);
  }

  /// Threads whose work was given up and has not come back.
  [[nodiscard]] std::size_t hanging() const;
  /// Threads that work, those included.
  [[nodiscard]] std::size_t busy() const;

 private:
  struct Shared;
  using Finish = std::move_only_function<void()>;  // on the loop
  using Job = std::move_only_function<Finish()>;   // on a thread
  /// Throws ProbeError where `flight` or the threads forbid more work.
  void admit(const std::string& flight) const;
  /// `refuse` is called, on the loop, where no thread is left that does not hang, and none can be
  /// started.
  void submit(std::string flight, StopFlag stop, Job job, Finish refuse);
  void give_up(const StopFlag& stop);

  std::shared_ptr<Shared> shared_;  // with the threads, which may outlive this object
};

}  // namespace vitalsd::net
