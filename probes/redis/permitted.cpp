#include "probes/redis/permitted.hpp"

#include <cctype>
#include <utility>

namespace vitalsd::redis {
namespace {

using net::RedisReply;

// Returns the command as in a rule of an ACL: "slowlog|get".
std::string rule_of(const std::vector<std::string>& words) {
  std::string rule = words[0] + '|' + words[1];
  for (char& c : rule) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return rule;
}

}  // namespace

asio::awaitable<std::optional<RedisReply>> PermittedCommands::ask(net::RedisConnection& connection,
                                                                  std::vector<std::string> words,
                                                                  SampleSet& out) {
  const std::string rule = rule_of(words);
  const auto now = std::chrono::steady_clock::now();
  const auto known = refused_.find(rule);
  if (known != refused_.end() && known->second && now - *known->second < std::chrono::hours(1)) {
    co_return std::nullopt;
  }
  out.doing("waiting for " + words[0] + ' ' + words[1]);
  RedisReply reply = co_await connection.ask(std::move(words));
  if (reply.kind != RedisReply::Kind::error) {
    refused_[rule].reset();
    co_return reply;
  }
  // Another error, for example for an unknown command, does not show whether the permission exists.
  refused_.erase(rule);
  if (net::redis_error(reply.text).reason() == Reason::permission) refused_[rule] = now;
  co_return std::nullopt;
}

void PermittedCommands::publish(Part& out) const {
  for (const auto& [rule, refused] : refused_) out.add(kPermitted, refused ? 0 : 1, rule);
}

}  // namespace vitalsd::redis
