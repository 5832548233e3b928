// The status page, its JSON, the log, the metrics and `vitalsd check` give the same verdict on a
// probe in every state.
#include "daemon/check_output.hpp"
#include "exporter/web/routes.hpp"
#include "exporter/web/verdict.hpp"
#include "probes/receiver.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/daemon/job_fixture.hpp"
#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::kFakeCheck;

std::string after(std::string_view text, std::string_view front, std::string_view end) {
  const std::size_t at = text.find(front);
  if (at == std::string_view::npos) return "";
  text.remove_prefix(at + front.size());
  return std::string(text.substr(0, text.find_first_of(end)));
}

class OneVerdict : public JobTest {
 protected:
  OneVerdict() {
    log::configure({config::LogLevel::debug, config::LogFormat::logfmt});
    testing::internal::CaptureStderr();
    web.exposition = &exposition;
    web.self_metrics = [] { return std::vector<Exposition::Extra>(); };
    web.probes = [this] { return board.views(); };
    web.probe = [this](std::string_view name) { return board.view(name); };
    web.events = [this](std::string_view name) { return board.events(name); };
    web.healthy = [this] { return is_healthy; };
    web.leads = [this] { return leads; };
    web.on_scrape = [](std::string_view, std::chrono::duration<double>, std::size_t) {};
  }
  ~OneVerdict() override { testing::internal::GetCapturedStderr(); }

  std::string body(std::string_view path) {
    const WebResponse response = respond(web, {"GET", path, "", ""});
    return response.page ? test::text_of(*response.page) : response.body;
  }

  std::string on_page() {
    return after(body("/"), "<td data-name=\"State\" class=\"n\"><b class=", ">");
  }
  std::string in_title() { return after(body("/"), "<title>vitalsd: ", ":"); }
  std::string in_json() {
    const auto document = boost::json::parse(body("/api/v1/status"));
    const auto& probes = document.at("probes").as_array();
    return probes.empty() ? "" : std::string(probes.at(0).at("state").as_string());
  }
  std::string in_json_of_all() {
    return std::string(boost::json::parse(body("/api/v1/status")).at("state").as_string());
  }
  // The page of the probe, and its JSON.
  std::string on_own_page() { return after(body("/probes/p"), "<h1><b class=", ">"); }
  std::string in_own_json() {
    const auto document = boost::json::parse(body("/api/v1/probes/p"));
    return std::string(document.at("probe").at("state").as_string());
  }
  // The state after the last change. Without one, the probe has not run or was never bad.
  std::string in_last_event() {
    const auto document = boost::json::parse(body("/api/v1/events"));
    const auto& events = document.at("events").as_array();
    return events.empty() ? "" : std::string(events.at(0).at("state").as_string());
  }
  // Without a series, nothing is known.
  std::string in_metrics() {
    for (const test::ParsedSample& sample :
         test::parse_samples(test::samples_of(body("/metrics")))) {
      if (sample.name == "vitalsd_probe_status") {
        return std::string(verdict_name(static_cast<Verdict>(sample.value)));
      }
    }
    return "unknown";
  }
  std::string in_check() {
    const std::string text = check_text(board.views());
    for (const Verdict verdict : kVerdicts) {
      if (text.starts_with(mark(verdict))) return std::string(verdict_name(verdict));
    }
    return "";
  }
  // The last line about the probe. Without one, it has not run.
  std::string in_log() {
    logged += testing::internal::GetCapturedStderr();
    testing::internal::CaptureStderr();
    const std::size_t last = logged.rfind(" state=");
    return last == std::string::npos ? "unknown"
                                     : after(std::string_view(logged).substr(last), "=", " \n");
  }

  // The lines that the pages show too.
  [[nodiscard]] std::size_t logged_changes() const {
    std::size_t count = 0;
    for (const std::string_view message : {"msg=\"probe failed\"", "msg=\"probe recovered\"",
                                           "msg=\"probe is st", "msg=\"check changed\""}) {
      for (std::size_t at = logged.find(message); at != std::string::npos;
           at = logged.find(message, at + 1)) {
        ++count;
      }
    }
    return std::min(count, EventLog::kMaxPerProbe);
  }

