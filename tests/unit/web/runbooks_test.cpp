#include "exporter/web/runbooks.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

const std::filesystem::path kRoot = std::filesystem::path(VITALSD_TEST_DATA) / ".." / "..";

std::string shipped_rules() {
  std::ifstream file(kRoot / "deploy/prometheus/vitalsd.yaml");
  return {std::istreambuf_iterator<char>(file), {}};
}

ProbeView with_check(const std::string& check, Status status, std::string_view kind = "tcp") {
  ProbeView view;
  view.kind = kind;
  view.state = ProbeView::State::ok;
  view.checks.push_back({check, "", "", "", status});
  return view;
}

std::string rules(const ProbeView& probe) {
  std::string out;
  for (const std::string_view rule : failing_rules(probe)) {
    out += (out.empty() ? "" : " ") + std::string(rule);
  }
  return out;
}

TEST(FailingRules, AreThoseOfTheRunAndOfTheChecks) {
  ProbeView view = with_check("lock_wait", Status::warning);
  view.checks.push_back({"idle_in_transaction", "", "", "", Status::critical});
  view.checks.push_back({"prepared_transaction_age", "", "", "", Status::critical});
  view.checks.push_back({"connections", "", "", "", Status::critical});
  EXPECT_EQ(rules(view), "SessionsBlocked TransactionLeftOpen CheckCritical");
  view.state = ProbeView::State::failed;
  view.checks.clear();
  EXPECT_EQ(rules(view), "ProbeFailing");
  view.kind = "relay";
  EXPECT_EQ(rules(view), "RelayTargetDown");
  view.state = ProbeView::State::stuck;
  EXPECT_EQ(rules(view), "ProbeNotRunning");
}

TEST(FailingRules, AreNoneWithoutARule) {
  EXPECT_EQ(rules(with_check("lock_wait", Status::ok)), "");
  EXPECT_EQ(rules(with_check("connections", Status::warning)), "");
  EXPECT_EQ(rules(with_check("not_ready", Status::warning, "pod")), "");
  EXPECT_EQ(rules(with_check("not_ready", Status::warning, "node")), "NodeNotReady");
  ProbeView pending;
  EXPECT_EQ(rules(pending), "");
}

// Each rule that names checks is found by them.
TEST(FailingRules, AgreeWithTheShippedRules) {
  const std::string text = shipped_rules();
  const std::regex pattern(
      R"re(- alert: (\w+)\s+expr: [^\n]*vitalsd_check_status\{check=~?"([^"]+)")re");
  int found = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at) {
    std::istringstream checks((*at)[2]);
    for (std::string check; std::getline(checks, check, '|');) {
      const std::string expected = (*at)[1];
      EXPECT_EQ(rules(with_check(check, Status::critical)), expected) << check;
      ++found;
    }
  }
  EXPECT_GE(found, 20);
}

TEST(FailingRules, HaveRunbooks) {
  const std::string text = shipped_rules();
  std::ifstream source(kRoot / "exporter/web/runbooks.cpp");
  const std::string code{std::istreambuf_iterator<char>(source), {}};
  const std::regex pattern(R"re("([A-Z]\w+)")re");
  std::set<std::string> names;
  for (std::sregex_iterator at(code.begin(), code.end(), pattern), end; at != end; ++at) {
    names.insert((*at)[1]);
  }
  EXPECT_GE(names.size(), 20U);
  for (const std::string& name : names) {
    EXPECT_TRUE(text.contains("runbook_url: " + runbook_url(name)) ||
                std::filesystem::exists(kRoot / "docs/runbooks" / (name + ".md")))
        << name;
  }
}

}  // namespace
}  // namespace vitalsd
