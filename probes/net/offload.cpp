#include "probes/net/offload.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

namespace vitalsd::net {

using Clock = std::chrono::steady_clock;

struct Offload::Shared {
  struct Task {
    std::string resource;
    StopFlag stop;
    Job run;
    Reject reject;
    Clock::time_point queued_at = Clock::now();
    pid_t thread = 0;
  };

  Shared(asio::io_context& of, std::size_t max, std::size_t hanging)
      : loop(of), max_threads(max), max_hanging(hanging) {}

  asio::io_context& loop;  // valid until `closed` is set
  const std::size_t max_threads;
  const std::size_t max_hanging;
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable thread_exited;
  std::deque<Task> queue;
  std::list<Task*> running;
  std::size_t threads = 0;
  std::size_t exiting = 0;  // those of `threads` that take no more work
  std::size_t idle = 0;
  Clock::time_point last_start;  // when a task last started
  bool closed = false;

  [[nodiscard]] std::size_t abandoned() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(running, [](const Task* task) { return task->stop.stopped(); }));
  }
  // Whether the maximum number of threads that can take work is reached.
  [[nodiscard]] bool full() const { return threads - exiting >= max_threads + abandoned(); }
  void serve();
  static void start_thread(const std::shared_ptr<Shared>& self);
};

// Starts a thread. The caller holds the mutex. Must not be called on a thread of the pool, because
// a new thread inherits a low priority.
void Offload::Shared::start_thread(const std::shared_ptr<Shared>& self) {
  try {
    std::thread([self] {
      pthread_setname_np(pthread_self(), "offload");
      self->serve();
    }).detach();
    ++self->threads;
  } catch (const std::system_error&) {
    // No thread can be created: the existing threads do the work.
  }
}

// The main function of a thread. A thread that is idle for kMaxIdle exits.
void Offload::Shared::serve() {
  constexpr std::chrono::seconds kMaxIdle{10};
  std::unique_lock lock(mutex);
  while (!closed) {
    if (queue.empty()) {
      ++idle;
      const bool woken = wake.wait_for(lock, kMaxIdle, [&] { return closed || !queue.empty(); });
      --idle;
      if (!woken) break;
      continue;
    }
    Task task = std::move(queue.front());
    queue.pop_front();
    if (task.stop.stopped()) continue;
    task.thread = gettid();
    last_start = Clock::now();
    const auto place = running.insert(running.end(), &task);
    lock.unlock();
    Finish finish = task.run();
    task.run = nullptr;  // destroys its captures outside the lock
    lock.lock();
    running.erase(place);
    if (!closed) asio::post(loop, std::move(finish));
    if (task.stop.stopped()) break;  // the priority of this thread cannot be raised again
  }
  ++exiting;
  lock.unlock();
  OPENSSL_thread_stop();  // frees OpenSSL's data of this thread before the process ends
  lock.lock();
  --exiting;
  --threads;
  thread_exited.notify_all();
}

Offload::Offload(asio::io_context& loop, std::size_t max_threads, std::size_t max_hanging,
                 std::chrono::milliseconds max_stall, Reason hanging)
    : max_stall_(max_stall),
      hanging_reason_(hanging),
      stall_timer_(loop),
      shared_(std::make_shared<Shared>(loop, max_threads, max_hanging)) {}

Offload::~Offload() {
  waiting_.clear();
  std::unique_lock lock(shared_->mutex);
  shared_->closed = true;
  for (const Shared::Task* task : shared_->running) task->stop.stop();
  shared_->queue.clear();
  shared_->wake.notify_all();
  shared_->thread_exited.wait(lock, [&] { return shared_->threads == shared_->running.size(); });
}

std::size_t Offload::hanging() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->abandoned();
}

std::size_t Offload::busy() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->running.size();
}

void Offload::admit(const std::string& resource) const {
  const std::lock_guard lock(shared_->mutex);
  const bool hangs = std::ranges::any_of(shared_->running, [&](const Shared::Task* task) {
    return task->resource == resource && task->stop.stopped();
  });
  if (hangs) throw ProbeError(hanging_reason_, resource + " still hangs from an earlier run");
  if (shared_->abandoned() >= shared_->max_hanging) {
    throw ProbeError(Reason::internal, std::to_string(shared_->max_hanging) +
                                           " threads still hang from earlier runs");
  }
}

void Offload::submit(std::string resource, StopFlag stop, Job job, Reject reject) {
  const std::lock_guard lock(shared_->mutex);
  shared_->queue.push_back(
      {std::move(resource), std::move(stop), std::move(job), std::move(reject)});
  if (shared_->idle >= shared_->queue.size() || shared_->full()) {
    shared_->wake.notify_one();
  } else {
    Shared::start_thread(shared_);
  }
  if (shared_->threads <= shared_->abandoned()) {
    asio::post(shared_->loop, [reject = std::move(shared_->queue.back().reject)]() mutable {
      reject("cannot start a thread");
    });
    shared_->queue.pop_back();
  } else if (max_stall_.count() > 0 && !std::exchange(checks_stall_, true)) {
    check_stall();
  }
}

// Rejects work that waits while all threads compute endlessly. Otherwise the deadline of its run
// would pass, and the failure would be attributed to the target.
void Offload::check_stall() {
  stall_timer_.expires_after(max_stall_ / 4);
  stall_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const Clock::time_point before = Clock::now() - max_stall_;
    std::vector<Reject> rejected;
    {
      const std::lock_guard lock(shared_->mutex);
      std::deque<Shared::Task>& queue = shared_->queue;
      while (shared_->last_start < before && !queue.empty() && queue.front().queued_at < before) {
        rejected.push_back(std::move(queue.front().reject));
        queue.pop_front();
      }
      checks_stall_ = !queue.empty();
    }
    for (Reject& reject : rejected) reject("all threads are in calls that do not return");
    if (checks_stall_) check_stall();
  });
}

// At the lowest priority, an abandoned call that computes does not slow down other work, even in a
// process that itself has a low priority.
void Offload::abandon(const StopFlag& stop) {
  const std::lock_guard lock(shared_->mutex);
  stop.stop();
  const auto task = std::ranges::find(shared_->running, stop, &Shared::Task::stop);
  if (task != shared_->running.end()) {
    const sched_param no_priority{};
    sched_setscheduler((*task)->thread, SCHED_IDLE, &no_priority);
  }
  // A new thread replaces the abandoned one.
  if (shared_->idle < shared_->queue.size() && !shared_->full()) Shared::start_thread(shared_);
}

}  // namespace vitalsd::net
