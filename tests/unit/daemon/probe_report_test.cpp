#include "daemon/probe_report.hpp"

#include "daemon/check_output.hpp"
#include "exporter/web/page.hpp"
#include "exporter/web/probe_page.hpp"
#include "exporter/web/status_json.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

// A label in Latin-1, and characters that control a terminal or change the order of others.
TEST(ProbeReport, ShowsNoBytesOfTheConfigurationThatAreNotText) {
  Board board;
  ProbeReport report(board, "a");
  report.configure({.kind = "tcp",
                    .target = "h\xfe\u202e:1",
                    .labels = {{"site", "M\xfcnchen\x1b[31m"}, {"team", "Zürich"}}},
                   false);
  board.set_notices("configuration", {"line 1: \xff\x1b"});
  const Overview overview{
      .probes = board.views(), .version = "1", .now = {}, .notices = board.notices()};
  const ProbeView& view = overview.probes.at(0);
  EXPECT_EQ(view.target, "h\ufffd\ufffd:1");
  EXPECT_EQ(view.labels.at(0).second, "M\ufffdnchen\ufffd[31m");
  EXPECT_EQ(view.labels.at(1).second, "Zürich");
  EXPECT_EQ(overview.notices.at(0), "configuration: line 1: \ufffd\ufffd");
  for (const std::string& text : {status_json(overview), probe_json(overview, view, {}),
                                  status_page(overview), probe_page(overview, view, {}),
                                  check_text(overview.probes), check_markdown(overview.probes)}) {
    for (const char* raw : {"\xfe", "\xff", "\xfc", "\x1b", "\u202e"}) {
      EXPECT_FALSE(text.contains(raw)) << text;
    }
  }
}

}  // namespace
}  // namespace vitalsd
