// Label values and names of any bytes: the page stays valid UTF-8, one line per sample.
#include "exporter/model/sample_set.hpp"
#include "exporter/model/text_format.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static constexpr Metric kMetric({.name = "fuzz_value", .help = "A value of the fuzzer."},
                                  "label");
  SampleSet set;
  set.add(kMetric, static_cast<double>(size), text);
  std::size_t duplicates = 0;
  Rendering rendering;
  set.render(rendering, "probe=\"fuzz\"", duplicates);
  const std::string& line = rendering.text;
  if (line.find('\n') != line.size() - 1) std::abort();
  const std::string printable = printable_utf8(text);
  if (printable_utf8(printable) != printable) std::abort();
  return 0;
}
