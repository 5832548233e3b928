// A DNS server over UDP and TCP. It runs on the test's loop and answers as a script defines.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/conversation.hpp"
#include <arpa/nameser.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/udp.hpp>

namespace vitalsd::test {

/// Numbers (big-endian) and names in the wire format of RFC 1035.
inline std::string dns_number(std::uint32_t number, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out += static_cast<char>(number >> static_cast<unsigned>(shift) & 0xffU);
  }
  return out;
}
inline std::string dns_name(const std::string& name) {
  std::string out;
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    out += static_cast<char>(end - begin) + name.substr(begin, end - begin);
    begin = end + 1;
  }
  return out + '\0';
}

class DnsScript {
 public:
  struct Query {
    std::string name;
    int type = 0;
    bool tcp = false;
  };
  struct Record {
    int type = 0;
    std::string data;
  };
  struct Answer {
    std::vector<Record> records{};  ///< of the queried name
    int code = 0;                   ///< RCODE; 3 is NXDOMAIN
    bool truncated = false;
    bool silent = false;  ///< sends no response
  };
  using Script = std::function<Answer(const Query&)>;

  DnsScript(asio::io_context& loop, Script script,
            const asio::ip::address& address = asio::ip::address_v4::loopback())
      : state_(std::make_shared<State>(std::move(script))),
        udp_(std::make_shared<asio::ip::udp::socket>(loop)) {
    // TCP and UDP use the same port number. A port that is free for TCP may be in use for UDP; the
    // loop then tries another port.
    while (!udp_->is_open()) {
      tcp_ = std::make_unique<Conversation>(
          loop, [state = state_](Line& line) { return converse(line, state); }, address);
      const asio::ip::udp::endpoint here(address, tcp_->port());
      boost::system::error_code taken;
      udp_->open(here.protocol());
      udp_->bind(here, taken);
      if (taken) udp_->close();
    }
    asio::co_spawn(loop, receive(udp_, state_), asio::detached);
  }
  ~DnsScript() {
    boost::system::error_code ignored;
    udp_->close(ignored);
  }
  DnsScript(const DnsScript&) = delete;
  DnsScript& operator=(const DnsScript&) = delete;

  [[nodiscard]] std::string endpoint() const { return tcp_->endpoint(); }
  [[nodiscard]] const std::vector<Query>& queries() const { return state_->queries; }

 private:
  static constexpr std::size_t kHeader = 12;

  struct State {
    Script script;
    std::vector<Query> queries;
  };

  // Returns the response, or an empty string if no response is to be sent.
  static std::string answer(State& state, const std::string& query, bool tcp) {
    Query asked{.name = {}, .type = 0, .tcp = tcp};
    std::size_t at = kHeader;
    while (query.at(at) != 0) {
      const auto length = static_cast<std::size_t>(query[at]);
      asked.name += (asked.name.empty() ? "" : ".") + query.substr(at + 1, length);
      at += length + 1;
    }
    asked.type = static_cast<unsigned char>(query.at(at + 1)) * 256 +
                 static_cast<unsigned char>(query.at(at + 2));
    state.queries.push_back(asked);
    const Answer answer = state.script(asked);
    if (answer.silent) return {};
    std::string records;
    for (const Record& record : answer.records) {
      records += std::string("\xc0\x0c", 2) +
                 dns_number(static_cast<std::uint32_t>(record.type), 2) + dns_number(1, 2) +
                 dns_number(60, 4) + dns_number(static_cast<std::uint32_t>(record.data.size()), 2) +
                 record.data;
    }
    return query.substr(0, 2) + static_cast<char>(answer.truncated ? 0x83 : 0x81) +
           static_cast<char>(0x80 | answer.code) + dns_number(1, 2) +
           dns_number(static_cast<std::uint32_t>(answer.records.size()), 2) + dns_number(0, 4) +
           query.substr(kHeader, at + 5 - kHeader) + records;
  }

  static asio::awaitable<void> receive(std::shared_ptr<asio::ip::udp::socket> socket,
                                       std::shared_ptr<State> state) {
    try {
      for (;;) {
        std::array<char, 512> buffer{};
        asio::ip::udp::endpoint client;
        const std::size_t size =
            co_await socket->async_receive_from(asio::buffer(buffer), client, asio::use_awaitable);
        const std::string bytes = answer(*state, std::string(buffer.data(), size), false);
        if (!bytes.empty()) socket->send_to(asio::buffer(bytes), client);
      }
    } catch (const boost::system::system_error&) {
      co_return;  // the socket is closed
    }
  }
  static asio::awaitable<void> converse(Line& line, std::shared_ptr<State> state) {
    for (;;) {
      const std::string size = co_await line.read(2);
      const std::string query = co_await line.read(static_cast<unsigned char>(size[0]) * 256U +
                                                   static_cast<unsigned char>(size[1]));
      const std::string bytes = answer(*state, query, true);
      if (!bytes.empty()) {
        co_await line.write(dns_number(static_cast<std::uint32_t>(bytes.size()), 2) + bytes);
      }
    }
  }

  std::shared_ptr<State> state_;
  std::unique_ptr<Conversation> tcp_;
  std::shared_ptr<asio::ip::udp::socket> udp_;
};

/// The answer to a query for a name that has these IPv4 addresses.
inline DnsScript::Answer ipv4_answer(const DnsScript::Query& query,
                                     const std::vector<std::string>& addresses) {
  DnsScript::Answer answer;
  if (query.type != ns_t_a) return answer;
  for (const std::string& address : addresses) {
    const auto bytes = asio::ip::make_address_v4(address).to_bytes();
    answer.records.push_back({ns_t_a, std::string(bytes.begin(), bytes.end())});
  }
  return answer;
}

}  // namespace vitalsd::test
