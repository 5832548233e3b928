#include "probes/net/kubernetes/subscribers.hpp"

#include <algorithm>

namespace vitalsd::net::kubernetes {

void Subscribers::remove(const Listener& listener) {
  std::erase_if(subscribers_, [&](const Subscriber& each) { return each.listener == &listener; });
}

bool Subscribers::listing() const {
  return std::ranges::any_of(subscribers_, &Subscriber::listing);
}

bool Subscribers::synced(const Listener& listener) const {
  const auto found = std::ranges::find(subscribers_, &listener, &Subscriber::listener);
  return found != subscribers_.end() && found->synced;
}

void Subscribers::list_started() {
  for (Subscriber& each : subscribers_) {
    each.listing = true;
    each.listener->list_started();
  }
}

bool Subscribers::list_ended() {
  bool all_synced = true;
  for (Subscriber& each : subscribers_) {
    if (!each.listing) {
      all_synced = false;
      continue;
    }
    each.listener->list_ended();
    each.listing = false;
    each.synced = true;
  }
  return all_synced;
}

void Subscribers::abort_list() {
  for (Subscriber& each : subscribers_) each.listing = false;
}

void Subscribers::updated(std::string_view object, bool listing) {
  for (const Subscriber& each : subscribers_) {
    if (each.receives(listing)) each.listener->updated(object);
  }
}

void Subscribers::deleted(std::string_view object, bool listing) {
  for (const Subscriber& each : subscribers_) {
    if (each.receives(listing)) each.listener->deleted(object);
  }
}

}  // namespace vitalsd::net::kubernetes
