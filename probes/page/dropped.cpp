#include "probes/page/dropped.hpp"

#include "exporter/model/text_format.hpp"

namespace vitalsd::page {

std::string DroppedLines::text() const {
  constexpr std::size_t kMaxText = 480;
  constexpr std::size_t kMaxHead = 40;  // "; 12345678901234567890 duplicate: …"
  const auto is_shown = [&](std::size_t i) {
    return counts_[i] > 0 && i != static_cast<std::size_t>(Dropped::count);
  };
  std::size_t reasons = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) reasons += is_shown(i) ? 1 : 0;
  std::string out;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (!is_shown(i)) continue;
    const auto& [names, page] = examples_[i];
    std::string examples;
    for (std::size_t n = 0; n < names.size(); ++n) {
      if (n > 0) examples += ", ";
      examples += n < kShown ? names[n] : "…";
    }
    if (!page.empty()) ((examples += " (") += page) += ')';
    if (!out.empty()) out += "; ";
    ((out += std::to_string(counts_[i])) += ' ') += kDroppedNames[i];
    (out += ": ") += shown_text(examples, kMaxText / reasons - kMaxHead);
  }
  return out;
}

}  // namespace vitalsd::page
