#include "probes/net/kubernetes/subscribers.hpp"

#include <algorithm>

namespace vitalsd::net::kubernetes {

void Subscribers::remove(const Listener& listener) {
  std::erase_if(subscribers_,
                [&](const Subscriber& subscriber) { return subscriber.listener == &listener; });
}

bool Subscribers::listing() const {
  return std::ranges::any_of(subscribers_, &Subscriber::listing);
}

bool Subscribers::synced(const Listener& listener) const {
  const auto found = std::ranges::find(subscribers_, &listener, &Subscriber::listener);
  return found != subscribers_.end() && found->synced;
}

void Subscribers::list_started() {
  for (Subscriber& subscriber : subscribers_) {
    subscriber.listing = true;
    subscriber.listener->list_started();
  }
}

bool Subscribers::list_ended() {
  bool all_synced = true;
  for (Subscriber& subscriber : subscribers_) {
    if (!subscriber.listing) {
      all_synced = false;
      continue;
    }
    subscriber.listener->list_ended();
    subscriber.listing = false;
    subscriber.synced = true;
  }
  return all_synced;
}

void Subscribers::abort_list() {
  for (Subscriber& subscriber : subscribers_) subscriber.listing = false;
}

void Subscribers::updated(std::string_view object, bool listing) {
  for (const Subscriber& subscriber : subscribers_) {
    if (subscriber.receives(listing)) subscriber.listener->updated(object);
  }
}

void Subscribers::deleted(std::string_view object, bool listing) {
  for (const Subscriber& subscriber : subscribers_) {
    if (subscriber.receives(listing)) subscriber.listener->deleted(object);
  }
}

}  // namespace vitalsd::net::kubernetes