  void expect(std::string_view verdict, const std::string& what) {
    SCOPED_TRACE(what);
    EXPECT_EQ(on_page(), verdict);
    EXPECT_EQ(in_json(), verdict);
    EXPECT_EQ(on_own_page(), verdict);
    EXPECT_EQ(in_own_json(), verdict);
    const std::string event = in_last_event();
    EXPECT_TRUE(event == verdict || event.empty()) << event;
    EXPECT_EQ(in_log(), verdict) << logged;
    EXPECT_EQ(board.events("p").size(), logged_changes()) << logged;
    EXPECT_EQ(in_metrics(), verdict);
    EXPECT_EQ(in_check(), verdict);
    EXPECT_EQ(in_title(), in_json_of_all());
  }
  void expect_for_all(std::string_view verdict, const std::string& what) {
    expect(verdict, what);
    EXPECT_EQ(in_title(), verdict) << what;
  }

  // Waits for the end of a run of this behaviour.
  void run(const test::Target::Behaviour& behaviour) {
    target.behaviour = behaviour;
    const double before = runs("ok") + runs("failed");
    if (!job) start();
    ASSERT_TRUE(until([&] { return runs("ok") + runs("failed") > before; }));
  }
  static test::Target::Behaviour reading(double value) {
    return returning([value](SampleSet& out) { out.check(kFakeCheck, value); });
  }

  WebOptions web;
  bool is_healthy = true;
  bool leads = true;
  std::string logged;
};

TEST_F(OneVerdict, BeforeTheFirstRun) {
  start();
  expect_for_all("unknown", "pending");
  run(returning([](SampleSet&) {}));
  expect_for_all("ok", "ok");
}

TEST_F(OneVerdict, OfChecks) {
  run(reading(1));
  expect_for_all("ok", "ok");
  run(reading(15));
  expect_for_all("warning", "warning");
  run(reading(25));
  expect_for_all("critical", "critical");
  run(returning([](SampleSet&) {}));  // without a reading
  expect_for_all("ok", "no reading");
  EXPECT_TRUE(
      logged.contains("msg=\"check changed\" probe=p kind=fake check=level "
                      "check_state=critical reading=\"25, critical above 20\""))
      << logged;
}

TEST_F(OneVerdict, OfAFailureForEachReason) {
  for (const Reason reason : kReasons) {
    const bool is_observed = reason != Reason::auth && reason != Reason::permission &&
                             reason != Reason::config && reason != Reason::internal;
    const std::string name(reason_name(reason));
    run(throwing(reason));
    expect_for_all(is_observed ? "critical" : "unknown", name);
    run(returning([reason](SampleSet& out) { out.part("x").fail(reason, "because"); }));
    expect_for_all(is_observed ? "critical" : "unknown", name + " of a part");
    run(reading(15));
    expect_for_all("warning", "recovered from " + name);
  }
}

// The result of a check survives one failed run, or an overload, as its series does.
TEST_F(OneVerdict, OfAFailureAfterACheck) {
  for (const Reason reason : kReasons) {
    const std::string name(reason_name(reason));
    run(reading(25));
    expect_for_all("critical", "critical");
    run(throwing(reason));
    expect_for_all("critical", name);
    EXPECT_EQ(view().checks.size(), value("vitalsd_check_status", {{"check", "level"}}) ? 1U : 0U);
    EXPECT_EQ(view().checks.size(), 1U);
    run(throwing(reason));
    EXPECT_EQ(view().checks.size(), value("vitalsd_check_status", {{"check", "level"}}) ? 1U : 0U);
    EXPECT_EQ(view().checks.size(), reason == Reason::overload ? 1U : 0U) << name;
    expect(in_check(), name + " again");
  }
}

TEST_F(OneVerdict, OfAPartThatCouldNotBeObservedBesideAWarning) {
  run(returning([](SampleSet& out) {
    out.part("a").check(kFakeCheck, 15);
    out.part("b").fail(Reason::permission, "because");
  }));
  expect_for_all("unknown", "permission and a warning");
  run(returning([](SampleSet& out) {
    out.part("a").check(kFakeCheck, 25);
    out.part("b").fail(Reason::permission, "because");
  }));
  expect_for_all("critical", "permission and a critical check");
}

