#include "probes/kubernetes/watch/selection.hpp"

#include <string>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using net::kubernetes::Query;

Query query(std::string namespace_name, std::string label_selector = "") {
  Query query;
  query.namespace_name = std::move(namespace_name);
  query.label_selector = std::move(label_selector);
  return query;
}

std::string lines_of(const Part& part) {
  Rendering out;
  std::size_t duplicates = 0;
  part.render(out, "", duplicates);
  return out.text;
}

TEST(SelectionTest, PublishesTheObjectsOfEachScope) {
  Selection selection;
  selection.add(query("web"), 2, false);
  selection.add(query("web"), 3, false);  // another resource
  selection.add(query("", "app=api"), 1, false);
  Part part;
  selection.report(part);
  EXPECT_EQ(lines_of(part),
            "vitalsd_probe_selected_objects{scope=\"all namespaces with app=api\"} 1\n"
            "vitalsd_probe_selected_objects{scope=\"web\"} 5\n");
  ASSERT_EQ(part.checks().size(), 1U);
  EXPECT_EQ(part.checks()[0].reading, 0);
}

TEST(SelectionTest, ChecksForScopesThatMatchNothing) {
  Selection selection;
  selection.add(query("web"), 1, false);
  selection.add(query("prodd", "app=api"), 0, false);
  Part part;
  selection.report(part);
  ASSERT_EQ(part.checks().size(), 1U);
  EXPECT_EQ(part.checks()[0].reading, 1);
  EXPECT_EQ(part.checks()[0].object, "prodd with app=api (matches nothing)");
}

TEST(SelectionTest, IgnoresAWatchOfAllObjects) {
  Selection selection;
  selection.add(query(""), 0, false);
  Part part;
  selection.report(part);
  EXPECT_EQ(lines_of(part), "");
  EXPECT_TRUE(part.checks().empty());
}

// A target that was not observed may have the objects, so it is waited for, but not for ever.
TEST(SelectionTest, WaitsForATargetThatIsNotObserved) {
  const auto report = [](std::size_t objects, std::size_t runs) {
    Selection selection;
    selection.add("keep a", objects);
    selection.add_unobserved("keep a", runs);
    Part part;
    selection.report(part);
    return part;
  };
  EXPECT_EQ(lines_of(report(0, Selection::kMaxPendingRuns - 1)), "");
  EXPECT_TRUE(report(0, Selection::kMaxPendingRuns - 1).checks().empty());
  EXPECT_EQ(lines_of(report(2, 1)), "vitalsd_probe_selected_objects{scope=\"keep a\"} 2\n");
  const Part late = report(0, Selection::kMaxPendingRuns);
  EXPECT_EQ(lines_of(late), "vitalsd_probe_selected_objects{scope=\"keep a\"} 0\n");
  ASSERT_EQ(late.checks().size(), 1U);
  EXPECT_EQ(late.checks()[0].object, "keep a (matches nothing; 1 of 2 could not be read)");
}

TEST(SelectionTest, DoesNotJudgeWithoutAnyObservation) {
  Selection selection;
  selection.add_unobserved(query("web"), Selection::kMaxPendingRuns);
  selection.add_unobserved(query(""), Selection::kMaxPendingRuns);
  Part part;
  selection.report(part);
  EXPECT_EQ(lines_of(part), "");
  EXPECT_TRUE(part.checks().empty());
}

TEST(SelectionTest, CountsATargetThatFailsAsWhenItLastAnswered) {
  TargetSelection target;
  target.set({0, 3});
  for (std::size_t i = 0; i < Selection::kMaxPendingRuns; ++i) target.fail();
  Selection selection;
  selection.add("none", target, 0);
  selection.add("some", target, 1);
  Part part;
  selection.report(part);
  EXPECT_EQ(lines_of(part),
            "vitalsd_probe_selected_objects{scope=\"none\"} 0\n"
            "vitalsd_probe_selected_objects{scope=\"some\"} 3\n");
}

TEST(SelectionTest, DoesNotJudgeAShareOfTheObjects) {
  Selection selection;
  selection.add(query("web"), 0, true);
  Part part;
  selection.report(part);
  EXPECT_EQ(lines_of(part), "vitalsd_probe_selected_objects{scope=\"web\"} 0\n");
  EXPECT_TRUE(part.checks().empty());
}

}  // namespace
}  // namespace vitalsd::kubernetes
