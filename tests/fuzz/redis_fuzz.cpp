// RESP replies to a connection in chunks of any size: to AUTH, to SELECT, then to INFO.
#include "probes/error.hpp"
#include "probes/net/redis_connection.hpp"
#include "probes/redis/info.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

namespace {

// A server can quote the password, so errors about AUTH contain only the error code.
void take_auth(const net::RedisReply& reply) {
  constexpr std::string_view kFront = "the server rejects AUTH";
  try {
    net::refuse_redis_auth(reply);
  } catch (const ProbeError& error) {
    const std::string_view why = error.what();
    if (!why.starts_with(kFront)) {
      if (reply.kind == net::RedisReply::Kind::error && why.contains(reply.text)) std::abort();
      throw;
    }
    const std::string_view code = why.substr(std::min(why.size(), kFront.size() + 2));
    const bool upper = std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!upper || code.size() > 20) std::abort();
    throw;
  }
  if (reply.kind != net::RedisReply::Kind::text) std::abort();
}

void take_info(const net::RedisReply& reply) {
  if (reply.kind == net::RedisReply::Kind::error) net::redis_error(reply.text);
  const RedisInfo info(reply.text);
  (void)info.number("used_memory");
  for (const auto& [db, value] : info.numbered("db")) sub_field(value, "keys");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The first byte selects the size of the chunks, and whether there are a password and a database.
  const std::uint8_t first = size == 0 ? 0 : data[0];
  const std::size_t piece = first + std::size_t{1};
  bool asked_auth = (first & 1U) != 0;
  bool asked_select = (first & 2U) != 0;
  net::RespReader reader;
  try {
    for (std::size_t at = 1; at < size; at += piece) {
      reader.feed(text.substr(at, piece));
      while (const auto reply = reader.next()) {
        if (asked_auth) {
          asked_auth = false;
          take_auth(*reply);
        } else if (asked_select) {
          asked_select = false;
          net::refuse_redis_reply(*reply, net::RedisReply::Kind::text, "SELECT");
        } else {
          take_info(*reply);
        }
      }
    }
  } catch (const ProbeError&) {  // the error for an invalid reply
  }
  return 0;
}
