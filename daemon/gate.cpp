#include "daemon/gate.hpp"

#include <cassert>
#include <utility>

namespace vitalsd {

void Gate::Ticket::leave() {
  if (gate_ != nullptr) gate_->leave(*this);
}

void Gate::enter(Ticket& ticket, std::string endpoint, std::function<void()> granted) {
  assert(ticket.gate_ == nullptr);
  ticket.gate_ = this;
  ticket.endpoint_ = std::move(endpoint);
  ticket.granted_ = std::move(granted);
  if (ticket.endpoint_.empty()) {
    enter_gate(ticket);
    return;
  }
  Endpoint& at = endpoints_[ticket.endpoint_];
  if (at.slots < max_per_endpoint_) {
    ++at.slots;
    enter_gate(ticket);
    return;
  }
  ticket.state_ = Ticket::State::at_endpoint;
  ticket.position_ = at.waiting.insert(at.waiting.end(), &ticket);
}

// Queues a ticket that already holds a slot of its endpoint, if it has an endpoint.
void Gate::enter_gate(Ticket& ticket) {
  if (inside_ < max_) {
    ++inside_;
    ticket.state_ = Ticket::State::inside;
    std::exchange(ticket.granted_, nullptr)();
    return;
  }
  ticket.state_ = Ticket::State::at_gate;
  ticket.position_ = waiting_.insert(waiting_.end(), &ticket);
}

void Gate::leave(Ticket& ticket) {
  ticket.gate_ = nullptr;
  ticket.granted_ = nullptr;
  switch (std::exchange(ticket.state_, Ticket::State::outside)) {
    case Ticket::State::outside:
      return;
    case Ticket::State::at_endpoint:
      endpoints_[ticket.endpoint_].waiting.erase(ticket.position_);
      return;
    case Ticket::State::at_gate:
      waiting_.erase(ticket.position_);
      break;
    case Ticket::State::inside:
      --inside_;
      break;
  }
  if (!ticket.endpoint_.empty()) leave_endpoint(ticket.endpoint_);
  admit();
}

void Gate::leave_endpoint(const std::string& endpoint) {
  const auto entry = endpoints_.find(endpoint);
  --entry->second.slots;
  admit_to_gate(entry->second);
  if (entry->second.slots == 0) endpoints_.erase(entry);
}

// Moves tickets from the queue of an endpoint to the queue of the gate, up to the endpoint's limit.
// admit() serves the queue of the gate.
void Gate::admit_to_gate(Endpoint& endpoint) {
  while (!endpoint.waiting.empty() && endpoint.slots < max_per_endpoint_) {
    Ticket& next = *endpoint.waiting.front();
    endpoint.waiting.pop_front();
    ++endpoint.slots;
    next.state_ = Ticket::State::at_gate;
    next.position_ = waiting_.insert(waiting_.end(), &next);
  }
}

void Gate::admit() {
  while (inside_ < max_ && !waiting_.empty()) {
    Ticket& next = *waiting_.front();
    waiting_.pop_front();
    ++inside_;
    next.state_ = Ticket::State::inside;
    std::exchange(next.granted_, nullptr)();
  }
}

void Gate::set_limits(std::size_t max, std::size_t max_per_endpoint) {
  max_ = max;
  max_per_endpoint_ = max_per_endpoint;
  for (auto& [name, endpoint] : endpoints_) admit_to_gate(endpoint);
  admit();
}

}  // namespace vitalsd
