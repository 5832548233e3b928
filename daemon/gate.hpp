// Caps on how many probes run at once: in all, and against one endpoint. First come, first served;
// whoever waits may withdraw. Probe loop only.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>

namespace vitalsd {

class Gate {
 public:
  /// A place in the queue or a slot. Destroying it withdraws or leaves.
  class Ticket {
   public:
    Ticket() = default;
    ~Ticket() { leave(); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    void leave();
    [[nodiscard]] bool holds_slot() const { return state_ == State::inside; }

   private:
    friend class Gate;
    enum class State : unsigned char { outside, at_endpoint, at_gate, inside };

    Gate* gate_ = nullptr;
    State state_ = State::outside;
    std::string endpoint_;
    std::function<void()> granted_;
    std::list<Ticket*>::iterator place_;
  };

  Gate(std::size_t max, std::size_t max_per_endpoint)
      : max_(max), max_per_endpoint_(max_per_endpoint) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Takes a slot, now or later; `granted` is called when it is there, perhaps before this returns.
  /// An empty `endpoint` counts in all only.
  void enter(Ticket& ticket, std::string endpoint, std::function<void()> granted);

  /// After a reload. Slots that are held stay held.
  void set_limits(std::size_t max, std::size_t max_per_endpoint);

  [[nodiscard]] std::size_t inside() const { return inside_; }

 private:
  struct AtEndpoint {
    std::size_t slots = 0;
    std::list<Ticket*> waiting;
  };

  void enter_gate(Ticket& ticket);
  void leave(Ticket& ticket);
  void leave_endpoint(const std::string& endpoint);
  void admit_at(AtEndpoint& at);
  void admit();

  std::size_t max_;
  std::size_t max_per_endpoint_;
  std::size_t inside_ = 0;
  std::list<Ticket*> waiting_;  // they hold their endpoint's slot already
  std::unordered_map<std::string, AtEndpoint> endpoints_;  // those in use
};

}  // namespace vitalsd
