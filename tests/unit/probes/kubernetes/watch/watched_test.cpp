#include "probes/kubernetes/watch/watched.hpp"

#include "probes/kubernetes/objects/job_objects.hpp"

#include "unit/support/kinds.hpp"
#include "unit/support/protobuf.hpp"
#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using test::Message;

std::string nightly(std::int64_t last_schedule, bool active) {
  Message status = Message().time(4, last_schedule).time(5, 3605);
  if (active) status.message(1, Message().text(3, "nightly-1"));
  return Message()
      .message(1, test::metadata("nightly"))
      .message(2, Message().text(1, "0 * * * *"))
      .message(3, status)
      .bytes();
}

TEST(Watched, AnUpdateInheritsFromThePreviousState) {
  test::ProbeFixture fixture;
  Watched<CronJob> watched(fixture.services.environment, {}, &read_cron_job);
  const auto fails = [&] { return watched.find("shop/nightly")->last_run_failed(1e12, 10); };
  watched.list_started();
  watched.updated(nightly(7200, false));
  watched.list_ended();
  EXPECT_TRUE(fails());
  watched.updated(nightly(10'800, true));
  EXPECT_TRUE(fails()) << "the result of the previous run";
  watched.list_started();
  watched.updated(nightly(10'800, true));
  watched.list_ended();
  EXPECT_TRUE(fails()) << "a second list keeps it";
  watched.deleted(nightly(10'800, true));
  watched.updated(nightly(10'800, true));
  EXPECT_FALSE(fails()) << "a new object";
}

}  // namespace
}  // namespace vitalsd::kubernetes
