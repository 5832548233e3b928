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

#include <boost/asio/post.hpp>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace vitalsd::net {

struct Offload::Shared {
  struct Task {
    std::string flight;
    StopFlag stop;
    Job run;
    pid_t thread = 0;
  };

  Shared(asio::io_context& of, std::size_t max, std::size_t hanging)
      : loop(of), max_threads(max), max_hanging(hanging) {}

  asio::io_context& loop;  // lives until `closed`
  const std::size_t max_threads;
  const std::size_t max_hanging;
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable gone;  // a thread is
  std::deque<Task> queue;
  std::list<Task*> running;
  std::size_t threads = 0;
  std::size_t leaving = 0;  // of those, which take up nothing any more
  std::size_t idle = 0;
  bool closed = false;

  [[nodiscard]] std::size_t given_up() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(running, [](const Task* task) { return task->stop.stopped(); }));
  }
  // Whether there are as many threads as may be, for what waits in the queue.
  [[nodiscard]] bool full() const { return threads - leaving >= max_threads + given_up(); }
  void serve();
  static void start_thread(const std::shared_ptr<Shared>& self);
};

// With the mutex held, and never on one of the threads: it would hand on a priority that is low.
void Offload::Shared::start_thread(const std::shared_ptr<Shared>& self) {
  try {
    std::thread([self] {
      pthread_setname_np(pthread_self(), "offload");
      self->serve();
    }).detach();
    ++self->threads;
  } catch (const std::system_error&) {
    // No thread to be had now: those that there are do the work.
  }
}

// What every thread does; a thread that finds nothing to do for a while ends.
void Offload::Shared::serve() {
  constexpr std::chrono::seconds kPatience{10};
  std::unique_lock lock(mutex);
  while (!closed) {
    if (queue.empty()) {
      ++idle;
      const bool woken = wake.wait_for(lock, kPatience, [&] { return closed || !queue.empty(); });
      --idle;
      if (!woken) break;
      continue;
    }
    Task task = std::move(queue.front());
    queue.pop_front();
    if (task.stop.stopped()) continue;
    task.thread = gettid();
    const auto place = running.insert(running.end(), &task);
    lock.unlock();
    Finish finish = task.run();
    task.run = nullptr;  // lets go of its captures outside the lock
    lock.lock();
    running.erase(place);
    if (!closed) asio::post(loop, std::move(finish));
    if (task.stop.stopped()) break;  // its priority cannot be raised again
  }
  ++leaving;
  lock.unlock();
  OPENSSL_thread_stop();  // what the library keeps for a thread; else it may be freed too late
  lock.lock();
  --leaving;
  --threads;
  gone.notify_all();
}

Offload::Offload(asio::io_context& loop, std::size_t max_threads, std::size_t max_hanging)
    : shared_(std::make_shared<Shared>(loop, max_threads, max_hanging)) {}

Offload::~Offload() {
  std::unique_lock lock(shared_->mutex);
  shared_->closed = true;
  shared_->queue.clear();
  shared_->wake.notify_all();
  shared_->gone.wait(lock, [&] { return shared_->threads == shared_->running.size(); });
}

std::size_t Offload::hanging() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->given_up();
}

std::size_t Offload::busy() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->running.size();
}

void Offload::admit(const std::string& flight) const {
  const std::lock_guard lock(shared_->mutex);
  const bool hangs = std::ranges::any_of(shared_->running, [&](const Shared::Task* task) {
    return task->flight == flight && task->stop.stopped();
  });
  if (hangs) throw ProbeError(Reason::timeout, flight + " still hangs from an earlier run");
  if (shared_->given_up() >= shared_->max_hanging) {
    throw ProbeError(Reason::internal,
                     std::to_string(shared_->max_hanging) + " threads hang in earlier runs");
  }
}

void Offload::submit(std::string flight, StopFlag stop, Job job, Finish refuse) {
  const std::lock_guard lock(shared_->mutex);
  shared_->queue.push_back({std::move(flight), std::move(stop), std::move(job)});
  if (shared_->idle >= shared_->queue.size() || shared_->full()) {
    shared_->wake.notify_one();
    return;
  }
  Shared::start_thread(shared_);
  if (shared_->threads > shared_->given_up()) return;
  shared_->queue.pop_back();
  asio::post(shared_->loop, std::move(refuse));
}

// A call that does not return, but computes, takes no time from what has some to do.
void Offload::give_up(const StopFlag& stop) {
  constexpr int kLowest = 19;
  const std::lock_guard lock(shared_->mutex);
  stop.stop();
  const auto task = std::ranges::find(shared_->running, stop, &Shared::Task::stop);
  if (task != shared_->running.end()) {
    setpriority(PRIO_PROCESS, static_cast<id_t>((*task)->thread), kLowest);
  }
  // Its place goes to what waits.
  if (shared_->idle < shared_->queue.size() && !shared_->full()) Shared::start_thread(shared_);
}

}  // namespace vitalsd::net
