#include "daemon/check_progress.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

std::vector<ProbeView> probes(int waiting, int done) {
  std::vector<ProbeView> out;
  for (int i = 0; i < waiting + done; ++i) {
    ProbeView& view = out.emplace_back();
    view.name = "probe-" + std::to_string(i);
    if (i >= waiting) view.last_run = ProbeView::Time();
  }
  return out;
}

TEST(ProgressText, NamesTheProbesThatHaveNotRun) {
  EXPECT_EQ(progress_text(probes(2, 5), 80), "waiting for 2 of 7 probes: probe-0, probe-1");
  EXPECT_EQ(progress_text(probes(1, 0), 80), "waiting for 1 of 1 probe: probe-0");
  EXPECT_EQ(progress_text(probes(0, 3), 80), "");
}

TEST(ProgressText, FitsTheTerminal) {
  const std::string text = progress_text(probes(5'000, 0), 40);
  EXPECT_EQ(text, "waiting for 5000 of 5000 probes: prob...");
  EXPECT_EQ(text.size(), 40U);
  EXPECT_EQ(progress_text(probes(2, 0), 2), "...");
}

}  // namespace
}  // namespace vitalsd
