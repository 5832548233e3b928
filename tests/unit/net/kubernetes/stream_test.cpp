#include "probes/net/kubernetes/stream.hpp"

#include <optional>
#include <string>
#include <string_view>

#include "unit/net/kubernetes/scripted_cluster.hpp"
#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

using namespace scripted;

// The token of the kubeconfig is "secret".
TEST(Stream, ShowsErrorsWithoutTheTokenAndControlCharacters) {
  Shared shared;
  Cluster cluster(shared, [](const std::string&) -> HttpScript::Reply {
    return {http_answer(403, "no \x1b[31msecret\u202e")};
  });
  std::optional<Stream::End> end;
  const Stream stream(
      cluster.client, {.path = "/log", .what = "read a log"}, [](std::string_view) {},
      [&](const Stream::End& how) { end = how; });
  ASSERT_TRUE(cluster.until([&] { return end.has_value(); }));
  ASSERT_TRUE(end->failure);
  EXPECT_EQ(end->status, 403);
  EXPECT_EQ(end->failure->detail,
            "cannot read a log: the API server returned 403: no  [31m***\ufffd");
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
