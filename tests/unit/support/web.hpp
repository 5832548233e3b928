// The web server's options without a daemon: samples of two probes, and health and readiness that a
// test can change.
#pragma once

#include "exporter/model/exposition.hpp"
#include "exporter/model/ledger.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/sample_set.hpp"
#include "exporter/web/options.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::test {

inline constexpr Metric kWebReading({.name = "connections", .help = "Open connections."});
inline constexpr Metric kWebRows({.name = "table_rows", .help = "Rows of a table."}, "table");
inline constexpr Metric kWebFact({.name = "cert_expiry",
                                  .help = "When the certificate expires.",
                                  .keep = Keep::fact});

class WebDaemon {
 public:
  WebDaemon() {
    for (Ledger* ledger : {&db_, &cache_}) {
      SampleSet set;
      set.add(kWebReading, 7);
      set.add(kWebFact, 1767225600);
      ledger->publish(set, std::nullopt, {}, {});
    }
    options.address = "127.0.0.1";
    options.version = "1.2.3";
    options.exposition = &exposition_;
    options.self_metrics = [] {
      return std::vector<Exposition::Extra>{
          {"vitalsd_probes", "Configured probes.", Type::gauge, "vitalsd_probes 2\n", {}}};
    };
    options.probes = [this] { return views; };
    options.probe = [this](std::string_view name) {
      const auto found = std::ranges::find(views, name, &ProbeView::name);
      return found == views.end() ? std::nullopt : std::optional(*found);
    };
    options.events = [this](std::string_view name) {
      ProbeEvents of_name;
      for (const auto& event : events) {
        if (name.empty() || event->probe == name) of_name.push_back(event);
      }
      return of_name;
    };
    options.healthy = [this] { return healthy.load(); };
    options.ready = [this] { return ready.load(); };
    options.on_request = [this](std::string_view, int) { ++requests; };
    options.on_scrape = [this](std::string_view, std::chrono::duration<double>, std::size_t bytes) {
      scraped_bytes = bytes;
    };
  }

  /// Publishes this number of samples with this value for the probe "db". Each sample line has at
  /// least 128 bytes.
  void publish(std::size_t samples, double value) {
    SampleSet set;
    for (std::size_t i = 0; i < samples; ++i) {
      set.add(kWebRows, value, std::to_string(i) + std::string(100, 'x'));
    }
    db_.publish(set, std::nullopt, {}, {});
  }

  std::atomic<bool> healthy = true;
  std::atomic<bool> ready = true;
  std::atomic<int> requests = 0;
  std::atomic<std::size_t> scraped_bytes = 0;
  std::vector<ProbeView> views;  // set it before the server starts
  ProbeEvents events;            // likewise
  WebOptions options;

 private:
  Exposition exposition_;
  Ledger db_{exposition_, "db", R"(probe="db")"};
  Ledger cache_{exposition_, "cache", R"(probe="cache")"};
};

}  // namespace vitalsd::test
