// Runs work that blocks (statvfs on an unreachable NFS server, file trees, large files) or computes
// without a limit on threads that can be abandoned: a cancelled run continues at once, and the
// thread keeps running at the lowest priority until its call returns. Probe loop only.
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

/// Tells work on a thread that its result is no longer needed. The work checks it between steps.
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

  /// Uses at most `max_threads` threads plus up to `max_hanging` abandoned ones, so targets on
  /// which calls hang do not block others. Threads start on demand. With one thread, work that is
  /// not abandoned runs in the order of submission.
  explicit Offload(asio::io_context& loop, std::size_t max_threads = kMaxThreads,
                   std::size_t max_hanging = kMaxHanging);
  /// Waits for idle threads only. Threads in a call end with the process.
  ~Offload();
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  /// Returns the result of `work(StopFlag)` or throws its exception. `resource` names what the work
  /// may hang on (a mount, a directory). While abandoned work for the same resource has not
  /// returned, new work is rejected with Reason::timeout, because it would hang as well. When
  /// `max_hanging` threads are abandoned, all work is rejected with Reason::internal.
  template <class Work>
  auto run(std::string resource, Work work)
      -> asio::awaitable<std::invoke_result_t<Work, const StopFlag&>> {
    using Result = std::invoke_result_t<Work, const StopFlag&>;
    admit(resource);
    const auto start = [this, &resource, &work](std::shared_ptr<Pending<Result>> pending) {
      const StopFlag stop;
      pending->on_cancel = [this, stop] { abandon(stop); };
      auto reject = [pending]() mutable {
        pending->fail_with(ProbeError(Reason::internal, "cannot start a thread"));
      };
      auto job = [pending = std::move(pending), work = std::move(work), stop]() mutable -> Finish {
        std::optional<Result> result;
        std::exception_ptr error;
        try {
          result = work(stop);
        } catch (...) {  // rethrown in the waiting coroutine
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
      submit(std::move(resource), stop, std::move(job), std::move(reject));
    };
    co_return co_await Pending<Result>::wait(start);
  }

  /// The number of abandoned threads whose call has not returned.
  [[nodiscard]] std::size_t hanging() const;
  /// The number of threads in a call, including abandoned ones.
  [[nodiscard]] std::size_t busy() const;

 private:
  struct Shared;
  using Finish = std::move_only_function<void()>;  // runs on the loop
  using Job = std::move_only_function<Finish()>;   // runs on a thread
  /// Throws ProbeError if work for `resource` must be rejected.
  void admit(const std::string& resource) const;
  /// Calls `reject` on the loop if all threads are abandoned and no new one can be started.
  void submit(std::string resource, StopFlag stop, Job job, Finish reject);
  void abandon(const StopFlag& stop);

  std::shared_ptr<Shared> shared_;  // also owned by the threads, which may outlive this object
};

}  // namespace vitalsd::net
