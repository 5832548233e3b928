// A Redis server that replies to each command as the test says.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/conversation.hpp"

namespace vitalsd::test {

/// A text as RESP2.
inline std::string bulk(const std::string& text) {
  return '$' + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

class RedisScript {
 public:
  explicit RedisScript(asio::io_context& loop,
                       const asio::ip::address& address = asio::ip::address_v4::loopback())
      : peer_(
            std::in_place, loop, [this](Line& line) { return serve(line); }, address),
        endpoint_(peer_->endpoint()) {}

  /// By command, with its words separated by spaces. Other commands are errors. To a command with
  /// an empty reply, the server does not reply.
  std::map<std::string, std::string> replies;
  /// All commands in the order in which they arrived.
  std::vector<std::string> commands;
  /// The server closes a connection after its reply to this command.
  std::string last_command;

  /// Refuses connections, and closes each present one when a command arrives.
  void stop() { peer_.reset(); }

  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  /// Connections until now; 0 after stop().
  [[nodiscard]] int accepted() const { return peer_ ? peer_->accepted() : 0; }

 private:
  asio::awaitable<void> serve(Line& line) {
    for (;;) {
      std::string command;
      const int words = std::stoi((co_await line.read_until("\r\n")).substr(1));
      for (int i = 0; i < words; ++i) {
        const std::string head = co_await line.read_until("\r\n");
        std::string word = co_await line.read(std::stoul(head.substr(1)) + 2);
        word.resize(word.size() - 2);
        command += (command.empty() ? "" : " ") + word;
      }
      if (!peer_) co_return;
      commands.push_back(command);
      const auto known = replies.find(command);
      co_await line.write(known == replies.end() ? "-ERR unknown command\r\n" : known->second);
      if (command == last_command) co_return;
    }
  }

  std::optional<Conversation> peer_;
  std::string endpoint_;
};

}  // namespace vitalsd::test
