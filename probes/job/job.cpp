// Kind `job`: a job that reports its runs over HTTP, and is late if no report arrives in time (a
// heartbeat). It accepts POST /api/v1/jobs/NAME with an optional suffix /start, /fail or
// /exit/CODE, and the requests of a Pushgateway.
#include "probes/job/history.hpp"
#include "probes/job/ping.hpp"
#include "probes/job/push_api.hpp"
#include "probes/job/timetable.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/probe.hpp"
#include "probes/receiver.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using job::History;
using job::Ping;
using job::Timetable;

constexpr MetricTable kTable(
    MetricRow{Metric({.name = "job_last_start_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the job last reported that a run has started, in Unix time.",
                      .keep = Keep::fact}),
              [](const History& history) { return history.last_start(); }},
    MetricRow{Metric({.name = "job_last_success_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the job last reported success, in Unix time.",
                      .keep = Keep::fact}),
              [](const History& history) { return history.last_success(); }},
    MetricRow{Metric({.name = "job_last_failure_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the job last reported a failure, in Unix time.",
                      .keep = Keep::fact}),
              [](const History& history) { return history.last_failure(); }},
    MetricRow{
        Metric({.name = "job_last_duration_seconds",
                .unit = Unit::seconds,
                .help = "Duration of the last run that has ended; absent if its start was not "
                        "reported.",
                .keep = Keep::fact}),
        [](const History& history) { return history.last_duration(); }},
    MetricRow{Metric({.name = "job_last_exit_code",
                      .help = "Exit code of the last run that has ended; absent if it was not "
                              "reported.",
                      .keep = Keep::fact}),
              [](const History& history) { return history.last_exit_code(); }},
    MetricRow{Metric({.name = "job_runs_total",
                      .type = Type::counter,
                      .help = "Runs that have ended, by outcome: ok, failed."},
                     "outcome"),
              [](const History& history, const auto& put) {
                put(history.succeeded(), "ok");
                put(history.failed(), "failed");
              }});
constexpr Metric kOverdue(
    {.name = "job_overdue",
     .help = "Whether a run has not started in time, or takes too long; absent "
             "if the job has never reported and is not late."});
// The rule JobWithoutBackup joins it with the dates of that probe.
constexpr Metric kBackup({.name = "job_backup_info",
                          .help = "The probe of kind backup that watches what the job writes; "
                                  "always 1."},
                         "backup");
constexpr auto kMetrics = metric_list(kTable, kOverdue, kBackup, job::kPushTime,
                                      job::kPushFailureTime, job::kPushDropped);

constexpr Check kOverdueCheck{.name = "overdue",
                              .unit = Unit::seconds,
                              .warn = {},
                              .critical = 0,
                              .help = "time since a run should have started or ended"};
constexpr Check kFailedCheck{
    .name = "failed", .warn = 0, .critical = {}, .help = "failed runs since the last success"};
constexpr std::array<const Check*, 3> kChecks = {&kOverdueCheck, &kFailedCheck,
                                                 &job::kUnpublishedCheck};

double unix_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// `none` must be explicit, so that nobody omits the token by mistake.
config::Secret read_token(config::Node& options) {
  constexpr std::string_view kHelp =
      "required: bearer token of the requests, or 'none' if requests need no token";
  const config::Member* given = options.value().find("token");
  if (given != nullptr && given->value.text == "none") {
    options.find<std::string>("token", kHelp);
    return {};
  }
  config::Secret token = options.secret("token", kHelp);
  if (given == nullptr) {
    options.error("token",
                  "required key 'token' is missing: must be a secret, or 'none' if "
                  "requests need no token");
  }
  return token;
}

std::string name_of(const config::Node& options) {
  const config::Member* name = options.value().find("name");
  return name == nullptr ? "NAME" : name->value.text;
}

class JobProbe final : public Probe, public Receiver {
 public:
  JobProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        name_(name_of(options)),
        token_(read_token(options)),
        timetable_(options),
        backup_(options.get<std::string>(
            "backup", "", "name of the probe of kind backup that watches what the job writes")),
        push_api_(options, environment, name_),
        history_(std::make_unique<History>(unix_now(), name_)) {}

  asio::awaitable<void> observe(SampleSet& out) override {
    const double now = unix_now();
    const Timetable::Lateness late = timetable_.judge(*history_, now);
    kTable.add(out, *history_);
    // Nothing is known about a job that has never reported, unless it is late.
    const bool is_known =
        history_->last_start() || history_->last_success() || history_->last_failure();
    if (is_known || late.seconds > 0) {
      out.add(kOverdue, late.seconds > 0 ? 1 : 0);
      out.check(kOverdueCheck, late.seconds, late.what);
    }
    if (is_known) out.check(kFailedCheck, history_->failures_in_a_row());
    if (!backup_.empty()) out.add(kBackup, 1, backup_);
    co_await push_api_.publish(out, *history_, now);
    out.show(history_->message());
    // All requests are refused while the token cannot be read.
    try {
      co_await environment_.files.read(token_, out);
    } catch (const ProbeError& error) {
      out.fail(error.reason(), error.what());
    }
  }

  [[nodiscard]] std::string target() const override { return std::string(kPrefix) + name_; }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<JobProbe&>(predecessor);
    history_ = std::move(old.history_);
    push_api_.inherit(old.push_api_);
  }

  Notes* notes() override { return history_.get(); }
  Receiver* receiver() override { return this; }

  [[nodiscard]] std::vector<PushRoute> routes() const override {
    constexpr std::size_t kMaxBody = std::size_t{64} << 10;
    std::vector<PushRoute> out = job::PushApi::routes(name_);
    out.push_back({.path = target(), .max_body = kMaxBody});
    for (PushRoute& route : out) route.token = token_;
    return out;
  }

  void receive(Push push, Answer answer, Changed changed) override {
    if (push.route != target()) {
      push_api_.receive(std::move(push), *history_, unix_now(), std::move(answer),
                        std::move(changed));
      return;
    }
    const std::expected<Ping, PushAnswer> ping = job::parse_ping(push.path, push.query);
    if (!ping) {
      answer(ping.error());
      return;
    }
    history_->record(*ping, job::message_text(push.body), unix_now(), std::move(answer));
    changed();
  }

 private:
  static constexpr std::string_view kPrefix = "/api/v1/jobs/";

  const Environment& environment_;
  std::string name_;
  config::Secret token_;
  Timetable timetable_;
  std::string backup_;
  job::PushApi push_api_;
  std::unique_ptr<History> history_;
};

}  // namespace

namespace kinds {
extern const ProbeKind job;
const ProbeKind job = {
    .name = "job",
    .help =
        "A job that reports its runs, and is overdue if it does not. `POST /api/v1/jobs/NAME` "
        "reports success; with `/start`, `/fail` or `/exit/CODE` (0 to 255) at the end of the "
        "path, the request reports a start, a failure or an exit code. `?rid=ID` (up to 64 "
        "letters, digits and `._:-`) identifies the run, so that a repeated request counts once. "
        "The status page shows the first 10,000 bytes of the body, which may have 64 KiB. "
        "Responses and a script: docs/kubernetes.md. With `push`, the probe also accepts metrics "
        "like a Pushgateway: docs/pushgateway.md.",
    .make = make_probe<JobProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
};
}  // namespace kinds

}  // namespace vitalsd
