#include "daemon/event_log.hpp"

#include <utility>

namespace vitalsd {

void EventLog::add(ProbeEvent event) {
  auto added = std::make_shared<const ProbeEvent>(std::move(event));
  const std::lock_guard lock(mutex_);
  const auto probe = of_probe_.try_emplace(added->probe).first;
  const auto position = all_.insert(all_.end(), std::move(added));
  change(probe, [&](Own& own) { own.events.push_back(position); });
  if (probe->second.events.size() > kMaxPerProbe) {
    drop_oldest(probe);
  } else if (all_.size() > kMaxTotal) {
    const auto noisiest = by_size_.rbegin();
    drop_oldest(of_probe_.find(noisiest->first > 1 ? noisiest->second
                                                   : std::string_view(all_.front()->probe)));
  }
}

template <class Change>
void EventLog::change(OfProbe::iterator probe, Change&& change) {
  by_size_.erase({probe->second.events.size(), probe->first});
  change(probe->second);
  by_size_.emplace(probe->second.events.size(), probe->first);
}

void EventLog::drop_oldest(OfProbe::iterator probe) {
  change(probe, [&](Own& own) {
    all_.erase(own.events.front());
    own.events.pop_front();
    ++own.dropped;
  });
}

void EventLog::remove(const std::string& probe) {
  const std::lock_guard lock(mutex_);
  const auto found = of_probe_.find(probe);
  if (found == of_probe_.end()) return;
  for (const List::iterator event : found->second.events) all_.erase(event);
  by_size_.erase({found->second.events.size(), found->first});
  of_probe_.erase(found);
}

ProbeEvents EventLog::events(std::string_view probe) const {
  const std::lock_guard lock(mutex_);
  if (probe.empty()) return {all_.rbegin(), all_.rend()};
  const auto found = of_probe_.find(probe);
  if (found == of_probe_.end()) return {};
  const std::deque<List::iterator>& own = found->second.events;
  ProbeEvents events;
  events.reserve(own.size());
  for (auto event = own.rbegin(); event != own.rend(); ++event) events.push_back(**event);
  return events;
}

std::size_t EventLog::dropped(std::string_view probe) const {
  const std::lock_guard lock(mutex_);
  const auto found = of_probe_.find(probe);
  return found == of_probe_.end() ? 0 : found->second.dropped;
}

}  // namespace vitalsd
