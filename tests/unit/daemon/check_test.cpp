#include "daemon/check.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using enum ProbeView::State;

ProbeView probe(ProbeView::State state, std::string reason = "") {
  ProbeView view;
  view.name = "db";
  view.kind = "postgres";
  view.target = "db:5432";
  view.state = state;
  view.reason = std::move(reason);
  return view;
}

ProbeView with_check(Status status) {
  ProbeView view = probe(ok);
  view.checks.push_back({"connections", "vcci", "95%", "critical above 90%", status});
  return view;
}

TEST(Verdict, DependsOnTheRunAndItsChecks) {
  EXPECT_EQ(verdict(probe(ok)), Verdict::ok);
  EXPECT_EQ(verdict(probe(pending)), Verdict::unknown);
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

TEST(Verdict, OfAllProbesIsTheWorst) {
  EXPECT_EQ(verdict(std::vector<ProbeView>{}), Verdict::ok);
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
}

TEST(CheckText, HasALinePerProbeAndPerCheck) {
  ProbeView broken = probe(failed, "connect");
  broken.name = "cache";
  broken.kind = "redis";
  broken.detail = "Connection refused";
  broken.message = "not read: this\nnot read: that";
  EXPECT_EQ(check_text({with_check(Status::critical), broken}),
            "✗ db     postgres  db:5432\n"
            "    ✗ connections 95% (vcci), critical above 90%\n"
            "✗ cache  redis     db:5432\n"
            "    connect: Connection refused\n"
            "    not read: this\n"
            "    not read: that\n"
            "\n"
            "2 probes: 0 ok, 0 warning, 2 critical, 0 unknown\n");
}

TEST(CheckJson, ContainsProbesAndChecks) {
  ProbeView warns = with_check(Status::warning);
  warns.message = "not read: this";
  const auto document = boost::json::parse(check_json({warns}));
  EXPECT_EQ(document.at("status"), "warning");
  const auto& row = document.at("probes").at(0);
  EXPECT_EQ(row.at("name"), "db");
  EXPECT_EQ(row.at("message"), "not read: this");
  EXPECT_EQ(row.at("checks").at(0).at("reading"), "95%");
  EXPECT_EQ(row.at("checks").at(0).at("status"), "warning");
}

}  // namespace
}  // namespace vitalsd
