// vitalsd's metrics about itself: process-wide, few, kept in prometheus-cpp's registry and rendered
// by our writer. Series of single probes are not here, they belong to the jobs. Any thread.
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
  /// How late runs begin; one series a kind, looked up once by each job.
  prometheus::Histogram& schedule_lag(std::string_view kind);
  void observe_loop_lag(std::chrono::duration<double> lag);
  void count_dropped_samples(std::size_t count);
  void set_reload(bool successful);
  /// Whether we hold the lease; where there is none there is no series.
  void set_leader(bool leads);
  /// Whether the state was saved last time; without a state directory there is no series.
  void set_state_saved(bool saved);
  void count_request(std::string_view route, int status);
  void observe_scrape(std::chrono::duration<double> took, std::size_t bytes);
  void set_running(std::size_t runs);
  void set_hanging_threads(std::size_t threads);

  /// All of them with the process's own (process_cpu_seconds_total and its like), as families of
  /// the page.
  [[nodiscard]] std::vector<Exposition::Extra> collect() const;

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Gauge>& probes_;
  prometheus::Family<prometheus::Histogram>& schedule_lag_;
  prometheus::Histogram& loop_lag_;
  prometheus::Counter& dropped_samples_;
  prometheus::Gauge& reload_successful_;
  prometheus::Gauge& reload_timestamp_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Histogram& scrape_seconds_;
  prometheus::Gauge& scrape_bytes_;
  prometheus::Gauge& running_;
  prometheus::Gauge& hanging_threads_;
};

}  // namespace vitalsd
