// Runs a conversation as the run of a job, with a peer that stops responding.
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

/// Returns the reason and detail of a job whose peer stops responding at `step`, after the
/// deadline: "timeout: no response within 50ms while ...". Expects that the run ends at its
/// deadline, and that the next run succeeds.
inline std::string run_with_stall(JobFixture& jobs, Peer& peer, std::size_t step,
                                  const Conversation& conversation) {
  // Not a lambda that is a coroutine: the coroutine would outlive the lambda's captures.
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
  std::string result;
  {
    Job job(jobs.services, jobs.spec(target));
    job.start(Clock::now());
    EXPECT_TRUE(jobs.until([&] { return jobs.failures("timeout") > 0; }));
    result = std::string(jobs.view().reason) + ": " + jobs.view().detail;
    EXPECT_TRUE(jobs.until([&] { return target.ended > 0; }));
    EXPECT_TRUE(jobs.until([&] { return peer.struck() && jobs.runs("ok") > 0; }));
    EXPECT_EQ(jobs.runs("stuck"), 0);
  }
  EXPECT_TRUE(jobs.until([&] { return target.ended == target.started; }));
  return result;
}

}  // namespace vitalsd::test
