#include "daemon/self_metrics.hpp"

#include "daemon/version.hpp"
#include "exporter/model/histogram.hpp"
#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include <fcntl.h>
#include <prometheus/metric_family.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets& lag_buckets() {
  static const Buckets buckets = {0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5};
  return buckets;
}

template <class Builder>
auto& family(prometheus::Registry& registry, Builder builder, const char* name, const char* help) {
  return builder.Name(name).Help(help).Register(registry);
}

auto& state_saved(prometheus::Registry& registry) {
  return family(registry, prometheus::BuildGauge(), "vitalsd_state_last_save_successful",
                "Whether the last attempt to save the state file succeeded.");
}
auto& state_saved_at(prometheus::Registry& registry) {
  return family(registry, prometheus::BuildGauge(),
                "vitalsd_state_last_save_success_timestamp_seconds",
                "When the state file was last saved, in Unix time.");
}

std::string_view type_of(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return "counter";
    case prometheus::MetricType::Gauge:
      return "gauge";
    case prometheus::MetricType::Summary:
      return "summary";
    case prometheus::MetricType::Histogram:
      return "histogram";
    default:
      return "unknown";
  }
}

// Appends one sample line; `bucket` is the last label of a bucket, le="0.5".
void append_sample(std::string& out, std::string_view name, std::string_view suffix,
                   const prometheus::ClientMetric& metric, double value,
                   std::string_view bucket = {}) {
  std::string labels;
  for (const auto& label : metric.label) append_label(labels, label.name, label.value);
  if (!bucket.empty()) (labels.empty() ? labels : labels += ',') += bucket;
  out += name;
  out += suffix;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
  append_number(out, value);
  out += '\n';
}

Exposition::Extra to_extra(const prometheus::MetricFamily& family) {
  Exposition::Extra extra;
  extra.name = family.name;
  extra.help = family.help;
  extra.type_name = type_of(family.type);
  for (const prometheus::ClientMetric& metric : family.metric) {
    switch (family.type) {
      case prometheus::MetricType::Counter:
        append_sample(extra.lines, family.name, "", metric, metric.counter.value);
        break;
      case prometheus::MetricType::Histogram: {
        for (const auto& bucket : metric.histogram.bucket) {
          append_sample(extra.lines, family.name, "_bucket", metric,
                        static_cast<double>(bucket.cumulative_count),
                        "le=\"" + bound_text(bucket.upper_bound) + '"');
        }
        append_sample(extra.lines, family.name, "_sum", metric, metric.histogram.sample_sum);
        append_sample(extra.lines, family.name, "_count", metric,
                      static_cast<double>(metric.histogram.sample_count));
        break;
      }
      default:
        append_sample(extra.lines, family.name, "", metric, metric.gauge.value);
        break;
    }
  }
  return extra;
}

void add_single(std::vector<Exposition::Extra>& out, const char* name, const char* help, Type type,
                double value) {
  Exposition::Extra extra{name, help, type, {}, {}};
  extra.lines = std::string(name) + ' ';
  append_number(extra.lines, value);
  extra.lines += '\n';
  out.push_back(std::move(extra));
}

// Returns the fields of /proc/self/stat by their number in proc(5); those before field 3 are 0.
std::vector<double> proc_stat() {
  // Stays open, because the figures matter most when no descriptor is left.
  static const int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  std::string line(4096, '\0');
  line.resize(
      static_cast<std::size_t>(std::max<ssize_t>(pread(file, line.data(), line.size(), 0), 0)));
  std::vector<double> fields(3, 0);
  const std::size_t name_end = line.rfind(')');  // the name may contain spaces and parentheses
  if (name_end == std::string::npos) return {};
  std::istringstream rest(line.substr(name_end + 1));
  std::string word;
  while (rest >> word) fields.push_back(std::strtod(word.c_str(), nullptr));
  return fields;
}

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::optional<double> open_descriptors() {
  struct stat directory{};
  // Needs no descriptor; 0 before Linux 6.2.
  if (stat("/proc/self/fd", &directory) == 0 && directory.st_size > 0) {
    return static_cast<double>(directory.st_size);
  }
  std::error_code failed;
  double count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", failed);
       !failed && it != std::filesystem::directory_iterator(); it.increment(failed)) {
    ++count;
  }
  if (failed) return std::nullopt;
  return count - 1;  // without the descriptor of the directory itself
}

