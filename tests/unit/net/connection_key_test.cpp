#include "probes/net/connection_key.hpp"

#include "probes/net/http_client.hpp"

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

HttpRequest request() {
  HttpRequest request;
  request.url.scheme = "https";
  request.url.host = "node-1.test";
  request.url.port = 10250;
  request.url.path = "/metrics";
  request.tls = {.ca = "/ca", .server_name = "node", .certificate = "/cert", .key = "/key"};
  return request;
}

using Change = std::function<void(HttpRequest&)>;

std::string key_with(const Change& change) {
  HttpRequest changed = request();
  change(changed);
  return connection_key(changed);
}

TEST(ConnectionKeyTest, DiffersIfTheConnectionCannotBeShared) {
  const std::vector<Change> changes = {
      [](HttpRequest&) {},
      [](HttpRequest& r) { r.url.scheme = "http"; },
      [](HttpRequest& r) { r.url.host = "node-2.test"; },
      [](HttpRequest& r) { r.url.port = 10251; },
      [](HttpRequest& r) { r.ip = IpVersion::v4; },
      [](HttpRequest& r) { r.ip = IpVersion::v6; },
      [](HttpRequest& r) { r.http2 = true; },
      [](HttpRequest& r) { r.on_data = [](std::string_view) { return true; }; },
      [](HttpRequest& r) { r.tls.server_name = ""; },
      [](HttpRequest& r) { r.tls.ca = ""; },
      [](HttpRequest& r) { r.tls.certificate = ""; },
      [](HttpRequest& r) { r.tls.key = ""; },
      [](HttpRequest& r) { r.tls.verify = false; },
      [](HttpRequest& r) { r.tls.ca = "/ca\n/cert", r.tls.certificate = ""; },
  };
  std::set<std::string> keys;
  for (const Change& change : changes) keys.insert(key_with(change));
  EXPECT_EQ(keys.size(), changes.size());
}

TEST(ConnectionKeyTest, IsEqualIfTheConnectionCanBeShared) {
  const std::vector<Change> changes = {
      [](HttpRequest& r) { r.url.path = "/other"; },
      [](HttpRequest& r) { r.url.query = "a=b"; },
      [](HttpRequest& r) { r.url.host = "NODE-1.test"; },
      [](HttpRequest& r) { r.method = "HEAD"; },
      [](HttpRequest& r) { r.headers.emplace_back("X-Who", "me"); },
      [](HttpRequest& r) { r.bearer = "hush"; },
      [](HttpRequest& r) { r.user = "me"; },
  };
  for (const Change& change : changes) EXPECT_EQ(key_with(change), connection_key(request()));
  const auto port = [](std::uint16_t number) {
    return key_with([number](HttpRequest& r) { r.url.port = number; });
  };
  EXPECT_EQ(port(0), port(443));
}

TEST(ConnectionKeyTest, IsAHostNameWithoutSecrets) {
  const std::string key =
      key_with([](HttpRequest& r) { r.tls.key = "-----BEGIN PRIVATE KEY-----\nhush"; });
  EXPECT_FALSE(key.contains("hush"));
  EXPECT_EQ(key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string::npos)
      << key;
}

}  // namespace
}  // namespace vitalsd::net
