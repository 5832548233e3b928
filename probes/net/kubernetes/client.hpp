// The one Kubernetes client of the daemon: whatever number of probes read a resource, there is one
// watch of it. Probe loop only.
#pragma once

#include "probes/net/kubernetes/api.hpp"
#include "probes/net/kubernetes/reflector.hpp"

#include <memory>
#include <set>
#include <vector>

namespace vitalsd::net::kubernetes {

class Stream;

class Client {
 public:
  Client(asio::io_context& loop, TimerWheel& wheel, HttpClient& http, const Patience& patience = {})
      : api_(http), context_{loop, wheel, api_, patience} {}

  /// Whom to ask from now on; another API server than before means new lists.
  void set_access(const AccessOptions& options);

  [[nodiscard]] const Api& api() const { return api_; }
  [[nodiscard]] const Patience& patience() const { return context_.patience; }

  /// A listener's place at the watch of what it asks for. Must end before the client does.
  class Subscription {
   public:
    Subscription(Client& client, const Query& query, Listener& listener);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    [[nodiscard]] bool synced() const { return reflector_.synced(listener_); }
    [[nodiscard]] asio::awaitable<void> wait() const { return reflector_.wait(listener_); }
    [[nodiscard]] const Reflector& reflector() const { return reflector_; }

   private:
    Client& client_;
    Reflector& reflector_;
    Listener& listener_;
  };

  /// Gives up all watches and streams, for good. Then the loop must run until nothing is running().
  void stop();
  /// Attempts that have not unwound.
  [[nodiscard]] int running() const { return context_.running; }

 private:
  friend class Stream;

  Reflector& reflector(const Query& query);
  void drop_idle();

  Api api_;
  ReflectorContext context_;
  std::vector<std::unique_ptr<Reflector>> reflectors_;
  std::set<Stream*> streams_;
};

}  // namespace vitalsd::net::kubernetes
