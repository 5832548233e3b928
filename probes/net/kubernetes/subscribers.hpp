// The listeners of one reflector, and which of them have a complete list. While a listener is
// called, it may add and remove listeners, including itself. Probe loop only.
#pragma once

#include <string_view>
#include <vector>

namespace vitalsd::net::kubernetes {

/// Receives the objects of a resource. A listener that keeps objects marks those that it receives
/// after list_started() and removes the others at list_ended(), so that no object is missing in
/// between. Objects are valid during the call. updated() and deleted() may throw ProbeError for
/// malformed bytes: the attempt then fails, and the reflector retries.
class Listener {
 public:
  Listener() = default;
  virtual ~Listener() = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  virtual void list_started() = 0;
  virtual void updated(std::string_view object) = 0;  ///< created, changed or listed
  virtual void deleted(std::string_view object) = 0;  ///< with its last state
  virtual void list_ended() = 0;
};

class Subscribers {
 public:
  void add(Listener& listener) { subscribers_.push_back({.listener = &listener}); }
  void remove(const Listener& listener);
  [[nodiscard]] bool empty() const;
  /// Whether a listener is being called.
  [[nodiscard]] bool calling() const { return calls_ > 0; }

  /// Whether a subscriber is receiving a list.
  [[nodiscard]] bool listing() const;
  /// Whether `listener` has received a complete list.
  [[nodiscard]] bool synced(const Listener& listener) const;

  void list_started();
  /// The list is complete. Returns whether all subscribers have received a complete list: one that
  /// subscribed after list_started() has not.
  bool list_ended();
  /// The list in progress has ended before it was complete.
  void abort_list();

  /// Passes an object to the listeners. An object of a list (`listing`) is for the subscribers that
  /// receive the list; a later event is for those that are synced.
  void updated(std::string_view object, bool listing);
  void deleted(std::string_view object, bool listing);

 private:
  struct Subscriber {
    Listener* listener;    // null: removed during a call
    bool listing = false;  // receives the list in progress
    bool synced = false;
    [[nodiscard]] bool receives(bool of_list) const { return of_list ? listing : synced; }
  };

  /// Calls `call(subscriber)` for each. `call` must not use the subscriber after it has called its
  /// listener, which may change the vector.
  template <class Call>
  void for_each(const Call& call);

  std::vector<Subscriber> subscribers_;
  int calls_ = 0;
};

}  // namespace vitalsd::net::kubernetes
