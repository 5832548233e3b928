#include "probes/net/kubernetes/client.hpp"

#include "probes/net/kubernetes/stream.hpp"

#include <algorithm>

namespace vitalsd::net::kubernetes {

void Client::set_access(const AccessOptions& options) {
  if (options == api_.options()) return;
  api_.set_access(options);
  context_.watch_list = true;
  for (const auto& reflector : reflectors_) reflector->restart();
}

void Client::stop() {
  for (const auto& reflector : reflectors_) reflector->stop();
  for (Stream* const stream : streams_) stream->stop();
}

Reflector& Client::reflector(const Query& query) {
  const auto same = std::ranges::find_if(
      reflectors_, [&](const auto& reflector) { return reflector->query() == query; });
  if (same != reflectors_.end()) return **same;
  return *reflectors_.emplace_back(std::make_unique<Reflector>(context_, query));
}

void Client::drop_idle() {
  std::erase_if(reflectors_, [](const auto& reflector) { return reflector->idle(); });
}

Client::Subscription::Subscription(Client& client, const Query& query, Listener& listener)
    : client_(client), reflector_(client.reflector(query)), listener_(listener) {
  reflector_.add(listener_);
}

Client::Subscription::~Subscription() {
  reflector_.remove(listener_);
  client_.drop_idle();
}

}  // namespace vitalsd::net::kubernetes
