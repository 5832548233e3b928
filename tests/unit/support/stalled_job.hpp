// A conversation as the run of a job, with a peer that falls silent.
#pragma once

#include "daemon/job.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

#include "unit/support/io_faults.hpp"
#include "unit/support/jobs.hpp"
#include <boost/asio/awaitable.hpp>
#include <gtest/gtest.h>

namespace vitalsd::test {

/// What the status page says of a job whose peer falls silent at that step, once the deadline has
/// passed: "timeout: no response within 50ms while ...". Expects that the run ends with its
/// deadline, and that the next one succeeds.
inline std::string run_with_stall(JobFixture& house, Peer& peer, std::size_t step,
                                  const Conversation& conversation) {
  // Not a lambda's own coroutine: it would outlive what the lambda has captured.
  struct Run {
    static asio::awaitable<void> observe(Conversation conversation, std::uint16_t port,
                                         SampleSet& out) {
      co_await conversation(port, out);
    }
  };
  Target target;
  target.behaviour = [&](SampleSet& out) { return Run::observe(conversation, peer.port(), out); };
  peer.listen();
  peer.arm(step, Fault::stall);
  std::string said;
  {
    Job job(house.services, house.spec(target));
    job.start(Clock::now());
    EXPECT_TRUE(house.until([&] { return house.failures("timeout") > 0; }));
    said = std::string(house.view().reason) + ": " + house.view().detail;
    EXPECT_TRUE(house.until([&] { return target.ended > 0; }));
    EXPECT_TRUE(house.until([&] { return peer.struck() && house.runs("ok") > 0; }));
    EXPECT_EQ(house.runs("stuck"), 0);
  }
  EXPECT_TRUE(house.until([&] { return target.ended == target.begun; }));
  return said;
}

}  // namespace vitalsd::test
