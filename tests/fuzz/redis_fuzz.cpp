// RESP replies in pieces of any size, then INFO text.
#include "probes/error.hpp"
#include "probes/net/redis_connection.hpp"
#include "probes/redis/info.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The first byte is the size of the pieces.
  const std::size_t piece = size == 0 ? 1 : data[0] + std::size_t{1};
  net::RespReader reader;
  try {
    for (std::size_t at = 1; at < size; at += piece) {
      reader.feed(text.substr(at, piece));
      while (const auto reply = reader.next()) {
        if (reply->kind == net::RedisReply::Kind::error) net::redis_error(reply->text);
        const RedisInfo info(reply->text);
        (void)info.number("used_memory");
        for (const auto& [db, value] : info.numbered("db")) sub_field(value, "keys");
      }
    }
  } catch (const ProbeError&) {  // what a bad reply is answered with
  }
  return 0;
}
