// Limits the number of concurrent runs, in total and per endpoint. Grants slots in the order of
// requests; a waiting request can be withdrawn. Probe loop only.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>

namespace vitalsd {

class Gate {
 public:
  /// A place in a queue, or a slot. The destructor releases it.
  class Ticket {
   public:
    Ticket() = default;
    ~Ticket() { leave(); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    /// Releases the slot, or withdraws the request.
    void leave();
    [[nodiscard]] bool holds_slot() const { return state_ == State::inside; }

   private:
    friend class Gate;
    enum class State : unsigned char { outside, at_endpoint, at_gate, inside };

    Gate* gate_ = nullptr;
    State state_ = State::outside;
    std::string endpoint_;
    std::function<void()> granted_;
    std::list<Ticket*>::iterator position_;  // in the queue that state_ names
  };

  Gate(std::size_t max, std::size_t max_per_endpoint)
      : max_(max), max_per_endpoint_(max_per_endpoint) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Requests a slot. Calls `granted` when the slot is available, possibly before enter() returns.
  /// An empty `endpoint` means that only the total limit applies.
  void enter(Ticket& ticket, std::string endpoint, std::function<void()> granted);

  /// Changes the limits after a reload. Granted slots are not revoked.
  void set_limits(std::size_t max, std::size_t max_per_endpoint);

  /// The number of granted slots.
  [[nodiscard]] std::size_t inside() const { return inside_; }

 private:
  struct Endpoint {
    std::size_t slots = 0;
    std::list<Ticket*> waiting;
  };

  void enter_gate(Ticket& ticket);
  void leave(Ticket& ticket);
  void leave_endpoint(const std::string& endpoint);
  void admit_to_gate(Endpoint& endpoint);
  void admit();

  std::size_t max_;
  std::size_t max_per_endpoint_;
  std::size_t inside_ = 0;
  std::list<Ticket*> waiting_;  // each already holds a slot of its endpoint
  std::unordered_map<std::string, Endpoint> endpoints_;  // those with slots
};

}  // namespace vitalsd
