// A ledger with a clock of its own, for the tests of its rules.
#pragma once

#include "exporter/model/ledger.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd::test {

using namespace std::chrono_literals;

inline constexpr Metric kReading({.name = "reading", .help = "True only now."});
inline constexpr Metric kOther({.name = "other_reading", .help = "Also true only now."});
inline constexpr Metric kFact({.name = "fact",
                               .help = "True until observed again.",
                               .keep = Keep::fact});
inline constexpr Metric kObject(
    {.name = "object_fact", .help = "A fact about one of many.", .keep = Keep::fact}, "name");
inline constexpr Metric kFramework({.name = "success", .help = "How the run went."});

inline const Failure kFailure{Reason::connect, "refused"};
inline const Failure kOverload{Reason::overload, "too many clients"};

/// A ledger and the page to which it publishes.
class LedgerTest : public testing::Test {
 protected:
  using Fill = std::function<void(SampleSet&)>;

  /// Publishes a run that filled its set and then returned or threw.
  void returned(const Fill& fill) { run(fill, std::nullopt); }
  void threw(const Failure& failure, const Fill& fill = [](SampleSet&) {}) { run(fill, failure); }

  void run(const Fill& fill, const std::optional<Failure>& thrown) {
    SampleSet set;
    fill(set);
    ledger->publish(set, thrown, framework, now);
    now += 10s;
  }

  [[nodiscard]] std::string published() const { return test::samples(exposition); }

  Exposition exposition;
  std::optional<Ledger> ledger{std::in_place, exposition, "p", R"(probe="p")"};
  Part framework;
  Ledger::Time now{1000s};
};

/// A fragment of one family.
inline Fragment fragment(const MetricInfo& metric, std::string lines) {
  const std::size_t size = lines.size();
  return to_fragment({std::move(lines), {{&metric, 0, size}}});
}

}  // namespace vitalsd::test
