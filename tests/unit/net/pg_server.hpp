// The server side of PostgreSQL's protocol for tests, and a fixture whose client connects to it.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
#pragma once

#include "probes/net/pg_connection.hpp"
#include "probes/services.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/io_faults.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace vitalsd::test::pg {

namespace asio = boost::asio;

// ---- messages -----------------------------------------------------------------------------------

inline std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
  return out;
}
inline std::string int16(int value) { return big_endian(static_cast<std::uint64_t>(value), 2); }
inline std::string int32(std::size_t value) { return big_endian(value, 4); }
inline std::string c_string(std::string_view text) { return std::string(text) + '\0'; }

inline std::string message(char type, const std::string& payload) {
  return type + int32(payload.size() + 4) + payload;
}
inline std::string authentication(std::size_t code, const std::string& rest = "") {
  return message('R', int32(code) + rest);
}
inline std::string parameter(std::string_view name, std::string_view value) {
  return message('S', c_string(name) + c_string(value));
}
inline std::string ready() { return message('Z', "I"); }
inline std::string complete(std::string_view tag) { return message('C', c_string(tag)); }
inline std::string report(char type, std::string_view severity, std::string_view sqlstate,
                          std::string_view text) {
  return message(type, 'S' + c_string(severity) + 'V' + c_string(severity) + 'C' +
                           c_string(sqlstate) + 'M' + c_string(text) + 'L' + c_string("123") + 'F' +
                           c_string("postmaster.c") + 'R' + c_string("serve") + '\0');
}
inline std::string columns(const std::vector<std::string>& names) {
  std::string payload = int16(static_cast<int>(names.size()));
  for (const std::string& name : names) {
    constexpr std::size_t kText = 25;
    payload += c_string(name) + int32(0) + int16(0) + int32(kText) + int16(-1) + int32(0xffffffff) +
               int16(0);
  }
  return message('T', payload);
}
inline std::string row(const std::vector<std::optional<std::string>>& values) {
  std::string payload = int16(static_cast<int>(values.size()));
  for (const auto& value : values) {
    payload += value ? int32(value->size()) + *value : int32(0xffffffff);
  }
  return message('D', payload);
}

inline std::string base64(const std::string& bytes) {
  std::string out(4 * (bytes.size() / 3 + 1) + 1, '\0');
  out.resize(static_cast<std::size_t>(EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(out.data()),
      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()))));
  return out;
}
inline std::string hmac(const std::string& key, const std::string& text) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

constexpr std::string_view kPassword = "secret";

// The server side of SCRAM (RFC 5802). It proves that it knows the password, and does not verify
// the client's proof.
inline asio::awaitable<void> authenticate_by_scram(Wire& wire) {
  co_await wire.send(authentication(10, c_string("SCRAM-SHA-256") + '\0'));
  const std::string first = co_await wire.receive();
  const std::string client_first = first.substr(first.find(",,") + 2);
  const std::string nonce = client_first.substr(client_first.find("r=") + 2) + "server";
  const std::string salt = "a salt";
  const std::string server_first = "r=" + nonce + ",s=" + base64(salt) + ",i=2";
  co_await wire.send(authentication(11, server_first));
  const std::string second = co_await wire.receive();
  const std::size_t begin = second.find("c=");
  const std::string client_final = second.substr(begin, second.find(",p=") - begin);
  std::string salted(SHA256_DIGEST_LENGTH, '\0');
  PKCS5_PBKDF2_HMAC(kPassword.data(), static_cast<int>(kPassword.size()),
                    reinterpret_cast<const unsigned char*>(salt.data()),
                    static_cast<int>(salt.size()), 2, EVP_sha256(), static_cast<int>(salted.size()),
                    reinterpret_cast<unsigned char*>(salted.data()));
  const std::string signature =
      hmac(hmac(salted, "Server Key"), client_first + ',' + server_first + ',' + client_final);
  co_await wire.send(authentication(12, "v=" + base64(signature)));
}

// ---- the server ------------------------------------------------------------------------------

// How the server responds to SSLRequest, or that it expects none.
enum class Ssl : unsigned char { not_requested, refused, accepted };

