#include "exporter/model/histogram.hpp"

#include "exporter/model/text_format.hpp"

#include <limits>

namespace vitalsd {

std::string bound_text(double bound) {
  std::string text;
  append_number(text, bound);
  if (text.find_first_of(".eIN") == std::string::npos) text += ".0";
  return text;
}

void HistogramCounts::render(std::string& out, std::string_view name,
                             const std::string& labels) const {
  const auto line = [&](std::string_view suffix, const std::string& all_labels, double value) {
    ((((out += name) += suffix) += '{') += all_labels) += "} ";
    append_number(out, value);
    out += '\n';
  };
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    count += counts_[i];
    std::string with_bound = labels;
    append_label(
        with_bound, "le",
        bound_text(i < bounds_.size() ? bounds_[i] : std::numeric_limits<double>::infinity()));
    line("_bucket", with_bound, static_cast<double>(count));
  }
  line("_sum", labels, sum_);
  line("_count", labels, static_cast<double>(count));
}

}  // namespace vitalsd
