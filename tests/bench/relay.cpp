// The cost of reading relayed pages: one page of 100,000 series, half of them of histograms, in
// pieces of 16 KiB as libcurl delivers them.
//
//   bench_relay [FILE]    writes the page to FILE, for other parsers
#include "exporter/model/foreign.hpp"
#include "probes/page/page_reader.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

using namespace vitalsd;

namespace {

constexpr std::size_t kSeries = 100'000;
constexpr std::size_t kPiece = 16 * 1024;
constexpr int kPasses = 20;

std::string make_page() {
  std::string page;
  std::size_t series = 0;
  for (int family = 0; series < kSeries; ++family) {
    const std::string name = "application_requests_" + std::to_string(family);
    const auto labels = [](int i) {
      return "method=\"GET\",path=\"/api/v1/resource/" + std::to_string(i) +
             "\",status=\"200\",tenant=\"t" + std::to_string(i % 17) + '"';
    };
    page += "# HELP " + name + "_total Requests.\n# TYPE " + name + "_total counter\n";
    for (int i = 0; i < 140; ++i, ++series) {
      page += name + "_total{" + labels(i) + "} " + std::to_string(i * 7919) + '\n';
    }
    page += "# HELP " + name + "_seconds Time.\n# TYPE " + name + "_seconds histogram\n";
    for (int i = 0; i < 10; ++i, series += 14) {
      int count = 0;
      for (const char* bound : {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5",
                                "5", "10", "+Inf"}) {
        page += name + "_seconds_bucket{" + labels(i) + ",le=\"" + bound + "\"} " +
                std::to_string(count += 3 * i) + '\n';
      }
      page += name + "_seconds_sum{" + labels(i) + "} " + std::to_string(count) + ".25\n";
      page += name + "_seconds_count{" + labels(i) + "} " + std::to_string(count) + '\n';
    }
  }
  return page;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string page = make_page();
  if (argc > 1) std::ofstream(argv[1]) << page;
  const page::Rules rules{.keep = {}, .drop = {}, .rename_labels = {}, .max_series = 1'000'000};
  ForeignFamilies families;
  Fragment previous;
  double best = 1e9;
  std::size_t kept = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    page::PageReader reader(rules, families, R"(probe="app",instance="10.0.0.1:8080")", false,
                            previous);
    for (std::string_view rest = page; !rest.empty();
         rest.remove_prefix(std::min(kPiece, rest.size()))) {
      reader.feed(rest.substr(0, kPiece));
    }
    previous = reader.finish();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
    kept = 0;
    for (const FragmentFamily& family : *previous) kept += family.lines.size();
  }
  std::printf("relay: page of %.1f MB, %.1f ms a pass, %.0f MB/s, %.1f MB of lines\n",
              static_cast<double>(page.size()) / 1e6, best * 1e3,
              static_cast<double>(page.size()) / best / 1e6, static_cast<double>(kept) / 1e6);
}
