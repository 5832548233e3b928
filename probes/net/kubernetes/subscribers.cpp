#include "probes/net/kubernetes/subscribers.hpp"

#include <algorithm>
#include <cstddef>

namespace vitalsd::net::kubernetes {

template <class Call>
void Subscribers::for_each(const Call& call) {
  struct Calling {  // the destructor also runs if a listener throws
    explicit Calling(Subscribers& of) : subscribers(of) { ++subscribers.calls_; }
    ~Calling() {
      if (--subscribers.calls_ > 0) return;
      std::erase_if(subscribers.subscribers_,
                    [](const Subscriber& subscriber) { return subscriber.listener == nullptr; });
    }
    Calling(const Calling&) = delete;
    Calling& operator=(const Calling&) = delete;
    Subscribers& subscribers;
  } const calling(*this);
  for (std::size_t i = 0; i < subscribers_.size(); ++i) {  // by index, because the vector may grow
    if (subscribers_[i].listener != nullptr) call(subscribers_[i]);
  }
}

void Subscribers::remove(const Listener& listener) {
  const auto found = std::ranges::find(subscribers_, &listener, &Subscriber::listener);
  if (found == subscribers_.end()) return;
  if (calling()) {
    *found = {.listener = nullptr};
  } else {
    subscribers_.erase(found);
  }
}

bool Subscribers::empty() const {
  return std::ranges::none_of(subscribers_, &Subscriber::listener);
}

bool Subscribers::listing() const {
  return std::ranges::any_of(subscribers_, &Subscriber::listing);
}

bool Subscribers::synced(const Listener& listener) const {
  const auto found = std::ranges::find(subscribers_, &listener, &Subscriber::listener);
  return found != subscribers_.end() && found->synced;
}

void Subscribers::list_started() {
  for_each([](Subscriber& subscriber) {
    subscriber.listing = true;
    subscriber.listener->list_started();
  });
}

bool Subscribers::list_ended() {
  bool all_synced = true;
  for_each([&](Subscriber& subscriber) {
    if (!subscriber.listing) {
      all_synced = false;
      return;
    }
    subscriber.listing = false;
    subscriber.synced = true;
    subscriber.listener->list_ended();
  });
  return all_synced;
}

void Subscribers::abort_list() {
  for (Subscriber& subscriber : subscribers_) subscriber.listing = false;
}

void Subscribers::updated(std::string_view object, bool listing) {
  for_each([&](const Subscriber& subscriber) {
    if (subscriber.receives(listing)) subscriber.listener->updated(object);
  });
}

void Subscribers::deleted(std::string_view object, bool listing) {
  for_each([&](const Subscriber& subscriber) {
    if (subscriber.receives(listing)) subscriber.listener->deleted(object);
  });
}

}  // namespace vitalsd::net::kubernetes
