// Runs work that blocks (statvfs on an unreachable NFS server, file trees, large files) or computes
// without a limit on threads that can be abandoned: a cancelled run continues at once, and the
// thread keeps running at the lowest priority until its call returns. Probe loop only.
#pragma once

#include "probes/error.hpp"
#include "probes/net/pending.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

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
  /// not abandoned runs in the order of submission. If no work could start for `max_stall` (0: no
  /// limit), the queued work is rejected with Reason::internal. `hanging` is the reason with which
  /// run() rejects work for a resource that hangs.
  explicit Offload(asio::io_context& loop, std::size_t max_threads = kMaxThreads,
                   std::size_t max_hanging = kMaxHanging, std::chrono::milliseconds max_stall = {},
                   Reason hanging = Reason::timeout);
  /// Ends the coroutines that wait for a result: Asio destroys them in the next turn of the loop,
  /// or with the loop. Waits only for idle threads. Threads in a call end with the process.
  ~Offload();
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  /// Returns the result of `work(StopFlag)` or throws its exception. `resource` is the name of a
  /// mount or a directory on which the work may hang. While abandoned work for the same resource
  /// has not returned, new work is rejected with the reason `hanging`, because it would hang as
  /// well. When `max_hanging` threads are abandoned, all work is rejected with Reason::internal.
  template <class Work>
  auto run(std::string resource, Work work)
      -> asio::awaitable<std::invoke_result_t<Work, const StopFlag&>> {
    using Result = std::invoke_result_t<Work, const StopFlag&>;
    admit(resource);
    const auto start = [this, &resource, &work](std::shared_ptr<Pending<Result>> pending) {
      const StopFlag stop;
      const std::uint64_t number = ++last_number_;
      pending->on_cancel = [this, number, stop] {
        waiting_.erase(number);
        abandon(stop);
      };
      // Runs on the loop. Only this object owns the coroutine, because a thread must not destroy
      // it.
      const auto end = [this, number, weak = std::weak_ptr(pending)](auto complete) {
        const auto still_waiting = weak.lock();
        if (!still_waiting) return;
        waiting_.erase(number);
        complete(*still_waiting);
      };
      waiting_.emplace(number, std::move(pending));
      auto reject = [end](const char* why) {
        end([why](Pending<Result>& to) { to.fail_with(ProbeError(Reason::internal, why)); });
      };
      auto job = [end, work = std::move(work), stop]() mutable -> Finish {
        std::optional<Result> result;
        std::exception_ptr error;
        try {
          result = work(stop);
        } catch (...) {  // rethrown in the waiting coroutine
          error = std::current_exception();
        }
        return [end, result = std::move(result), error = std::move(error)]() mutable {
          end([&](Pending<Result>& to) {
            if (error) {
              to.fail(std::move(error));
            } else {
              to.succeed(std::move(*result));
            }
          });
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
  using Finish = std::move_only_function<void()>;                 // runs on the loop
  using Job = std::move_only_function<Finish()>;                  // runs on a thread
  using Reject = std::move_only_function<void(const char* why)>;  // runs on the loop
  /// Throws ProbeError if work for `resource` must be rejected.
  void admit(const std::string& resource) const;
  /// Calls `reject` on the loop if the job cannot be started.
  void submit(std::string resource, StopFlag stop, Job job, Reject reject);
  void abandon(const StopFlag& stop);

  void check_stall();

  std::uint64_t last_number_ = 0;
  // The Pending objects, which own the waiting coroutines.
  std::map<std::uint64_t, std::shared_ptr<void>> waiting_;
  std::chrono::milliseconds max_stall_;
  Reason hanging_reason_;
  asio::steady_timer stall_timer_;  // runs while work is queued
  bool checks_stall_ = false;
  std::shared_ptr<Shared> shared_;  // also owned by the threads, which may outlive this object
};

}  // namespace vitalsd::net
