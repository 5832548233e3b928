#include "probes/kubernetes/objects/label_selector.hpp"

#include "probes/kubernetes/watch/scope.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

LabelSelector selector(std::string_view text) {
  const auto parsed = LabelSelector::parse(text);
  if (!parsed) ADD_FAILURE() << parsed.error();
  return parsed.value_or(LabelSelector());
}

std::string error_of(std::string_view text) {
  const auto parsed = LabelSelector::parse(text);
  return parsed ? "" : parsed.error();
}

TEST(LabelSelector, AcceptsTheSyntaxOfKubectl) {
  for (const std::string_view text :
       {"", "app=web", "app==web", "app != web", "app", "!app", "app in (a, b)",
        "app notin (a,b),tier", "example.com/part-of=shop,tier in (front)", "app=", "a=b , c=d",
        "in=notin", "app in (a,)"}) {
    EXPECT_EQ(error_of(text), "") << text;
    EXPECT_EQ(selector(text).text(), text);
  }
}

TEST(LabelSelector, ReportsWhatIsInvalid) {
  EXPECT_EQ(error_of("app=web,"), "'app=web,' is not a valid label selector: it ends with a comma");
  EXPECT_EQ(error_of("app=web tier=x"),
            "'app=web tier=x' is not a valid label selector: a comma is missing before 'tier=x'");
  EXPECT_EQ(error_of("=web"), "'=web' is not a valid label selector: '' is not a valid label name");
  EXPECT_EQ(error_of("a/b/c=x"),
            "'a/b/c=x' is not a valid label selector: 'a/b/c' is not a valid label name");
  EXPECT_EQ(error_of("app=a b"),
            "'app=a b' is not a valid label selector: a comma is missing before 'b'");
  EXPECT_EQ(error_of("app=-a"),
            "'app=-a' is not a valid label selector: '-a' is not a valid label value");
  EXPECT_EQ(error_of("app in a"),
            "'app in a' is not a valid label selector: expected values in parentheses");
  EXPECT_EQ(error_of("app in (a"),
            "'app in (a' is not a valid label selector: a closing parenthesis is missing");
  EXPECT_EQ(error_of("a=b=c"),
            "'a=b=c' is not a valid label selector: a comma is missing before '=c'");
}

TEST(LabelSelector, IsDisjointIfNoObjectMatchesBoth) {
  struct Case {
    std::string_view a;
    std::string_view b;
    bool disjoint;
  };
  for (const Case& test : std::vector<Case>{
           {"", "", false},
           {"", "app=web", false},
           {"app=web", "app=web", false},
           {"app=web", "app=api", true},
           {"app=web", "tier=front", false},
           {"app=web,tier=front", "tier=back", true},
           {"app in (a,b)", "app in (b,c)", false},
           {"app in (a,b)", "app in (c,d)", true},
           {"app=web", "app!=web", true},
           {"app in (a,b)", "app!=a", false},
           {"app in (a,b)", "app notin (a,b,c)", true},
           {"app in (a,b),app!=a", "app=a", true},
           {"app=web", "!app", true},
           {"app", "!app", true},
           {"!app", "!app", false},
           // An object without the label matches both.
           {"app!=web", "app notin (api)", false},
           {"app!=web", "!app", false},
           {"app in (a,b),app in (b,c)", "app=b", false},
           {"app in (a,b),app in (b,c)", "app=a", true},
       }) {
    EXPECT_EQ(selector(test.a).disjoint(selector(test.b)), test.disjoint)
        << test.a << " | " << test.b;
    EXPECT_EQ(selector(test.b).disjoint(selector(test.a)), test.disjoint)
        << test.b << " | " << test.a;
  }
}

TEST(Scope, OverlapsIfAnObjectCanBeInBoth) {
  const Scope all{};
  const Scope shop{.namespaces = {"blog", "shop"}, .selector = {}};
  const Scope web{.namespaces = {"web"}, .selector = {}};
  const Scope front{.namespaces = {"shop"}, .selector = selector("tier=front")};
  const Scope back{.namespaces = {}, .selector = selector("tier=back")};
  EXPECT_TRUE(all.overlaps(all));
  EXPECT_TRUE(all.overlaps(shop));
  EXPECT_FALSE(shop.overlaps(web));
  EXPECT_TRUE(shop.overlaps(front));
  EXPECT_FALSE(front.overlaps(back));
  EXPECT_TRUE(back.overlaps(shop));
}

}  // namespace
}  // namespace vitalsd::kubernetes
