#include "exporter/web/verdict.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using enum ProbeView::State;

ProbeView probe(ProbeView::State state, std::string_view reason = "") {
  ProbeView view;
  view.state = state;
  view.reason = reason;
  return view;
}

ProbeView with_check(Status status) {
  ProbeView view = probe(ok);
  view.checks.push_back({"connections", "orders", "95%", "critical above 90%", status});
  return view;
}

TEST(Verdict, DependsOnTheRunAndItsChecks) {
  EXPECT_EQ(verdict(probe(ok)), Verdict::ok);
  EXPECT_EQ(verdict(probe(pending)), Verdict::unknown);
  EXPECT_EQ(verdict(probe(stale)), Verdict::unknown);
  EXPECT_EQ(verdict(probe(failed, "connect")), Verdict::critical);
  EXPECT_EQ(verdict(probe(stuck, "timeout")), Verdict::critical);
  EXPECT_EQ(verdict(with_check(Status::ok)), Verdict::ok);
  EXPECT_EQ(verdict(with_check(Status::warning)), Verdict::warning);
  EXPECT_EQ(verdict(with_check(Status::critical)), Verdict::critical);
}

TEST(Verdict, IsUnknownIfTheProbeCouldNotObserve) {
  for (const char* reason : {"auth", "permission", "config", "internal"}) {
    EXPECT_EQ(verdict(probe(failed, reason)), Verdict::unknown) << reason;
  }
}

TEST(Verdict, OfAllProbesIsTheMostSevere) {
  EXPECT_EQ(verdict(std::vector<ProbeView>{}), Verdict::unknown);
  std::vector<ProbeView> probes = {probe(ok), with_check(Status::warning)};
  EXPECT_EQ(verdict(probes), Verdict::warning);
  probes.push_back(probe(pending));
  probes.back().last_run = std::chrono::system_clock::now();  // a job without a report
  EXPECT_EQ(verdict(probes.back()), Verdict::unknown);
  EXPECT_EQ(verdict(probes), Verdict::warning);
  probes.push_back(probe(pending));
  EXPECT_EQ(verdict(probes), Verdict::unknown);
  probes.push_back(with_check(Status::critical));
  EXPECT_EQ(verdict(probes), Verdict::critical);
  EXPECT_EQ(summary(probes), "1 critical, 1 unknown, 1 warning, 1 ok, 1 waiting");
}

TEST(Verdict, SummaryNamesNoProbes) { EXPECT_EQ(summary({}), "no probes"); }

TEST(Verdict, DescribesAReading) {
  EXPECT_EQ(describe(with_check(Status::critical).checks[0]), "95% (orders), critical above 90%");
  EXPECT_EQ(describe({.name = "age", .object = "", .reading = "2d", .threshold = ""}), "2d");
}

}  // namespace
}  // namespace vitalsd
