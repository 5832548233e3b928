#include "daemon/event_log.hpp"

#include <cstddef>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

std::string texts(const ProbeEvents& events) {
  std::string out;
  for (const auto& event : events) out += event->probe + event->text + ' ';
  return out;
}

TEST(EventLog, ReturnsTheNewestFirst) {
  EventLog log;
  log.add({.probe = "a", .text = "1"});
  log.add({.probe = "b", .text = "2"});
  log.add({.probe = "a", .text = "3"});
  EXPECT_EQ(texts(log.events()), "a3 b2 a1 ");
  EXPECT_EQ(texts(log.events("a")), "a3 a1 ");
  EXPECT_EQ(texts(log.events("c")), "");
  log.remove("a");
  log.remove("c");
  EXPECT_EQ(texts(log.events()), "b2 ");
}

TEST(EventLog, AProbeReplacesItsOwnChangesOnly) {
  EventLog log;
  log.add({.probe = "quiet", .text = "1"});
  for (std::size_t i = 0; i < 3 * EventLog::kMaxPerProbe; ++i) {
    log.add({.probe = "flaps", .text = std::to_string(i)});
  }
  EXPECT_EQ(log.events("flaps").size(), EventLog::kMaxPerProbe);
  EXPECT_EQ(log.events("flaps").front()->text, std::to_string(3 * EventLog::kMaxPerProbe - 1));
  EXPECT_EQ(log.events("quiet").size(), 1U);
  EXPECT_EQ(log.events().size(), EventLog::kMaxPerProbe + 1);
}

// 300 probes that flap must not hide when a quiet one failed.
TEST(EventLog, DropsChangesOfTheProbesThatHaveTheMost) {
  EventLog log;
  log.add({.probe = "quiet", .text = "1"});
  constexpr std::size_t kProbes = 300;
  const std::size_t each = EventLog::kMaxTotal / kProbes;
  for (std::size_t i = 0; i < 2 * kProbes * each; ++i) {
    log.add({.probe = "flaps" + std::to_string(i % kProbes), .text = std::to_string(i)});
  }
  EXPECT_EQ(log.events().size(), EventLog::kMaxTotal);
  EXPECT_EQ(texts(log.events("quiet")), "quiet1 ");
  EXPECT_EQ(log.dropped("quiet"), 0U);
  for (std::size_t i = 0; i < kProbes; ++i) {
    const std::string name = "flaps" + std::to_string(i);
    EXPECT_GE(log.events(name).size(), each - 1);
    EXPECT_EQ(log.events(name).size() + log.dropped(name), 2 * each);
  }
}

TEST(EventLog, CountsWhatItDropped) {
  EventLog log;
  for (std::size_t i = 0; i < EventLog::kMaxPerProbe + 3; ++i) log.add({.probe = "a"});
  EXPECT_EQ(log.dropped("a"), 3U);
  EXPECT_EQ(log.dropped("b"), 0U);
  log.remove("a");
  EXPECT_EQ(log.dropped("a"), 0U);
}

TEST(EventLog, DropsTheOldestOfAllIfEachProbeHasOne) {
  EventLog log;
  for (std::size_t i = 0; i < EventLog::kMaxTotal + 7; ++i) {
    log.add({.probe = std::to_string(i)});
  }
  EXPECT_EQ(log.events().size(), EventLog::kMaxTotal);
  EXPECT_EQ(log.events().back()->probe, "7");
  EXPECT_EQ(log.events("6").size(), 0U);
  EXPECT_EQ(log.dropped("6"), 1U);
  log.remove("6");
  log.remove("7");
  EXPECT_EQ(log.events().back()->probe, "8");
}

}  // namespace
}  // namespace vitalsd
