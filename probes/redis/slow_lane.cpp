#include "probes/redis/slow_lane.hpp"

#include "probes/net/redis_connection.hpp"

#include <algorithm>
#include <cctype>
#include <functional>
#include <ranges>
#include <utility>
#include <vector>

namespace vitalsd::redis {
namespace {

using net::RedisReply;

constexpr double kMicroseconds = 1e6;
constexpr double kMilliseconds = 1e3;

// Returns the command as in a rule of an ACL: "slowlog|get".
std::string rule_of(const std::vector<std::string>& words) {
  std::string rule = words[0] + '|' + words[1];
  for (char& c : rule) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return rule;
}

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
  for (const RedisReply& event : reply.items | std::views::take(kMaxEvents)) {
    constexpr std::size_t kFields = 3;
    if (event.items.size() < kFields || event.items[0].kind != RedisReply::Kind::text) continue;
    out.add(kLatencySpike, static_cast<double>(event.items[1].integer), event.items[0].text);
    out.add(kLatencyDuration, static_cast<double>(event.items[2].integer) / kMilliseconds,
            event.items[0].text);
  }
}

// A refused command is sent once an hour, because each refusal fills the ACL LOG.
asio::awaitable<std::optional<RedisReply>> SlowLane::ask_permitted(net::RedisConnection& connection,
                                                                   std::vector<std::string> words,
                                                                   Part& part, SampleSet& out) {
  const std::string rule = rule_of(words);
  std::optional<RedisReply> reply;
  const auto now = std::chrono::steady_clock::now();
  const auto last = refused_.find(rule);
  if (last == refused_.end() || now - last->second >= std::chrono::hours(1)) {
    refused_.erase(rule);
    out.doing("waiting for " + words[0] + ' ' + words[1]);
    reply = co_await connection.ask(std::move(words));
    if (reply->kind == RedisReply::Kind::error) {
      if (net::redis_error(reply->text).reason() == Reason::permission) refused_[rule] = now;
      reply.reset();
    }
  }
  const bool refused = refused_.contains(rule);
  // An error other than a refusal, for example for an unknown command, does not show whether the
  // permission exists.
  if (reply || refused) part.add(kPermitted, refused ? 0 : 1, rule);
  co_return reply;
}

asio::awaitable<void> SlowLane::read(net::RedisConnection& connection, SampleSet& out) {
  Part part;
  out.doing("waiting for INFO commandstats");
  std::vector<std::string> words = {"INFO", "commandstats"};
  RedisReply statistics = co_await connection.ask(std::move(words));
  if (statistics.kind == RedisReply::Kind::text) {
    add_commands(RedisInfo(std::move(statistics.text)), part);
  }

  if (const auto reply = co_await ask_permitted(connection, {"SLOWLOG", "GET", "1"}, part, out)) {
    add_slow_log(*reply, part);
  }
  if (const auto reply = co_await ask_permitted(connection, {"SLOWLOG", "LEN"}, part, out)) {
    if (reply->kind == RedisReply::Kind::integer) {
      part.add(kSlowLogLength, static_cast<double>(reply->integer));
    }
  }
  if (const auto reply = co_await ask_permitted(connection, {"LATENCY", "LATEST"}, part, out)) {
    add_latency(*reply, part);
  }

  Rendering rendering;
  std::size_t duplicates = 0;
  part.render(rendering, out.constant_labels(), duplicates);
  lines_ = to_fragment(std::move(rendering));
}

asio::awaitable<void> SlowLane::add(net::RedisConnection& connection, SampleSet& out) {
  const auto now = std::chrono::steady_clock::now();
  if (!read_at_ || now - *read_at_ >= kInterval) {
    co_await read(connection, out);
    read_at_ = now;
  }
  out.attach(lines_);
}

}  // namespace vitalsd::redis
