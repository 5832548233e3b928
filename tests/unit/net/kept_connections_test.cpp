// The limit on connections that probes keep.
#include "probes/net/kept_connections.hpp"

#include <memory>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using Kept = KeptConnection<std::shared_ptr<int>>;

TEST(KeptConnectionsTest, ClosesTheConnectionsThatAreTooMany) {
  KeptConnections all;
  all.set_max(1);
  Kept first(all);
  Kept second(all);
  first.keep(std::make_shared<int>(1));
  const auto extra = std::make_shared<int>(2);
  second.keep(extra);
  EXPECT_EQ(extra.use_count(), 1);
  EXPECT_FALSE(second.take());
  EXPECT_EQ(all.count(), 1U);

  EXPECT_TRUE(first.take());
  second.keep(extra);  // the place of the first
  EXPECT_EQ(all.count(), 1U);
  EXPECT_TRUE(second.take());
}

TEST(KeptConnectionsTest, CountsEachConnectionOnce) {
  KeptConnections all;
  {
    Kept kept(all);
    kept.keep(std::make_shared<int>(1));
    kept.keep(std::make_shared<int>(2));
    EXPECT_EQ(all.count(), 1U);
    kept.keep(std::nullopt);
    EXPECT_EQ(all.count(), 0U);
    kept.keep(std::make_shared<int>(3));
  }
  EXPECT_EQ(all.count(), 0U);
}

TEST(KeptConnectionsTest, AReloadPassesConnectionsOnAtTheLimit) {
  KeptConnections all;
  all.set_max(1);
  Kept old(all);
  old.keep(std::make_shared<int>(1));
  Kept successor(all);
  successor.keep(old.take());
  EXPECT_TRUE(successor.take());
}

}  // namespace
}  // namespace vitalsd::net
