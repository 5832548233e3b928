#include "probes/kubernetes/watch/patchable_fragment.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

constexpr Metric kRestarts(
    {.name = "restarts_total", .type = Type::counter, .help = "Restarts of the pod."}, "pod");
constexpr Metric kPhase({.name = "phase", .help = "The phase of the pod."}, "pod");
constexpr Metric kReason({.name = "reason", .help = "The reason for the phase."}, "pod");

class PatchableFragmentTest : public testing::Test {
 protected:
  // Replaces the samples of the object in this slot.
  using Samples = std::vector<std::pair<const Metric<1>*, double>>;
  void set(std::uint32_t slot, const Samples& samples) {
    patch.clear();
    add(slot, samples);
    patchable.apply(patch);
  }
  void add(std::uint32_t slot, const Samples& samples) {
    Part part;
    for (const auto& [metric, value] : samples) {
      part.add(*metric, value, std::to_string(slot));
    }
    patch.set(slot, part, R"(probe="p")");
  }

  [[nodiscard]] const FragmentFamily* family(const MetricInfo& metric) const {
    if (!patchable.fragment()) return nullptr;
    for (const FragmentFamily& each : *patchable.fragment()) {
      if (each.metric == &metric) return &each;
    }
    return nullptr;
  }
  [[nodiscard]] std::string_view lines(const MetricInfo& metric) const {
    const FragmentFamily* const found = family(metric);
    return found == nullptr ? std::string_view() : found->lines;
  }

  PatchableFragment patchable;
  PatchableFragment::Patch patch;
};

TEST_F(PatchableFragmentTest, IsNullWithoutLines) { EXPECT_EQ(patchable.fragment(), nullptr); }

TEST_F(PatchableFragmentTest, OrdersObjectsBySlot) {
  set(5, {{&kRestarts, 1}});
  set(0, {{&kRestarts, 2}});
  set(7, {{&kRestarts, 3}});
  EXPECT_EQ(lines(kRestarts),
            "restarts_total{probe=\"p\",pod=\"0\"} 2\n"
            "restarts_total{probe=\"p\",pod=\"5\"} 1\n"
            "restarts_total{probe=\"p\",pod=\"7\"} 3\n");
}

TEST_F(PatchableFragmentTest, DoesNotCopyUnchangedFamilies) {
  set(0, {{&kRestarts, 1}, {&kPhase, 1}});
  set(1, {{&kRestarts, 1}, {&kPhase, 1}});
  const FragmentFamily before = *family(kPhase);
  set(0, {{&kRestarts, 2}, {&kPhase, 1}});
  EXPECT_TRUE(lines(kRestarts).starts_with("restarts_total{probe=\"p\",pod=\"0\"} 2\n"));
  EXPECT_EQ(family(kPhase)->keeper, before.keeper);
  EXPECT_EQ(family(kPhase)->lines.data(), before.lines.data());
}

TEST_F(PatchableFragmentTest, AddsAndRemovesFamilies) {
  set(3, {{&kPhase, 1}});
  set(3, {{&kReason, 1}, {&kPhase, 2}});
  EXPECT_EQ(lines(kReason), "reason{probe=\"p\",pod=\"3\"} 1\n");
  EXPECT_EQ(lines(kPhase), "phase{probe=\"p\",pod=\"3\"} 2\n");
  set(3, {{&kPhase, 2}});
  EXPECT_EQ(family(kReason), nullptr);
  set(3, {});
  EXPECT_EQ(patchable.fragment(), nullptr);
}

TEST_F(PatchableFragmentTest, DoesNotModifyOldFragments) {
  set(2, {{&kPhase, 1}});
  const Fragment old = patchable.fragment();
  set(2, {{&kPhase, 2}});
  EXPECT_EQ(old->front().lines, "phase{probe=\"p\",pod=\"2\"} 1\n");
}

// Any sequence of patches has the same result as rendering all objects.
TEST_F(PatchableFragmentTest, MatchesASimpleModel) {
  std::mt19937 random(4217);
  const auto below = [&](std::size_t n) { return random() % n; };
  constexpr std::array kMetrics = {&kRestarts, &kPhase, &kReason};
  std::map<const MetricInfo*, std::array<std::string, PatchableFragment::kSlots>> model;
  for (int round = 0; round < 2'000; ++round) {
    patch.clear();
    for (std::uint32_t slot = 0; slot < PatchableFragment::kSlots; ++slot) {
      if (below(4) != 0) continue;
      Samples samples;
      for (const Metric<1>* metric : kMetrics) {
        std::string& text = model[metric][slot];
        text.clear();
        if (below(3) == 0) continue;
        const double value = below(2) == 0 ? 1 : static_cast<double>(below(1'000'000));
        samples.emplace_back(metric, value);
        append_line(text, *metric, R"(probe="p")", std::to_string(slot) + '\0', value);
      }
      add(slot, samples);
    }
    patchable.apply(patch);
    for (const auto& [metric, slots] : model) {
      std::string expected;
      for (const std::string& text : slots) expected += text;
      ASSERT_EQ(lines(*metric), expected) << "round " << round;
      ASSERT_EQ(family(*metric) == nullptr, expected.empty());
    }
  }
}

}  // namespace
}  // namespace vitalsd::kubernetes
