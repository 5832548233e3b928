// A page of 100,000 series: the cost of a scrape with vitalsd's exposition, and with
// prometheus-cpp's registry and serializer, which renders the page for each scrape. A process
// measures only one of them, so that their memory can be compared.
//
//   bench_scrape ours|prometheus-cpp
#include "exporter/model/exposition.hpp"
#include "exporter/model/ledger.hpp"
#include "exporter/model/sample_set.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

namespace {

constexpr int kProbes = 1'000;
constexpr int kSeries = 100;
constexpr int kScrapes = 21;
constexpr const char* kName = "kube_pod_container_resource_requests";
constexpr const char* kHelp = "What a container asks for.";

constexpr vitalsd::Metric kMetric({.name = kName, .help = kHelp}, "namespace", "pod", "resource");

double cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

// Current and maximum resident memory in MB.
double memory(const char* key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::strtod(line.c_str() + std::strlen(key), nullptr) / 1024;
  }
  return 0;
}

double value_of(int probe, int series) { return probe + series / 128.0; }
std::string pod_of(int probe, int series) {
  return "pod-" + std::to_string(probe) + '-' + std::to_string(series);
}

// Runs `scrape`, which returns the size of the page, and prints the median of its CPU time.
void measure(const std::function<std::size_t()>& scrape) {
  std::size_t bytes = 0;
  const double before = memory("VmRSS:");
  std::vector<double> times;
  for (int i = 0; i < kScrapes; ++i) {
    const double start = cpu_ms();
    bytes = scrape();
    times.push_back(cpu_ms() - start);
  }
  std::ranges::sort(times);
  std::printf("{\"bytes\": %zu, \"cpu_ms\": %.3f, \"more_mb\": %.1f}\n", bytes,
              times[times.size() / 2], memory("VmHWM:") - before);
}

void ours() {
  vitalsd::Exposition exposition;
  std::vector<std::unique_ptr<vitalsd::Ledger>> ledgers;
  for (int probe = 0; probe < kProbes; ++probe) {
    const std::string name = "probe-" + std::to_string(probe);
    ledgers.push_back(std::make_unique<vitalsd::Ledger>(exposition, name, "probe=\"" + name + '"'));
    vitalsd::SampleSet set;
    for (int series = 0; series < kSeries; ++series) {
      set.add(kMetric, value_of(probe, series), "vcci-production", pod_of(probe, series), "memory");
    }
    ledgers.back()->publish(set, std::nullopt, {}, {});
  }
  std::string chunk;  // a connection copies and sends chunks
  constexpr std::size_t kChunk = std::size_t{64} << 10;
  measure([&] {
    const auto page = exposition.page(vitalsd::Format::text, {}, {});
    for (const std::string_view piece : page->pieces()) {
      if (chunk.size() + piece.size() > kChunk) chunk.clear();
      chunk += piece;
    }
    return page->size();
  });
}

void prometheus_cpp() {
  prometheus::Registry registry;
  auto& family = prometheus::BuildGauge().Name(kName).Help(kHelp).Register(registry);
  for (int probe = 0; probe < kProbes; ++probe) {
    for (int series = 0; series < kSeries; ++series) {
      family
          .Add({{"probe", "probe-" + std::to_string(probe)},
                {"namespace", "vcci-production"},
                {"pod", pod_of(probe, series)},
                {"resource", "memory"}})
          .Set(value_of(probe, series));
    }
  }
  measure([&] { return prometheus::TextSerializer().Serialize(registry.Collect()).size(); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view which = argc == 2 ? argv[1] : "";
  if (which == "ours") {
    ours();
  } else if (which == "prometheus-cpp") {
    prometheus_cpp();
  } else {
    std::fputs("usage: bench_scrape ours|prometheus-cpp\n", stderr);
    return 2;
  }
  return 0;
}
