#include "exporter/model/sample_set.hpp"

#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace vitalsd {
namespace {

// Plain ASCII, which is nearly all labels, needs no copy to be made printable.
bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c != 0 && (c & 0x80) == 0; });
}

}  // namespace

void Part::add_values(const MetricInfo& metric, double value,
                      std::initializer_list<std::string_view> labels) {
  add_values(metric, value, std::span(labels.begin(), labels.size()));
}

void Part::add_values(const MetricInfo& metric, double value,
                      std::span<const std::string_view> labels) {
  assert(labels.size() == metric.label_count);
  if (std::isnan(value)) return;
  const auto at = static_cast<std::uint32_t>(labels_.size());
  for (const std::string_view label : labels) {
    labels_ += is_plain(label) ? label : std::string_view(printable_utf8(label));
    labels_ += '\0';
  }
  entries_.push_back({&metric, value, at, static_cast<std::uint32_t>(labels_.size()) - at});
}

void Part::check(const Check& check, double reading, std::string_view object,
                 const Thresholds& thresholds) {
  checks_.push_back({&check, reading, printable_utf8(object), thresholds, Status::ok});
}

void Part::fail(Reason reason, std::string detail) {
  if (!failure_) failure_ = Failure{reason, std::move(detail)};
}

Sample Part::sample(std::size_t index) const {
  const Entry& entry = entries_[index];
  return {entry.metric, entry.value,
          std::string_view(labels_).substr(entry.labels_at, entry.labels_size)};
}

void append_line(std::string& out, const MetricInfo& metric, std::string_view constant_labels,
                 std::string_view labels, double value) {
  out += metric.name;
  out += '{';
  out += constant_labels;
  for (std::size_t i = 0; i < metric.label_count; ++i) {
    const std::size_t end = labels.find('\0');
    append_label(out, metric.label_names[i], labels.substr(0, end));
    labels.remove_prefix(end + 1);
  }
  out += "} ";
  append_number(out, value);
  out += '\n';
}

std::vector<FamilyLines> Part::render(std::string_view constant_labels, std::size_t& duplicates,
                                      RenderedLabels* rendered) const {
  // Families in order of first appearance; a probe has few, so a linear look-up from the back is
  // the fastest there is: samples of one family come in runs.
  std::vector<FamilyLines> families;
  std::vector<std::vector<std::uint32_t>> members;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    std::size_t family = families.size();
    while (family > 0 && families[family - 1].metric != entries_[i].metric) --family;
    if (family == 0) {
      families.push_back({entries_[i].metric, {}});
      members.emplace_back();
      family = families.size();
    }
    members[family - 1].push_back(i);
  }
  for (std::size_t f = 0; f < families.size(); ++f) {
    std::unordered_set<std::string_view> of_this_part;
    const bool may_double = rendered != nullptr || members[f].size() > 1;
    auto& seen = rendered != nullptr ? (*rendered)[families[f].metric] : of_this_part;
    for (const std::uint32_t i : members[f]) {
      const Sample s = sample(i);
      if (may_double && !seen.insert(s.labels).second) {
        ++duplicates;
        continue;
      }
      append_line(families[f].lines, *s.metric, constant_labels, s.labels, s.value);
    }
  }
  return families;
}

Part& SampleSet::part(std::string_view key) {
  const auto it = parts_.find(key);
  return it != parts_.end() ? it->second : parts_[printable_utf8(key)];
}

std::optional<Failure> SampleSet::overall(const std::optional<Failure>& thrown) const {
  if (thrown) return thrown;
  if (failure()) return failure();
  std::size_t failed = 0;
  std::optional<Failure> first;
  for (const auto& [key, part] : parts_) {
    if (!part.failure()) continue;
    if (++failed == 1) first = Failure{part.failure()->reason, key + ": " + part.failure()->detail};
  }
  if (failed > 1) first->detail += " (and " + std::to_string(failed - 1) + " more)";
  return first;
}

}  // namespace vitalsd