inline asio::awaitable<void> send_rows(Wire& wire) {
  co_await wire.send(columns({"name", "size"}));
  co_await wire.send(row({"app", "4096"}));
  co_await wire.send(row({"empty", std::nullopt}) + complete("SELECT 2"));
  co_await wire.send(columns({"on"}) + row({"t"}) + complete("SELECT 1"));
  co_await wire.send(complete("COMMIT") + ready());
}

struct Server {
  using Action = std::function<asio::awaitable<void>(Wire&)>;

  Ssl ssl = Ssl::not_requested;
  SSL_CTX* tls = nullptr;
  std::string after_ssl_response{};  // sent together with it
  Action authenticate;               // null: trust
  Action respond = &send_rows;       // to the message after BEGIN
  // Messages that the client sent.
  std::string startup{};
  std::string settings{};
  std::string query{};
};

inline asio::awaitable<void> log_in(Wire& wire, Server& server) {
  if (server.ssl != Ssl::not_requested) {
    co_await wire.receive();
    co_await wire.send((server.ssl == Ssl::accepted ? "S" : "N") + server.after_ssl_response);
    if (server.ssl == Ssl::accepted) co_await wire.start_tls(server.tls);
  }
  server.startup = co_await wire.receive();
  if (server.authenticate) co_await server.authenticate(wire);
  co_await wire.send(authentication(0));
  co_await wire.send(parameter("server_version", "15.4"));
  co_await wire.send(message('K', int32(1) + int32(2)) + ready());
}

inline asio::awaitable<void> serve(Wire& wire, Server& server) {
  co_await log_in(wire, server);
  server.settings = co_await wire.receive();
  co_await wire.send(complete("BEGIN") + complete("SET") + complete("SET") + message('Z', "T"));
  server.query = co_await wire.receive();
  co_await server.respond(wire);
}

// The first column of all rows.
inline std::string cells(const std::vector<net::PgResult>& results) {
  std::string out;
  for (const net::PgResult& result : results) {
    for (int i = 0; i < result.rows(); ++i) out += std::string(result.text(i, 0)) + ' ';
  }
  return out;
}

inline asio::awaitable<std::string> query(const Environment& environment,
                                          const net::PgOptions& options, SampleSet& out) {
  net::PgConnection connection = co_await net::PgConnection::open(environment, options, out);
  const std::vector<net::PgResult> results =
      co_await connection.query("SELECT 1; SELECT 2", out.time_limit());
  co_return std::to_string(connection.server_version()) + ": " + cells(results);
}

// ---- the client ---------------------------------------------------------------------------------

class PgTest : public testing::Test {
 protected:
  PgTest() {
    peer_.listen();
    options_.endpoint = {"127.0.0.1", peer_.port()};
    options_.database = "app";
    options_.user = "monitor";
    options_.password = config::Secret::literal(std::string(kPassword));
    options_.sslmode = "disable";
  }

  // The server's version and the rows of two queries.
  std::string ask() {
    SampleSet out;
    out.set_time_limit(std::chrono::milliseconds(1234));
    return Task(loop_, query(services_.environment, options_, out)).get();
  }
  // The reason and the text of a query that fails.
  std::pair<Reason, std::string> failure() {
    try {
      return {Reason::internal, "none: " + ask()};
    } catch (const ProbeError& error) {
      return {error.reason(), error.what()};
    }
  }
  net::PgConnection open() {
    SampleSet out;
    return *Task(loop_, open_async(out)).get();
  }
  // Optional, because a Task needs a default-constructible result.
  asio::awaitable<std::optional<net::PgConnection>> open_async(SampleSet& out) {
    co_return co_await net::PgConnection::open(services_.environment, options_, out);
  }

  // The server sends these bytes instead of a valid response.
  void respond_to_startup(std::string bytes) {
    server_.authenticate = [bytes = std::move(bytes)](Wire& wire) { return wire.send(bytes); };
  }
  void respond_to_query(std::string bytes) {
    server_.respond = [bytes = std::move(bytes)](Wire& wire) { return wire.send(bytes); };
  }

  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  Server server_;
  Peer peer_{loop_, [this](Wire& wire) { return serve(wire, server_); }};
  net::PgOptions options_;
};

}  // namespace vitalsd::test::pg
