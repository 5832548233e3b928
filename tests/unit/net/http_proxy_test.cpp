#include "probes/net/http_proxy.hpp"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

config::Url url(std::string_view text) { return config::Scalar<config::Url>::parse(text).value(); }

TEST(AboutResponse, NamesTheProxyThatMayHaveResponded) {
  const ProbeError error(Reason::unready, "status 503");
  const auto text = [&](std::string_view to, const std::optional<config::Url>& proxy) {
    const ProbeError out = about_response(url(to), proxy, error);
    EXPECT_EQ(out.reason(), Reason::unready);
    return std::string(out.what());
  };
  EXPECT_EQ(text("http://origin/", url("http://user@proxy:3128")),
            "through the proxy proxy:3128: status 503");
  EXPECT_EQ(text("http://origin/", url("http://[::1]")), "through the proxy [::1]:80: status 503");
  EXPECT_EQ(text("https://origin/", url("http://proxy:3128")), "status 503");
  EXPECT_EQ(text("http://origin/", std::nullopt), "status 503");
}

}  // namespace
}  // namespace vitalsd::net
