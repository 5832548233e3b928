#include "probes/net/pg_errors.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace vitalsd::net {
namespace {

bool is_sqlstate_char(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

template <std::size_t Count>
bool contains_any(std::string_view text, const std::array<std::string_view, Count>& parts) {
  return std::ranges::any_of(parts, [&](std::string_view part) { return text.contains(part); });
}

// `text` without its quoted parts, which are names of hosts, users and files.
std::string without_names(std::string_view text) {
  std::string out;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (!quoted) out += c;
  }
  return out;
}

// The reason for a login that failed without an SQLSTATE.
Reason reason_of_text(std::string_view message) {
  const std::string text = without_names(message);
  // A server that lacks memory reports "could not fork" without an SQLSTATE. This is not a local
  // shortage.
  if (!text.contains("could not fork") && mentions_local_shortage(text)) return Reason::internal;
  // Without permission for a Unix socket, it is unknown whether a server listens.
  if (text.contains("on socket") && text.contains("Permission denied")) return Reason::config;
  if (text.contains("no password supplied")) return Reason::auth;
  if (text.contains("authentication method")) return Reason::auth;
  if (text.contains("GSSAPI")) return Reason::auth;  // requested under TLS; there is no ticket
  if (text.contains("channel binding")) return Reason::auth;
  if (text.contains("SSL") || text.contains("certificate")) return Reason::tls;
  constexpr std::array<std::string_view, 7> kProtocolErrors = {
      "closed the connection",
      "expected authentication",
      "invalid response",
      "protocol",
      "unexpected message",
      "SCRAM",
      // "server signature" is wrong only if the server does not know the password
      "server signature",
  };
  return contains_any(text, kProtocolErrors) ? Reason::protocol : Reason::connect;
}

// The function of the server that reported the error. It distinguishes errors with the same
// SQLSTATE, whatever the language of the server.
std::string_view routine_of(std::string_view message) {
  constexpr std::string_view kLocation = "\nLOCATION:  ";
  const std::size_t at = message.find(kLocation);
  if (at == std::string_view::npos) return {};
  message.remove_prefix(at + kLocation.size());
  return message.substr(0, message.find(','));
}

Reason reason_of_sqlstate(std::string_view sqlstate, std::string_view message) {
  if (sqlstate == "53300") {
    // These two functions report the connection limit of the role or of the database: the server
    // itself is not full.
    const std::string_view routine = routine_of(message);
    const bool is_own_limit = routine == "InitializeSessionUserId" || routine == "CheckMyDatabase";
    return is_own_limit ? Reason::permission : Reason::overload;
  }
  if (sqlstate == "08P01") {  // PgBouncer's code for every error; its messages are in English only
    constexpr std::array<std::string_view, 4> kAuthErrors = {"password authentication failed",
                                                             "SASL authentication failed",
                                                             "no such user", "not allowed"};
    if (contains_any(message, kAuthErrors)) return Reason::auth;
    if (message.contains("no such database")) return Reason::mismatch;
  }
  return pg_reason(sqlstate);
}

}  // namespace

Reason pg_reason(std::string_view sqlstate) {
  struct Row {
    std::string_view prefix;
    Reason reason;
  };
  constexpr std::array kTable = {
      Row{"53300", Reason::overload},    // too_many_connections
      Row{"57P01", Reason::unready},     // admin_shutdown
      Row{"57P02", Reason::unready},     // crash_shutdown
      Row{"57P03", Reason::unready},     // cannot_connect_now: startup, shutdown or recovery
      Row{"57014", Reason::timeout},     // query_canceled: the statement_timeout of query()
      Row{"28", Reason::auth},           // invalid authorization
      Row{"42501", Reason::permission},  // insufficient_privilege
      Row{"08", Reason::connect},        // connection exception
  };
  const auto row =
      std::ranges::find_if(kTable, [&](const Row& r) { return sqlstate.starts_with(r.prefix); });
  return row == kTable.end() ? Reason::mismatch : row->reason;
}

std::string_view pg_sqlstate(std::string_view message) {
  // The format is "FATAL:  53300: sorry, too many clients already". "FATAL" may be translated.
  constexpr std::string_view kBefore = ":  ";
  constexpr std::size_t kSize = 5;
  for (std::size_t at = message.find(kBefore); at != std::string_view::npos;
       at = message.find(kBefore, at + 1)) {
    const std::string_view code = message.substr(at + kBefore.size(), kSize);
    const std::string_view after =
        message.substr(std::min(at + kBefore.size() + kSize, message.size()));
    if (code.size() == kSize && std::ranges::all_of(code, is_sqlstate_char) &&
        after.starts_with(": ")) {
      return code;
    }
  }
  return {};
}

ProbeError pg_login_error(std::string_view message) {
  const std::string_view sqlstate = pg_sqlstate(message);
  return {sqlstate.empty() ? reason_of_text(message) : reason_of_sqlstate(sqlstate, message),
          pg_error_text(message)};
}

std::string pg_error_text(std::string_view message) {
  message = message.substr(0, message.find("\nLOCATION:"));
  std::string out;
  for (const char c : message) out += c == '\n' || c == '\t' ? ' ' : c;
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

}  // namespace vitalsd::net
