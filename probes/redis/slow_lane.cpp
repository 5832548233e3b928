#include "probes/redis/slow_lane.hpp"

#include "probes/net/redis_connection.hpp"

#include <algorithm>
#include <functional>
#include <ranges>
#include <utility>
#include <vector>

namespace vitalsd::redis {
namespace {

using net::RedisReply;

constexpr double kMicroseconds = 1e6;
constexpr double kMilliseconds = 1e3;

}  // namespace

void add_commands(const RedisInfo& info, Part& out) {
  struct Command {
    std::string_view name;
    std::string_view counts;
    double calls;
  };
  std::vector<Command> commands;
  for (const auto& [name, counts] : info.prefixed("cmdstat_")) {
    commands.push_back({name, counts, to_number(sub_field(counts, "calls")).value_or(0)});
  }
  std::ranges::sort(commands, std::greater(), &Command::calls);
  double others = 0;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (i < SlowLane::kMaxCommands) {
      kCommandTable.add(out, commands[i].counts, commands[i].name);
    } else {
      others += commands[i].calls;
    }
  }
  if (commands.size() > SlowLane::kMaxCommands) out.add(kOtherCommands, others);
}

// Fields such as "latency_percentiles_usec_get:p50=1.003,p99=7.007,p99.9=15.039".
void add_latency_percentiles(const RedisInfo& info, Part& out) {
  struct Command {
    double highest = 0;
    std::string_view name;
    std::vector<std::pair<std::string_view, double>> percentiles;
  };
  std::vector<Command> commands;
  for (const auto& [name, text] : info.prefixed("latency_percentiles_usec_")) {
    Command command{.name = name, .percentiles = {}};
    for (const auto item :
         std::views::split(text, ',') | std::views::take(SlowLane::kMaxPercentiles)) {
      const std::string_view pair(item.begin(), item.end());
      const std::size_t equals = std::min(pair.find('='), pair.size());
      const std::optional<double> value = to_number(pair.substr(std::min(equals + 1, pair.size())));
      if (!value || equals < 2 || !pair.starts_with('p')) continue;
      command.percentiles.emplace_back(pair.substr(1, equals - 1), *value);
      command.highest = std::max(command.highest, *value);
    }
    remove_repeated(command.percentiles, [](const auto& item) { return item.first; });
    if (!command.percentiles.empty()) commands.push_back(std::move(command));
  }
  std::ranges::sort(commands, [](const Command& a, const Command& b) {
    return a.highest != b.highest ? a.highest > b.highest : a.name < b.name;
  });
  for (const Command& command : commands | std::views::take(SlowLane::kMaxLatencies)) {
    for (const auto& [percentile, value] : command.percentiles) {
      out.add(kLatencyPercentile, value, command.name, percentile);
    }
  }
  if (commands.size() > SlowLane::kMaxLatencies) {
    out.add(kOtherLatencies, static_cast<double>(commands.size() - SlowLane::kMaxLatencies));
  }
}

// Entries of (id, Unix time, microseconds, command, client, name).
void add_slow_log(const RedisReply& reply, Part& out) {
  if (reply.kind != RedisReply::Kind::list) return;
  if (reply.items.empty()) return;
  const std::vector<RedisReply>& entry = reply.items.front().items;
  constexpr std::size_t kDuration = 2;
  if (entry.size() <= kDuration || entry[0].kind != RedisReply::Kind::integer) return;
  out.add(kSlowLogLastId, static_cast<double>(entry[0].integer));
  out.add(kLastSlow, static_cast<double>(entry[kDuration].integer) / kMicroseconds);
}

// Entries of (event, Unix time, milliseconds, highest milliseconds).
void add_latency(const RedisReply& reply, Part& out) {
  constexpr std::size_t kMaxEvents = 50;  // Redis 7.0 has 20
  if (reply.kind != RedisReply::Kind::list) return;
  std::vector<const std::vector<RedisReply>*> events;
  for (const RedisReply& event : reply.items | std::views::take(kMaxEvents)) {
    constexpr std::size_t kFields = 3;
    if (event.items.size() < kFields || event.items[0].kind != RedisReply::Kind::text) continue;
    events.push_back(&event.items);
  }
  const auto name = [](const auto* event) -> const std::string& { return event->front().text; };
  remove_repeated(events, name);
  for (const auto* event : events) {
    out.add(kLatencySpike, static_cast<double>((*event)[1].integer), name(event));
    out.add(kLatencyDuration, static_cast<double>((*event)[2].integer) / kMilliseconds,
            name(event));
  }
}

asio::awaitable<void> SlowLane::read(net::RedisConnection& connection, const RedisInfo& commands,
                                     SampleSet& out) {
  Part part;
  add_commands(commands, part);
  out.doing("waiting for INFO latencystats");
  std::vector<std::string> words = {"INFO", "latencystats"};
  if (RedisReply reply = co_await connection.ask(std::move(words));
      reply.kind == RedisReply::Kind::text) {
    add_latency_percentiles(RedisInfo(std::move(reply.text)), part);
  }

  if (const auto reply = co_await permitted_.ask(connection, {"SLOWLOG", "GET", "1"}, out)) {
    add_slow_log(*reply, part);
  }
  if (const auto reply = co_await permitted_.ask(connection, {"SLOWLOG", "LEN"}, out)) {
    if (reply->kind == RedisReply::Kind::integer) {
      part.add(kSlowLogLength, static_cast<double>(reply->integer));
    }
  }
  if (const auto reply = co_await permitted_.ask(connection, {"LATENCY", "LATEST"}, out)) {
    add_latency(*reply, part);
  }

  permitted_.publish(part);
  Rendering rendering;
  std::size_t duplicates = 0;
  part.render(rendering, out.constant_labels(), duplicates);
  lines_ = to_fragment(std::move(rendering));
}

asio::awaitable<void> SlowLane::add(net::RedisConnection& connection, const RedisInfo& commands,
                                    SampleSet& out) {
  const auto now = std::chrono::steady_clock::now();
  if (!read_at_ || now - *read_at_ >= kInterval) {
    co_await read(connection, commands, out);
    read_at_ = now;
  }
  out.attach(lines_);
}

}  // namespace vitalsd::redis
