#include "probes/relay/targets.hpp"

#include "config/endpoint.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/resolver.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>

namespace vitalsd::relay {
namespace {

constexpr std::string_view kDefaultPath = "/metrics";

// The URL without the query, which may contain tokens.
std::string shown(config::Url url) {
  const bool has_query = !url.query.empty();
  url.query.clear();
  return url.text() + (has_query ? "?…" : "");
}

void check(config::Node& options, std::string_view key, const config::Url& url) {
  if (url.host.empty()) return;  // reported already
  if (url.scheme != "http" && url.scheme != "https") {
    options.error(key, "the scheme must be http or https, not " + config::quoted(url.scheme));
  }
  if (!url.user.empty()) {
    options.error(key, "must not contain a user: set user and password");
  }
}

// Makes the instances unique, because only the instance distinguishes the series of two targets.
void tell_apart(std::span<Target> targets) {
  std::map<std::string, int> count;
  for (const Target& target : targets) ++count[target.instance];
  std::map<std::string, int> seen;
  for (Target& target : targets) {
    if (count[target.instance] == 1) continue;
    target.instance += target.url.path;
    // The paths are equal, too: the targets differ in their queries, or two names have the same
    // address.
    const int number = ++seen[target.instance];
    if (number > 1) target.instance += " (" + std::to_string(number) + ')';
  }
}

}  // namespace

UrlTargets::UrlTargets(config::Node& options) {
  const auto url = options.find<config::Url>("url", "the page; default path: /metrics");
  if (url) check(options, "url", *url);
  urls_ = options.list<config::Url>("urls", "several pages, each a target of its own");
  for (const config::Url& each : urls_) check(options, "urls", each);
  each_address_ = options.get<bool>(
      "each_address", false,
      "each address of a URL's host name is a target of its own, for example the pods of a "
      "headless Service");
  if (urls_.empty() && options.has("urls")) options.error("urls", "must not be empty");
  if (url) urls_ = {*url};
  if (each_address_ && urls_.empty()) options.error("each_address", "requires url or urls");
  for (auto each = urls_.begin(); each != urls_.end(); ++each) {
    if (each->path.empty()) each->path = kDefaultPath;
    const bool is_second = std::any_of(urls_.begin(), each, [&](const config::Url& earlier) {
      return earlier.text() == each->text();
    });
    if (is_second) options.error("urls", config::quoted(shown(*each)) + " is listed twice");
  }
}

asio::awaitable<void> UrlTargets::find(const Environment& environment, SampleSet& run,
                                       std::vector<Target>& out) const {
  const std::size_t before = out.size();
  std::map<std::string, int> seen;
  const auto add = [&](Target target) {
    const int count = ++seen[target.name];
    // The URLs differ in their query only, which must not be shown.
    if (count > 1) target.name += " (" + std::to_string(count) + ')';
    out.push_back(std::move(target));
  };
  for (const config::Url& url : urls_) {
    const std::uint16_t port = net::port_of(url);
    if (!each_address_) {
      add({.name = shown(url),
           .instance = config::Endpoint{url.host, port}.text(),
           .url = url,
           .host = {}});
      continue;
    }
    run.doing("resolving " + url.host);
    for (const auto& address : co_await environment.resolver.resolve(url.host)) {
      config::Url at_address = url;
      at_address.host = address.to_string();
      at_address.port = port;
      add({.name = shown(at_address),
           .instance = config::Endpoint{at_address.host, port}.text(),
           .url = at_address,
           .host = url.host});
    }
  }
  tell_apart(std::span(out).subspan(before));
}

std::string UrlTargets::text() const {
  if (urls_.empty()) return {};
  std::string text = shown(urls_.front());
  if (urls_.size() > 1) text += " (and " + std::to_string(urls_.size() - 1) + " more)";
  return each_address_ ? "each address of " + text : text;
}

}  // namespace vitalsd::relay
