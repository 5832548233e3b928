// The page of a relayed target: the result must not depend on the pieces, and every line must be
// valid.
#include "exporter/model/foreign.hpp"
#include "probes/error.hpp"
#include "probes/page/page_reader.hpp"
#include "probes/page/sample_line.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>

using namespace vitalsd;

namespace {

using Families = std::map<std::string, std::string, std::less<>>;

std::optional<Families> read(std::string_view text, bool openmetrics, std::size_t piece) {
  const page::Rules rules;
  ForeignFamilies families;
  families.declare("probe_success", Type::gauge);
  page::PageReader reader(rules, families, R"(probe="p",instance="i:1")", openmetrics, nullptr);
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    reader.feed(text.substr(0, piece));
  }
  Fragment fragment;
  try {
    fragment = reader.finish();
  } catch (const ProbeError&) {  // truncated
    return std::nullopt;
  }
  Families out;
  if (!fragment) return out;
  for (const FragmentFamily& family : *fragment) {
    out[std::string(family.metric->name)] +=
        std::string(type_name(family.metric->type)) + '\n' + std::string(family.lines);
  }
  return out;
}

void check(std::string_view family, std::string_view text) {
  text.remove_prefix(text.find('\n') + 1);
  page::SampleLine line;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) std::abort();
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(end + 1);
    const bool is_type = one.find('{') == std::string_view::npos;  // a second fragment of the name
    if (is_type) continue;
    if (!line.parse(one) || !line.name().starts_with(family)) std::abort();
    if (line.labels().size() < 2 || line.labels()[0].name != "probe") std::abort();
    for (std::size_t i = 0; i < line.labels().size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (line.labels()[i].name == line.labels()[j].name) std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool openmetrics = text.ends_with("# EOF\n");
  const auto whole = read(text, openmetrics, size);
  if (whole != read(text, openmetrics, size % 7 + 1)) std::abort();
  if (whole) {
    for (const auto& [name, lines] : *whole) check(name, lines);
  }
  return 0;
}
