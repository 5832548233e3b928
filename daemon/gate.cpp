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
  AtEndpoint& at = endpoints_[ticket.endpoint_];
  if (at.slots < max_per_endpoint_) {
    ++at.slots;
    enter_gate(ticket);
    return;
  }
  ticket.state_ = Ticket::State::at_endpoint;
  ticket.place_ = at.waiting.insert(at.waiting.end(), &ticket);
}

// With its endpoint's slot in hand.
void Gate::enter_gate(Ticket& ticket) {
  if (inside_ < max_) {
    ++inside_;
    ticket.state_ = Ticket::State::inside;
    std::exchange(ticket.granted_, nullptr)();
    return;
  }
  ticket.state_ = Ticket::State::at_gate;
  ticket.place_ = waiting_.insert(waiting_.end(), &ticket);
}

void Gate::leave(Ticket& ticket) {
  ticket.gate_ = nullptr;
  ticket.granted_ = nullptr;
  switch (std::exchange(ticket.state_, Ticket::State::outside)) {
    case Ticket::State::outside:
      return;
    case Ticket::State::at_endpoint:
      endpoints_[ticket.endpoint_].waiting.erase(ticket.place_);
      return;
    case Ticket::State::at_gate:
      waiting_.erase(ticket.place_);
      break;
    case Ticket::State::inside:
      --inside_;
      break;
  }
  if (!ticket.endpoint_.empty()) leave_endpoint(ticket.endpoint_);
  admit();
}

void Gate::leave_endpoint(const std::string& endpoint) {
  const auto at = endpoints_.find(endpoint);
  --at->second.slots;
  admit_at(at->second);
  if (at->second.slots == 0) endpoints_.erase(at);
}

// Those who wait at an endpoint go on to the gate as its slots allow; admit() takes them from
// there.
void Gate::admit_at(AtEndpoint& at) {
  while (!at.waiting.empty() && at.slots < max_per_endpoint_) {
    Ticket& next = *at.waiting.front();
    at.waiting.pop_front();
    ++at.slots;
    next.state_ = Ticket::State::at_gate;
    next.place_ = waiting_.insert(waiting_.end(), &next);
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
  for (auto& [endpoint, at] : endpoints_) admit_at(at);
  admit();
}

}  // namespace vitalsd
