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

void SlowCommands::add(std::string_view run_id, std::int64_t last_id) {
  count_.reset();
  if (last_id_ && run_id == run_id_) {
    // After SLOWLOG RESET the log is empty, and the numbers continue.
    last_id = std::max(last_id, *last_id_);
    count_ = static_cast<double>(last_id - *last_id_);
  }
  run_id_ = run_id;
  last_id_ = last_id;
}

// Entries of (id, Unix time, value, command, client, name).
std::optional<LogEntry> read_log_entry(const RedisReply& reply) {
  if (reply.kind != RedisReply::Kind::list || reply.items.empty()) return std::nullopt;
  const std::vector<RedisReply>& entry = reply.items.front().items;
  constexpr std::size_t kValue = 2;
  if (entry.size() <= kValue || entry[0].kind != RedisReply::Kind::integer) return std::nullopt;
  return LogEntry{.id = entry[0].integer, .value = static_cast<double>(entry[kValue].integer)};
}

bool has_command_log(const RedisInfo& info) {
  const std::string_view version = info.text("valkey_version");
  const std::string_view major_minor = version.substr(0, version.rfind('.'));
  return to_number(major_minor).value_or(0) >= 8.1;
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

asio::awaitable<void> SlowLane::read_command_log(net::RedisConnection& connection, Part& part,
                                                 SampleSet& out) {
  for (const char* type : {"large-request", "large-reply"}) {
    const auto length = co_await permitted_.ask(connection, {"COMMANDLOG", "LEN", type}, out);
    if (length && length->kind == RedisReply::Kind::integer) {
      part.add(kCommandLogLength, static_cast<double>(length->integer), type);
    }
    const auto log = co_await permitted_.ask(connection, {"COMMANDLOG", "GET", "1", type}, out);
    if (const auto entry = log ? read_log_entry(*log) : std::nullopt) {
      part.add(kCommandLogLastId, static_cast<double>(entry->id), type);
      part.add(kCommandLogSize, entry->value, type);
    }
  }
}

asio::awaitable<void> SlowLane::read(net::RedisConnection& connection, const RedisInfo& info,
                                     const RedisInfo& commands, SampleSet& out) {
  Part part;
  add_commands(commands, part);
  out.doing("waiting for INFO latencystats");
  std::vector<std::string> words = {"INFO", "latencystats"};
  if (RedisReply reply = co_await connection.ask(std::move(words));
      reply.kind == RedisReply::Kind::text) {
    add_latency_percentiles(RedisInfo(std::move(reply.text)), part);
  }

  if (const auto reply = co_await permitted_.ask(connection, {"SLOWLOG", "GET", "1"}, out)) {
    const std::optional<LogEntry> entry = read_log_entry(*reply);
    slow_commands_.add(info.text("run_id"), entry ? entry->id : -1);
    if (entry) {
      part.add(kSlowLogLastId, static_cast<double>(entry->id));
      part.add(kLastSlow, entry->value / kMicroseconds);
    }
  }
  if (const auto reply = co_await permitted_.ask(connection, {"SLOWLOG", "LEN"}, out)) {
    if (reply->kind == RedisReply::Kind::integer) {
      part.add(kSlowLogLength, static_cast<double>(reply->integer));
    }
  }
  if (const auto reply = co_await permitted_.ask(connection, {"LATENCY", "LATEST"}, out)) {
    add_latency(*reply, part);
  }

  if (has_command_log(info)) co_await read_command_log(connection, part, out);
  permitted_.publish(part);
  Rendering rendering;
  std::size_t duplicates = 0;
  part.render(rendering, out.constant_labels(), duplicates);
  lines_ = to_fragment(std::move(rendering));
}

asio::awaitable<void> SlowLane::add(net::RedisConnection& connection, const RedisInfo& info,
                                    const RedisInfo& commands, SampleSet& out) {
  const auto now = std::chrono::steady_clock::now();
  if (!read_at_ || now - *read_at_ >= kInterval) {
    co_await read(connection, info, commands, out);
    read_at_ = now;
  }
  out.attach(lines_);
  if (const auto count = slow_commands_.count()) out.check(kSlowCommandsCheck, *count);
}

}  // namespace vitalsd::redis
