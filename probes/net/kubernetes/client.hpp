// The Kubernetes client of the daemon. All probes that read the same resource share one watch.
// Probe loop only.
#pragma once

#include "probes/net/kubernetes/api.hpp"
#include "probes/net/kubernetes/client_context.hpp"
#include "probes/net/kubernetes/reflector.hpp"

#include <memory>
#include <set>
#include <vector>

namespace vitalsd::net::kubernetes {

class Stream;

class Client {
 public:
  Client(asio::io_context& loop, TimerWheel& wheel, ConfiguredFiles& files, HttpClient& http,
         const Timeouts& timeouts = {})
      : api_(files, http), context_{loop, wheel, api_, timeouts} {}

  /// Sets the API server and the credentials. If they change, all watches start over with a list.
  void set_access(const AccessOptions& options);

  [[nodiscard]] const Api& api() const { return api_; }
  [[nodiscard]] const Timeouts& timeouts() const { return context_.timeouts; }

  /// Connects a listener to the watch of a query. Must be destroyed before the client.
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

  /// Cancels all watches and streams permanently. The loop must then run until running() is 0.
  void stop();
  /// The number of attempts and streams that have not unwound yet.
  [[nodiscard]] int running() const { return context_.running; }

 private:
  friend class Stream;

  Reflector& reflector(const Query& query);
  void drop_idle();

  Api api_;
  ClientContext context_;
  std::vector<std::unique_ptr<Reflector>> reflectors_;
  std::set<Stream*> streams_;
};

}  // namespace vitalsd::net::kubernetes
