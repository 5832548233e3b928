#include "probes/rabbitmq/node_samples.hpp"

#include "exporter/model/check.hpp"
#include "exporter/model/sample_set.hpp"

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::rabbitmq {
namespace {

struct Judged {
  double down;
  std::string names;
  Status status;

  friend bool operator==(const Judged&, const Judged&) = default;
  friend void PrintTo(const Judged& judged, std::ostream* out) {
    *out << judged.down << " down: " << judged.names << ", " << status_name(judged.status);
  }
};

/// The check `nodes_down` of these nodes, with its default thresholds.
Judged judged(const std::vector<ManagedNode>& managed, const std::map<std::string, bool>& up = {}) {
  SampleSet out;
  add_nodes(managed, up, false, out);
  for (const CheckResult& result : out.checks()) {
    if (result.check->name != "nodes_down") continue;
    const Thresholds used = result.thresholds.or_else({result.check->warn, result.check->critical});
    return {result.reading, result.object, judge(*result.check, used, result.reading)};
  }
  return {};
}

ManagedNode node(const std::string& name, bool runs) {
  ManagedNode made;
  made.name = name;
  made.running = runs;
  return made;
}

TEST(NodeSamples, ANodeThatDoesNotRunIsAWarning) {
  EXPECT_EQ(judged({node("a", true)}), (Judged{0, "", Status::ok}));
  EXPECT_EQ(judged({node("a", true), node("b", true)}), (Judged{0, "", Status::ok}));
  EXPECT_EQ(judged({node("a", true), node("b", false), node("c", true)}),
            (Judged{1, "b", Status::warning}));
}

TEST(NodeSamples, AClusterWithoutAMajorityIsCritical) {
  EXPECT_EQ(judged({node("a", true), node("b", false)}), (Judged{1, "b", Status::critical}));
  EXPECT_EQ(judged({node("a", false), node("b", false), node("c", true)}),
            (Judged{2, "a, b", Status::critical}));
  EXPECT_EQ(judged({node("a", false), node("b", false), node("c", true), node("d", true),
                    node("e", true)}),
            (Judged{2, "a, b", Status::warning}));
}

TEST(NodeSamples, ANodeThatRespondsOrRunsIsUp) {
  const auto both = [](bool runs, bool responds) {
    return judged({node("a", true), node("b", runs), node("c", true)}, {{"b", responds}});
  };
  EXPECT_EQ(both(true, false), (Judged{0, "", Status::ok}));  // its plug-in does not respond
  EXPECT_EQ(both(false, true), (Judged{0, "", Status::ok}));
  EXPECT_EQ(both(false, false), (Judged{1, "b", Status::warning}));
  // Without the management API.
  EXPECT_EQ(judged({}, {{"a", true}, {"b", true}}), (Judged{0, "", Status::ok}));
  EXPECT_EQ(judged({}, {{"a", true}, {"b", false}}), (Judged{1, "b", Status::critical}));
}

}  // namespace
}  // namespace vitalsd::rabbitmq
