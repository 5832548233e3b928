#include "daemon/event_log.hpp"

#include <utility>

namespace vitalsd {

void EventLog::add(ProbeEvent event) {
  auto added = std::make_shared<const ProbeEvent>(std::move(event));
  const std::lock_guard lock(mutex_);
  auto& own = of_probe_[added->probe];
  own.push_back(all_.insert(all_.end(), std::move(added)));
  if (own.size() > kMaxPerProbe) {
    all_.erase(own.front());
    own.pop_front();
  } else if (all_.size() > kMaxTotal) {
    const auto oldest = of_probe_.find(all_.front()->probe);
    oldest->second.pop_front();
    if (oldest->second.empty()) of_probe_.erase(oldest);
    all_.pop_front();
  }
}

void EventLog::remove(const std::string& probe) {
  const std::lock_guard lock(mutex_);
  const auto found = of_probe_.find(probe);
  if (found == of_probe_.end()) return;
  for (const List::iterator event : found->second) all_.erase(event);
  of_probe_.erase(found);
}

ProbeEvents EventLog::events(std::string_view probe) const {
  const std::lock_guard lock(mutex_);
  if (probe.empty()) return {all_.rbegin(), all_.rend()};
  const auto found = of_probe_.find(probe);
  if (found == of_probe_.end()) return {};
  ProbeEvents events;
  events.reserve(found->second.size());
  for (auto event = found->second.rbegin(); event != found->second.rend(); ++event) {
    events.push_back(**event);
  }
  return events;
}

}  // namespace vitalsd
