#include "daemon/check_output.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using enum ProbeView::State;

ProbeView probe(ProbeView::State state, std::string_view reason = "") {
  ProbeView view;
  view.name = "db";
  view.kind = "postgres";
  view.target = "db:5432";
  view.state = state;
  view.reason = reason;
  return view;
}

ProbeView with_check(Status status) {
  ProbeView view = probe(ok);
  view.checks.push_back({"connections", "vcci", "95%", "critical above 90%", status});
  return view;
}

ProbeView refused() {
  ProbeView view = probe(failed, "connect");
  view.name = "cache";
  view.kind = "redis";
  view.detail = "Connection refused";
  return view;
}

TEST(CheckText, HasALinePerProbeAndPerCheck) {
  ProbeView broken = refused();
  broken.last_run = std::chrono::system_clock::now();
  broken.duration_seconds = 0.012;
  broken.message = "not read: this\nnot read: that";
  EXPECT_EQ(check_text({with_check(Status::critical), broken}),
            "✗ db     postgres  db:5432\n"
            "    ✗ connections 95% (vcci), critical above 90%\n"
            "✗ cache  redis     db:5432  12ms\n"
            "    connect: Connection refused\n"
            "    not read: this\n"
            "    not read: that\n"
            "\n"
            "2 probes: 2 critical\n");
}

TEST(CheckText, CountsWhatItDoesNotShow) {
  const ProbeFilter bad{.states = {Verdict::critical}};
  EXPECT_EQ(check_text({probe(ok), refused()}, bad),
            "✗ cache  redis     db:5432\n"
            "    connect: Connection refused\n"
            "\n"
            "2 probes: 1 critical, 1 ok\n");
  EXPECT_EQ(check_text({probe(ok)}, bad), "1 probe: 1 ok\n");
  EXPECT_EQ(check_text({}), "no probes\n");
}

TEST(CheckText, ColorsMarksOnRequest) {
  EXPECT_TRUE(check_text({refused()}, {}, true).starts_with("\x1b[31m✗\x1b[0m cache"));
  EXPECT_FALSE(check_text({refused()}).contains('\x1b'));
}

TEST(CheckNagios, HasTheVerdictAndPerformanceData) {
  ProbeView odd = refused();
  odd.detail = "a | b\nc";
  EXPECT_EQ(
      check_nagios({with_check(Status::warning), probe(ok), odd}),
      "CRITICAL - 1 critical, 1 warning, 1 ok: db, cache | critical=1 unknown=0 warning=1 ok=1\n"
      "db: connections 95% (vcci), critical above 90%\n"
      "cache: connect: a / b c\n");
  EXPECT_EQ(check_nagios({}), "UNKNOWN - no probes | critical=0 unknown=0 warning=0 ok=0\n");
}

TEST(CheckNagios, NamesAFewProbesInTheFirstLine) {
  const std::string text = check_nagios({refused(), refused(), refused(), refused()});
  EXPECT_TRUE(text.starts_with("CRITICAL - 4 critical: cache, cache, cache, ... |")) << text;
}

TEST(CheckMarkdown, IsATable) {
  ProbeView odd = refused();
  odd.detail = "a | <b>\nc";
  EXPECT_EQ(check_markdown({odd, probe(ok)}),
            "| State | Probe | Kind | Target | Problems |\n"
            "|---|---|---|---|---|\n"
            "| critical | cache | redis | db:5432 | connect: a \\| &lt;b> c |\n"
            "| ok | db | postgres | db:5432 |  |\n"
            "\n"
            "2 probes: 1 critical, 1 ok\n");
}

}  // namespace
}  // namespace vitalsd