TEST_F(OneVerdict, OfARunThatDoesNotEnd) {
  run(reading(15));
  target.behaviour = [&](SampleSet&) { return latch.wait_uncancellable(); };
  ASSERT_TRUE(until([&] { return runs("stuck") >= 1; }));
  expect_for_all("critical", "stuck");
  // Its readings expire.
  ASSERT_TRUE(until([&] { return !value("vitalsd_check_status", {{"check", "level"}}); }));
  EXPECT_TRUE(view().checks.empty());
  expect_for_all("critical", "stuck for long");
  latch.open();
  run(reading(1));
  expect_for_all("ok", "ended");
}

TEST_F(OneVerdict, OfAProbeThatIsSkipped) {
  run(reading(15));
  gate.set_limits(1, 1);
  Gate::Ticket occupied;
  gate.enter(occupied, "", [] {});
  ASSERT_TRUE(until([&] { return runs("skipped") >= 1; }));
  const bool is_stale = view().state == ProbeView::State::stale;  // on a machine that is too slow
  expect_for_all(is_stale ? "unknown" : "warning", "skipped");
  ASSERT_TRUE(until([&] { return view().state == ProbeView::State::stale; }));
  EXPECT_EQ(value("vitalsd_check_status", {{"check", "level"}}), std::nullopt);
  EXPECT_EQ(view().reason, "stale");
  expect_for_all("unknown", "stale");
  occupied.leave();
  run(reading(15));
  expect_for_all("warning", "runs again");
}

// A target that is down does not become unknown because its probe is skipped.
TEST_F(OneVerdict, OfAFailedProbeThatIsSkipped) {
  run(throwing(Reason::connect));
  gate.set_limits(1, 1);
  Gate::Ticket occupied;
  gate.enter(occupied, "", [] {});
  ASSERT_TRUE(until([&] { return runs("skipped") >= 5; }));
  expect_for_all("critical", "failed and skipped");
  occupied.leave();
}

TEST_F(OneVerdict, OfAJobWithoutAReport) {
  struct Silent : Receiver {
    [[nodiscard]] std::vector<PushRoute> routes() const override { return {}; }
    void receive(Push /*push*/, Answer /*answer*/, Changed /*changed*/) override {}
  } receiver;
  target.receiver = &receiver;
  run(returning([](SampleSet&) {}));
  expect("unknown", "waiting for a report");
  EXPECT_EQ(in_title(), "ok");  // it does not count until then
  run(reading(15));
  expect_for_all("warning", "reported");
}

TEST_F(OneVerdict, OfANewTarget) {
  run(throwing(Reason::connect));
  JobSpec other = spec(target);
  other.interval = 24h;
  other.fingerprint = 2;
  other.probe = std::make_unique<test::FakeProbe>(target, "other target");
  gate.set_limits(1, 1);
  Gate::Ticket occupied;
  gate.enter(occupied, "", [] {});
  replace(std::move(other));
  EXPECT_EQ(on_page(), "unknown");
  EXPECT_EQ(in_json(), "unknown");
  EXPECT_EQ(in_metrics(), "unknown");
  EXPECT_EQ(in_title(), "unknown");
  occupied.leave();
}

// The log has the reason of both once, and not a line for each probe.
TEST_F(OneVerdict, OfAProbeLoopThatHangs) {
  run(reading(1));
  is_healthy = false;
  EXPECT_EQ(on_page(), "unknown");
  EXPECT_EQ(in_title(), "unknown");
  EXPECT_EQ(in_json(), "unknown");
  EXPECT_EQ(in_json_of_all(), "unknown");
  EXPECT_EQ(in_metrics(), "unknown");
}

TEST_F(OneVerdict, OfAStandbyReplica) {
  run(reading(25));
  leads = false;
  EXPECT_EQ(on_page(), "");
  EXPECT_EQ(in_title(), "unknown");
  EXPECT_EQ(in_json(), "");
  EXPECT_EQ(in_json_of_all(), "unknown");
  EXPECT_EQ(in_metrics(), "unknown");
}

}  // namespace
}  // namespace vitalsd
