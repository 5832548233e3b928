// The cost of reading relayed pages: one page of 100,000 series, half of them of histograms, in
// pieces of 16 KiB as libcurl delivers them. Prints the CPU seconds of the thread for the best
// pass: "first" without a previous page, "changed" with a previous page of other values, "same"
// with a previous page of the same values.
//
//   bench_relay [PASSES]
//   bench_relay write FILE [SERIES [MORE]]    writes a page to FILE, with MORE added to each value
#include "exporter/model/foreign.hpp"
#include "probes/page/page_reader.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

#include <time.h>

using namespace vitalsd;

namespace {

constexpr std::size_t kPiece = 16 * 1024;

// At least `size` series; `more` is added to each value.
std::string make_page(std::size_t size, int more) {
  std::string page;
  std::size_t series = 0;
  for (int family = 0; series < size; ++family) {
    const std::string name = "application_requests_" + std::to_string(family);
    const auto labels = [](int i) {
      return "method=\"GET\",path=\"/api/v1/resource/" + std::to_string(i) +
             "\",status=\"200\",tenant=\"t" + std::to_string(i % 17) + '"';
    };
    page += "# HELP " + name + "_total Requests.\n# TYPE " + name + "_total counter\n";
    for (int i = 0; i < 140; ++i, ++series) {
      page += name + "_total{" + labels(i) + "} " + std::to_string(i * 7919 + more) + '\n';
    }
    page += "# HELP " + name + "_seconds Time.\n# TYPE " + name + "_seconds histogram\n";
    for (int i = 0; i < 10; ++i, series += 14) {
      int count = 0;
      for (const char* bound : {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5",
                                "5", "10", "+Inf"}) {
        page += name + "_seconds_bucket{" + labels(i) + ",le=\"" + bound + "\"} " +
                std::to_string(count += 3 * i + more) + '\n';
      }
      page += name + "_seconds_sum{" + labels(i) + "} " + std::to_string(count) + ".25\n";
      page += name + "_seconds_count{" + labels(i) + "} " + std::to_string(count) + '\n';
    }
  }
  return page;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

class Bench {
 public:
  // Returns the CPU seconds of a pass.
  double pass(std::string_view page, const Fragment& previous) {
    const double start = cpu_seconds();
    page::PageReader reader(rules_, families_, R"(probe="app",instance="10.0.0.1:8080")", false,
                            previous);
    for (std::string_view rest = page; !rest.empty();
         rest.remove_prefix(std::min(kPiece, rest.size()))) {
      reader.feed(rest.substr(0, kPiece));
    }
    result_ = reader.finish();
    return cpu_seconds() - start;
  }

  [[nodiscard]] const Fragment& result() const { return result_; }

 private:
  page::Rules rules_{.keep = {}, .drop = {}, .rename_labels = {}, .max_series = 1'000'000};
  ForeignFamilies families_;
  Fragment result_;
};

}  // namespace

int main(int argc, char** argv) {
  constexpr std::size_t kSeries = 100'000;
  if (argc > 2) {
    const std::size_t series = argc > 3 ? std::stoul(argv[3]) : kSeries;
    std::ofstream(argv[2]) << make_page(series, argc > 4 ? std::stoi(argv[4]) : 0);
    return 0;
  }
  const int passes = argc > 1 ? std::stoi(argv[1]) : 20;
  const std::string page = make_page(kSeries, 0);
  const std::string other = make_page(kSeries, 1);
  Bench bench;
  double first = 1;
  double changed = 1;
  double same = 1;
  for (int i = 0; i < passes; ++i) {
    first = std::min(first, bench.pass(other, nullptr));
    changed = std::min(changed, bench.pass(page, Fragment(bench.result())));
    same = std::min(same, bench.pass(page, Fragment(bench.result())));
  }
  std::size_t kept = 0;
  for (const FragmentFamily& family : *bench.result()) kept += family.lines.size();
  std::printf(
      "{\"page_bytes\": %zu, \"kept_bytes\": %zu, \"first\": %g, \"changed\": %g, \"same\": %g}\n",
      page.size(), kept, first, changed, same);
}
