// The status of a running daemon, from its /api/v1/status.
#pragma once

#include "exporter/web/overview.hpp"

#include <expected>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace vitalsd {

struct RemoteStatus {
  Overview overview;
  std::set<std::string, std::less<>> texts{};  ///< to which `overview` refers
};

/// Reads the document that status_json() writes, also of an earlier version. Returns the error if
/// the text is another document.
std::expected<std::unique_ptr<RemoteStatus>, std::string> parse_status(std::string_view text);

/// Asks the daemon at `url`, such as "http://vitalsd:9747". The URL may have a path in front of
/// /api/v1/status, and a user, whose password is in the environment variable VITALSD_PASSWORD.
/// `ca`: PEM file of trusted CAs; empty: the system's bundle. Blocks. Returns the error if there is
/// no status.
std::expected<std::unique_ptr<RemoteStatus>, std::string> fetch_status(const std::string& url,
                                                                       const std::string& ca);

}  // namespace vitalsd
