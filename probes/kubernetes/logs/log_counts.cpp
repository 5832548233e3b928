#include "probes/kubernetes/logs/log_counts.hpp"

#include <algorithm>
#include <chrono>
#include <exception>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace vitalsd::kubernetes {
namespace {

namespace json = boost::json;

std::int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void LogCounts::set_patterns(std::vector<LogPattern> patterns) {
  const auto reordered = [&](const std::vector<std::uint64_t>& old) {
    std::vector<std::uint64_t> counts(patterns.size());
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      const auto same = std::ranges::find(patterns_, patterns[i].name, &LogPattern::name);
      if (same != patterns_.end()) {
        counts[i] = old[static_cast<std::size_t>(same - patterns_.begin())];
      }
    }
    return counts;
  };
  for (auto& [key, row] : rows_) {
    row.current = reordered(row.current);
    row.serialized = reordered(row.serialized);
    row.saved = reordered(row.saved);
  }
  patterns_ = std::move(patterns);
}

void LogCounts::start(std::int64_t now) {
  if (started_) return;
  started_ = now;
  ++version_;
}

LogCounts::Row& LogCounts::row(const std::string& namespace_name, const std::string& container) {
  const auto [found, is_new] = rows_.try_emplace({namespace_name, container});
  Row& row = found->second;
  row.last_seen = unix_seconds();
  if (is_new)
    row.current = row.serialized = row.saved = std::vector<std::uint64_t>(patterns_.size());
  return row;
}

void LogCounts::count(Row& row, std::string_view line) {
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    if (!patterns_[i].matches(line)) continue;
    ++row.current[i];
    ++version_;
  }
}

LogPosition& LogCounts::position(const std::string& container) {
  const auto found =
      positions_.try_emplace(container, Position{LogPosition(started_.value_or(0))}).first;
  found->second.forgotten.reset();
  return found->second.position;
}

void LogCounts::forget(const std::string& container, std::int64_t now) {
  drop_old_positions(now);
  const auto found = positions_.find(container);
  if (found == positions_.end()) return;
  if (found->second.position.state().in_second == 0) {  // equal to a new position
    positions_.erase(found);
    return;
  }
  found->second.forgotten = now;
  forgotten_.emplace_back(now, container);
}

void LogCounts::forget_unless(const std::function<bool(const std::string&)>& exists,
                              std::int64_t now) {
  std::vector<std::string> deleted;
  for (const auto& [container, position] : positions_) {
    if (!position.forgotten && !exists(container)) deleted.push_back(container);
  }
  for (const std::string& container : deleted) forget(container, now);
  drop_old_positions(now);
}

void LogCounts::drop_old_positions(std::int64_t now) {
  for (; !forgotten_.empty() && now - forgotten_.front().first > kPositionRetention;
       forgotten_.pop_front()) {
    const auto& [when, name] = forgotten_.front();
    const auto old = positions_.find(name);
    if (old != positions_.end() && old->second.forgotten == when) positions_.erase(old);
  }
}

void LogCounts::drop_old_rows(std::int64_t now) {
  for (auto& [key, row] : rows_) {
    if (row.containers > 0) row.last_seen = now;
  }
  std::erase_if(rows_,
                [&](const auto& entry) { return now - entry.second.last_seen > kRetention; });
}

// ---- notes --------------------------------------------------------------------------------------

std::string LogCounts::serialize() {
  drop_old_rows(unix_seconds());
  json::object positions;
  for (const auto& [container, position] : positions_) {
    const LogPosition::State state = position.position.state();
    if (state.in_second == 0) continue;  // equal to a new position
    positions[container] = json::array{state.last, state.in_second, state.in_second_before};
  }
  json::array counts;
  for (auto& [key, row] : rows_) {
    row.serialized = row.current;
    json::object lines;
    for (std::size_t i = 0; i < patterns_.size(); ++i) lines[patterns_[i].name] = row.current[i];
    json::object entry;
    entry["namespace"] = key.first;
    entry["container"] = key.second;
    entry["last_there"] = row.last_seen;
    entry["lines"] = std::move(lines);
    counts.push_back(std::move(entry));
  }
  json::object document;
  if (started_) document["begun"] = *started_;
  document["positions"] = std::move(positions);
  document["counts"] = std::move(counts);
  return json::serialize(document);
}

void LogCounts::saved() {
  for (auto& [key, row] : rows_) row.saved = row.serialized;
}

void LogCounts::restore(std::string_view text) {
  LogCounts read(patterns_);
  try {
    const json::value document = json::parse(json::string_view(text.data(), text.size()));
    const json::object& root = document.as_object();
    read.start(root.at("begun").to_number<std::int64_t>());
    for (const auto& entry : root.at("positions").as_object()) {
      const json::array& state = entry.value().as_array();
      read.positions_.emplace(
          std::string(entry.key()),
          Position{LogPosition(*read.started_,
                               {.last = state.at(0).to_number<std::int64_t>(),
                                .in_second = state.at(1).to_number<std::uint64_t>(),
                                .in_second_before = state.at(2).to_number<std::uint64_t>()})});
    }
    for (const json::value& value : root.at("counts").as_array()) {
      const json::object& entry = value.as_object();
      Row& row = read.row(std::string(entry.at("namespace").as_string()),
                          std::string(entry.at("container").as_string()));
      row.last_seen = entry.at("last_there").to_number<std::int64_t>();
      const json::object& lines = entry.at("lines").as_object();
      for (std::size_t i = 0; i < patterns_.size(); ++i) {
        const json::value* count = lines.if_contains(patterns_[i].name);
        if (count != nullptr) row.current[i] = count->to_number<std::uint64_t>();
      }
      row.serialized = row.saved = row.current;
    }
  } catch (const std::exception&) {  // another format, or damaged: the same as a first start
    return;
  }
  rows_ = std::move(read.rows_);
  positions_ = std::move(read.positions_);
  forgotten_.clear();
  started_ = read.started_;
  ++version_;
}

}  // namespace vitalsd::kubernetes
