#include "exporter/web/events.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

std::vector<ProbeView> probes() {
  std::vector<ProbeView> out;
  for (const char* name : {"cache", "db"}) {
    ProbeView& view = out.emplace_back();
    view.name = name;
    view.kind = name == std::string("db") ? "postgres" : "redis";
    view.labels = {{"team", name}};
    view.state = ProbeView::State::ok;
  }
  return out;
}

std::shared_ptr<const ProbeEvent> event(ProbeEvent value) {
  return std::make_shared<const ProbeEvent>(std::move(value));
}

ProbeEvents events() {
  return {
      event(
          {.probe = "db", .what = ProbeEvent::What::recovered, .state = Verdict::ok, .after = 90s}),
      event({.probe = "removed", .text = "refused"}),
      event({.probe = "db", .state = Verdict::critical, .reason = "connect", .text = "refused"}),
      event({.probe = "cache",
             .what = ProbeEvent::What::check,
             .state = Verdict::warning,
             .check = CheckView{"memory", "", "85%", "warn above 80%", Status::warning},
             .check_state = Verdict::warning})};
}

std::string selected(std::string_view query) {
  const EventFeed feed = select_events(events(), probes(), *parse_filter(query));
  std::string out;
  for (const EventFeed::Entry& entry : feed.entries) {
    out += entry.event->probe + ' ' + std::string(event_name(entry.event->what)) + ' ' +
           describe(*entry.event) + '\n';
  }
  return out + std::to_string(feed.hidden);
}

TEST(SelectEvents, ShowsThoseOfTheConfiguredProbes) {
  EXPECT_EQ(selected(""),
            "db recovered after 1 min\ndb failed connect: refused\n"
            "cache check memory 85%, warn above 80%\n0");
}

TEST(SelectEvents, ComparesTheStateAfterTheChange) {
  EXPECT_EQ(selected("state=ok"), "db recovered after 1 min\n2");
  EXPECT_EQ(selected("state=failed&kind=postgres"), "db failed connect: refused\n2");
}

TEST(SelectEvents, HasTheOtherFiltersOfThePage) {
  EXPECT_EQ(selected("label.team=cache"), "cache check memory 85%, warn above 80%\n2");
  EXPECT_EQ(selected("q=REFUSED"), "db failed connect: refused\n2");
  EXPECT_EQ(selected("q=memory"), "cache check memory 85%, warn above 80%\n2");
  EXPECT_EQ(selected("q=recovered&name=d*"), "db recovered after 1 min\n2");
}

TEST(SelectEvents, ShowsALimitedNumber) {
  const ProbeEvents many(EventFeed::kMax + 3, event({.probe = "db"}));
  const EventFeed feed = select_events(many, probes(), {});
  EXPECT_EQ(feed.entries.size(), EventFeed::kMax);
  EXPECT_EQ(feed.older, 3U);
}

TEST(DescribeEvent, TellsHowLongAShortOutageWas) {
  ProbeEvent event{.what = ProbeEvent::What::recovered, .after = 870ms};
  EXPECT_EQ(describe(event), "after 870 ms");
  event.after = 61'500ms;
  EXPECT_EQ(describe(event), "after 1 min");
}

TEST(DescribeEvent, SaysThatAReadingIsMissing) {
  EXPECT_EQ(describe({.what = ProbeEvent::What::check,
                      .check = CheckView{"memory", "", "85%", "", Status::warning}}),
            "memory has no reading");
}

}  // namespace
}  // namespace vitalsd
