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
