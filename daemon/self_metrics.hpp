// Metrics of the process itself, kept in a registry of prometheus-cpp and rendered by
// exporter/model/text_format. Jobs publish the series of probes. Any thread.
#pragma once

#include "exporter/model/exposition.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace vitalsd {

class SelfMetrics {
 public:
  SelfMetrics();

  void set_probes(std::string_view kind, std::size_t count);
  /// The histogram of a kind: seconds between due time and start of a run. It exists as long as
  /// this object, so a job calls this only once.
  prometheus::Histogram& schedule_lag(std::string_view kind);
  void observe_loop_lag(std::chrono::duration<double> lag);
  void count_dropped_samples(std::size_t count);
  void set_reload(bool successful);
  /// Sets whether this replica holds the lease. The series does not exist before the first call.
  void set_leader(bool leads);
  /// Sets whether the last attempt to save the state succeeded. The series does not exist before
  /// the first call.
  void set_state_saved(bool saved);
  /// Removes the series of set_state_saved().
  void forget_state();
  void count_request(std::string_view route, int status);
  void observe_scrape(std::string_view route, std::chrono::duration<double> took,
                      std::size_t bytes);
  void set_running(std::size_t runs);
  void set_hanging_threads(std::size_t threads);

  /// Returns all metrics, including those of the process (process_cpu_seconds_total etc.), as
  /// families of the page.
  [[nodiscard]] std::vector<Exposition::Extra> collect(
      const Exposition::SeriesStatus& series = {}) const;

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Gauge>& probes_;
  prometheus::Family<prometheus::Histogram>& schedule_lag_;
  prometheus::Histogram& loop_lag_;
  prometheus::Counter& dropped_samples_;
  prometheus::Gauge& reload_successful_;
  prometheus::Gauge& reload_timestamp_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& scrape_seconds_;
  prometheus::Family<prometheus::Gauge>& scrape_bytes_;
  prometheus::Gauge& running_;
  prometheus::Gauge& hanging_threads_;
};

}  // namespace vitalsd
