#include "daemon/check.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using enum ProbeView::State;

ProbeView probe(ProbeView::State state, std::string reason = "") {
  ProbeView view;
  view.name = "db";
  view.kind = "postgres";
  view.target = "db:5432";
  view.state = state;
  view.reason = std::move(reason);
  return view;
}

ProbeView with_check(Status status) {
  ProbeView view = probe(ok);
  view.checks.push_back({"connections", "vcci", "95%", "critical above 90%", status});
  return view;
}

TEST(CheckText, HasALinePerProbeAndPerCheck) {
  ProbeView broken = probe(failed, "connect");
  broken.name = "cache";
  broken.kind = "redis";
  broken.detail = "Connection refused";
  broken.message = "not read: this\nnot read: that";
  EXPECT_EQ(check_text({with_check(Status::critical), broken}),
            "✗ db     postgres  db:5432\n"
            "    ✗ connections 95% (vcci), critical above 90%\n"
            "✗ cache  redis     db:5432\n"
            "    connect: Connection refused\n"
            "    not read: this\n"
            "    not read: that\n"
            "\n"
            "2 probes: 0 ok, 0 warning, 2 critical, 0 unknown\n");
}

}  // namespace
}  // namespace vitalsd
