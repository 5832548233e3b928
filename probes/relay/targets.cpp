#include "probes/relay/targets.hpp"

#include "config/endpoint.hpp"
#include "probes/net/http_access.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>

namespace vitalsd::relay {
namespace {

constexpr std::string_view kDefaultPath = "/metrics";

// Makes the instances unique, because only the instance distinguishes the series of two targets.
void make_instances_unique(std::span<Target> targets) {
  std::map<std::string, int> count;
  for (const Target& target : targets) ++count[target.instance];
  std::map<std::string, int> seen;
  for (Target& target : targets) {
    if (count[target.instance] == 1) continue;
    target.instance += target.url.path;
    // The paths are equal, too: the URLs differ only in their queries, or two names have the same
    // address.
    const int number = ++seen[target.instance];
    if (number > 1) target.instance += " (" + std::to_string(number) + ')';
  }
}

}  // namespace

UrlTargets::UrlTargets(config::Node& options) : key_(options.has("url") ? "url" : "urls") {
  const auto url = options.find<config::Url>("url", "the page; default path: /metrics");
  urls_ = options.list<config::Url>("urls", "several pages, each a target of its own");
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
    if (is_second) options.error("urls", config::quoted(net::shown(*each)) + " is listed twice");
  }
}

asio::awaitable<void> UrlTargets::find(net::Resolver& resolver, net::IpVersion ip, SampleSet& run,
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
      add({.name = net::shown(url),
           .instance = config::Endpoint{url.host, port}.text(),
           .url = url,
           .host = {}});
      continue;
    }
    run.doing("resolving " + url.host);
    for (const auto& address : co_await resolver.resolve(url.host, ip)) {
      config::Url at_address = url;
      at_address.host = address.to_string();
      at_address.port = port;
      add({.name = net::shown(at_address),
           .instance = config::Endpoint{at_address.host, port}.text(),
           .url = at_address,
           .host = url.host});
    }
  }
  make_instances_unique(std::span(out).subspan(before));
}

std::string UrlTargets::text() const {
  if (urls_.empty()) return {};
  std::string text = net::shown(urls_.front());
  if (urls_.size() > 1) text += " (and " + std::to_string(urls_.size() - 1) + " more)";
  return each_address_ ? "each address of " + text : text;
}

}  // namespace vitalsd::relay