// The process metrics that every Prometheus client library publishes.
void add_process_metrics(std::vector<Exposition::Extra>& out) {
  constexpr std::size_t kUtime = 14, kStime = 15, kStart = 22, kVirtual = 23, kResident = 24;
  const std::vector<double> stat = proc_stat();
  if (stat.size() > kResident) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    add_single(out, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
               Type::counter, (stat[kUtime] + stat[kStime]) / ticks);
    add_single(out, "process_resident_memory_bytes", "Resident memory size in bytes.", Type::gauge,
               stat[kResident] * static_cast<double>(sysconf(_SC_PAGESIZE)));
    add_single(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.", Type::gauge,
               stat[kVirtual]);
    // Not btime of /proc/stat, which is truncated to seconds: the process would appear to have
    // started before earlier events.
    static const double boot = seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME);
    add_single(out, "process_start_time_seconds",
               "Start time of the process since unix epoch in seconds.", Type::gauge,
               boot + stat[kStart] / ticks);
  }
  if (const std::optional<double> count = open_descriptors()) {
    add_single(out, "process_open_fds", "Number of open file descriptors.", Type::gauge, *count);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add_single(out, "process_max_fds", "Maximum number of open file descriptors.", Type::gauge,
               static_cast<double>(limit.rlim_cur));
  }
}

void append_series(Exposition::Extra& extra, std::string_view label, std::string_view value,
                   std::size_t count) {
  extra.lines += extra.name + '{';
  append_label(extra.lines, label, value);
  extra.lines += "} ";
  append_number(extra.lines, static_cast<double>(count));
  extra.lines += '\n';
}

void add_series_metrics(std::vector<Exposition::Extra>& out,
                        const Exposition::SeriesStatus& series) {
  Exposition::Extra all{"vitalsd_series",
                        "Series of all probes, including those that limits.series leaves out, on "
                        "/metrics/core and on /metrics/relay.",
                        Type::gauge,
                        {},
                        {}};
  const auto [kept, declared, foreign] = series.counts;
  append_series(all, "page", "core", kept + declared);
  append_series(all, "page", "relay", foreign);
  out.push_back(std::move(all));
  if (series.limit == 0) return;
  add_single(out, "vitalsd_series_limit", "The value of limits.series, if it is set.", Type::gauge,
             static_cast<double>(series.limit));
  Exposition::Extra dropped{"vitalsd_series_dropped",
                            "Series of a probe that limits.series leaves out of the page.",
                            Type::gauge,
                            {},
                            {}};
  for (const auto& [probe, count] : series.dropped) append_series(dropped, "probe", probe, count);
  if (!dropped.lines.empty()) out.push_back(std::move(dropped));
}

}  // namespace

