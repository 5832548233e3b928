// A job with a fake probe, in real time: intervals are short, and each test runs the loop until its
// condition is met.
#pragma once

#include "daemon/job.hpp"

#include <functional>
#include <optional>
#include <utility>

#include "unit/support/jobs.hpp"
#include <gtest/gtest.h>

namespace vitalsd {

class JobTest : public testing::Test, protected test::JobFixture {
 protected:
  ~JobTest() override {
    // Runs must end before the objects that they use are destroyed.
    end();
    latch.open();
    test::settle(loop);
  }

  void start(JobSpec spec) {
    job.emplace(services, std::move(spec));
    job->start(Job::Clock::now());
  }
  void start() { start(spec(target)); }
  void replace(JobSpec replacement) {
    test::on_loop(loop, [&] { job->replace(std::move(replacement)); });
  }
  void end() {
    test::on_loop(loop, [&] { job.reset(); });
  }

  // An observation that calls `action` and returns.
  static test::Target::Behaviour returning(std::function<void(SampleSet&)> action) {
    return [action = std::move(action)](SampleSet& out) {
      action(out);
      return test::nothing();
    };
  }
  static test::Target::Behaviour throwing(Reason reason) {
    return returning([reason](SampleSet&) { throw ProbeError(reason, "because"); });
  }

  // Adds a fact and a reading.
  static void add_both(SampleSet& out) {
    out.add(test::kFakeReading, 1);
    out.add(test::kFakeFact, 2);
  }

  test::Target target{.behaviour = returning([](SampleSet&) {})};
  test::Latch latch{loop};
  std::optional<Job> job;
};

}  // namespace vitalsd
