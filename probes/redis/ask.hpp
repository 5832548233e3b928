// A command about the cluster, for which a user may lack the permission: its refusal fails one part
// of a run.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/redis_connection.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::redis {

/// Sends a command whose reply is a text. If the server refuses it, fails `part` and returns
/// nothing. Throws ProbeError for errors of the connection.
inline asio::awaitable<std::optional<std::string>> ask_text(net::RedisConnection& connection,
                                                            std::vector<std::string> words,
                                                            Part& part, SampleSet& out) {
  std::string name = words.front();
  for (std::size_t i = 1; i < words.size(); ++i) name += ' ' + words[i];
  out.doing("waiting for " + name);
  net::RedisReply reply = co_await connection.ask(std::move(words));
  if (reply.kind == net::RedisReply::Kind::text) co_return std::move(reply.text);
  const ProbeError error = net::redis_error(
      reply.kind == net::RedisReply::Kind::error ? reply.text : name + " has no text as reply");
  std::string detail = name + ": " + error.what();
  if (error.reason() == Reason::permission) {
    detail += "; grant +cluster|info and +cluster|nodes with ACL SETUSER";
  }
  part.fail(error.reason(), std::move(detail));
  part.complete();
  co_return std::nullopt;
}

}  // namespace vitalsd::redis