SelfMetrics::SelfMetrics()
    : probes_(family(registry_, prometheus::BuildGauge(), "vitalsd_probes",
                     "Configured probes by kind.")),
      schedule_lag_(family(registry_, prometheus::BuildHistogram(), "vitalsd_schedule_lag_seconds",
                           "Time between the due time of a run and its start.")),
      loop_lag_(family(registry_, prometheus::BuildHistogram(), "vitalsd_loop_lag_seconds",
                       "Delay with which the probe loop served its timers.")
                    .Add({}, lag_buckets())),
      dropped_samples_(
          family(registry_, prometheus::BuildCounter(), "vitalsd_dropped_samples_total",
                 "Samples dropped because another sample had the same name and labels.")
              .Add({})),
      reload_successful_(family(registry_, prometheus::BuildGauge(),
                                "vitalsd_config_last_reload_successful",
                                "Whether the last attempt to load the configuration succeeded.")
                             .Add({})),
      reload_timestamp_(family(registry_, prometheus::BuildGauge(),
                               "vitalsd_config_last_reload_success_timestamp_seconds",
                               "When the current configuration was loaded, in Unix time.")
                            .Add({})),
      requests_(family(registry_, prometheus::BuildCounter(), "vitalsd_http_requests_total",
                       "Requests answered, by route and status.")),
      scrape_seconds_(family(registry_, prometheus::BuildHistogram(),
                             "vitalsd_scrape_duration_seconds",
                             "Time to assemble a page of metrics, including compression, by "
                             "path.")),
      scrape_bytes_(family(registry_, prometheus::BuildGauge(), "vitalsd_scrape_size_bytes",
                           "Size of the most recent scrape response as sent, by path.")),
      running_(family(registry_, prometheus::BuildGauge(), "vitalsd_running_probes",
                      "Runs in progress, including cancelled runs that have not ended.")
                   .Add({})),
      hanging_threads_(
          family(registry_, prometheus::BuildGauge(), "vitalsd_hanging_threads",
                 "Threads in a call that does not return, such as statvfs on a hanging mount.")
              .Add({})) {
  family(registry_, prometheus::BuildGauge(), "vitalsd_build_info",
         "Always 1; the labels identify the build.")
      .Add({{"version", std::string(kVersion)},
            {"revision", std::string(kRevision)},
            {"compiler", std::string(kCompiler)}})
      .Set(1);
}

void SelfMetrics::set_probes(std::string_view kind, std::size_t count) {
  probes_.Add({{"kind", std::string(kind)}}).Set(static_cast<double>(count));
}
prometheus::Histogram& SelfMetrics::schedule_lag(std::string_view kind) {
  return schedule_lag_.Add({{"kind", std::string(kind)}}, lag_buckets());
}
void SelfMetrics::observe_loop_lag(std::chrono::duration<double> lag) {
  loop_lag_.Observe(lag.count());
}
void SelfMetrics::count_dropped_samples(std::size_t count) {
  dropped_samples_.Increment(static_cast<double>(count));
}
void SelfMetrics::set_reload(bool successful) {
  reload_successful_.Set(successful ? 1 : 0);
  if (successful) reload_timestamp_.SetToCurrentTime();
}
void SelfMetrics::set_leader(bool leads) {
  family(registry_, prometheus::BuildGauge(), "vitalsd_leader",
         "Whether this replica is the leader and observes (1) or stands by (0).")
      .Add({})
      .Set(leads ? 1 : 0);
}
void SelfMetrics::set_state_saved(bool saved) {
  state_saved(registry_).Add({}).Set(saved ? 1 : 0);
  if (saved) state_saved_at(registry_).Add({}).SetToCurrentTime();
}
void SelfMetrics::forget_state() {
  for (auto* const gauges : {&state_saved(registry_), &state_saved_at(registry_)}) {
    gauges->Remove(&gauges->Add({}));
  }
}
void SelfMetrics::count_request(std::string_view route, int status) {
  requests_.Add({{"route", std::string(route)}, {"code", std::to_string(status)}}).Increment();
}
void SelfMetrics::observe_scrape(std::string_view route, std::chrono::duration<double> took,
                                 std::size_t bytes) {
  const prometheus::Labels labels = {{"route", std::string(route)}};
  scrape_seconds_.Add(labels, lag_buckets()).Observe(took.count());
  scrape_bytes_.Add(labels).Set(static_cast<double>(bytes));
}
void SelfMetrics::set_running(std::size_t runs) { running_.Set(static_cast<double>(runs)); }
void SelfMetrics::set_hanging_threads(std::size_t threads) {
  hanging_threads_.Set(static_cast<double>(threads));
}

std::vector<Exposition::Extra> SelfMetrics::collect(const Exposition::SeriesStatus& series) const {
  std::vector<Exposition::Extra> out;
  for (const prometheus::MetricFamily& family : registry_.Collect()) {
    if (!family.metric.empty()) out.push_back(to_extra(family));
  }
  add_process_metrics(out);
  add_series_metrics(out, series);
  return out;
}

}  // namespace vitalsd
