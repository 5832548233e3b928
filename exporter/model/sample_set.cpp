#include "exporter/model/sample_set.hpp"

#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace vitalsd {
namespace {

// Whether `text` is ASCII without NUL, which is printable as it is. Almost all labels are ASCII.
// The loop has no early exit, so that the compiler vectorizes it.
bool is_plain(std::string_view text) {
  unsigned other = 0;
  for (const char c : text) {
    other |= static_cast<unsigned>(c == 0) | static_cast<unsigned>((c & 0x80) != 0);
  }
  return other == 0;
}

// `constant_labels` with `instance` as the value of the last label. A quote in a value is escaped,
// so the searched text occurs only at the start of the label.
std::string with_instance(std::string_view constant_labels, std::string_view instance) {
  std::string labels(constant_labels.substr(0, constant_labels.rfind(",instance=\"")));
  append_label(labels, "instance", instance);
  return labels;
}

}  // namespace

Fragment to_fragment(Rendering rendering) {
  rendering.text.shrink_to_fit();
  const auto kept = std::make_shared<const Rendering>(std::move(rendering));
  auto families = std::make_shared<std::vector<FragmentFamily>>();
  families->reserve(kept->families.size());
  for (const Rendering::Family& family : kept->families) {
    families->push_back({family.metric, kept->lines(family), kept});
  }
  return families;
}

void Part::set_instance(std::string_view name) { instance_ = printable_utf8(name); }

void Part::add_values(const MetricInfo& metric, double value,
                      std::initializer_list<std::string_view> labels) {
  add_values(metric, value, std::span(labels.begin(), labels.size()));
}

void Part::add_values(const MetricInfo& metric, double value,
                      std::span<const std::string_view> labels) {
  assert(labels.size() == metric.label_count);
  if (std::isnan(value)) return;
  if (entries_.empty()) {  // enough for most probes
    entries_.reserve(16);
    labels_.reserve(128);
  }
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

void Part::render(Rendering& out, std::string_view constant_labels, std::size_t& duplicates,
                  RenderedLabels* rendered) const {
  duplicates += duplicates_;
  std::string own_labels;
  if (!instance_.empty()) {
    own_labels = with_instance(constant_labels, instance_);
    constant_labels = own_labels;
  }
  // Families in the order of their first sample. A linear search from the end is the fastest,
  // because a probe has few families and samples of one family are mostly consecutive.
  const std::size_t first = out.families.size();
  std::vector<std::pair<std::uint32_t, std::uint32_t>> order;  // family and entry
  order.reserve(entries_.size());
  std::size_t bytes = out.text.size();
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    std::size_t family = out.families.size();
    while (family > first && out.families[family - 1].metric != entry.metric) --family;
    if (family == first) {
      out.families.push_back({entry.metric, 0, 0});
      family = out.families.size();
    }
    order.emplace_back(family - 1, i);
    constexpr std::size_t kPerLine = 40;  // braces, number, names of labels
    bytes += entry.metric->name.size() + constant_labels.size() + entry.labels_size + kPerLine;
  }
  out.text.reserve(bytes);
  if (!std::ranges::is_sorted(order)) std::ranges::sort(order);
  for (auto next = order.begin(); next != order.end();) {
    Rendering::Family& family = out.families[next->first];
    const auto begin = next;
    const auto end = std::ranges::find_if(
        begin, order.end(), [&](const auto& place) { return place.first != begin->first; });
    family.begin = out.text.size();
    std::unordered_set<std::string_view> labels_of_part;
    auto& seen = rendered != nullptr ? (*rendered)[{family.metric, instance_}] : labels_of_part;
    const auto is_duplicate = [&](const Sample& sample) {
      constexpr auto kFew = 16;
      if (rendered != nullptr || end - begin > kFew) return !seen.insert(sample.labels).second;
      return std::any_of(begin, next, [&](const auto& earlier) {
        return this->sample(earlier.second).labels == sample.labels;
      });
    };
    for (; next != end; ++next) {
      const Sample current = sample(next->second);
      if (is_duplicate(current)) {
        ++duplicates;
      } else {
        append_line(out.text, *current.metric, constant_labels, current.labels, current.value);
      }
    }
    family.size = out.text.size() - family.begin;
  }
}

Part& SampleSet::part(std::string_view key) {
  const auto it = parts_.find(key);
  return it != parts_.end() ? it->second : parts_[printable_utf8(key)];
}

// A histogram is added as a fragment, because its lines have several suffixes.
void SampleSet::add_histogram(const MetricInfo& metric, const HistogramCounts& counts,
                              std::span<const std::string_view> labels) {
  std::string all_labels = constant_labels_;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    append_label(all_labels, metric.label_names[i], printable_utf8(labels[i]));
  }
  Rendering lines;
  counts.render(lines.text, metric.name, all_labels);
  lines.families.push_back({&metric, 0, lines.text.size()});
  attach(to_fragment(std::move(lines)));
}

void SampleSet::conceal(std::string secret) {
  constexpr std::size_t kMinLength = 4;
  if (secret.size() < kMinLength || std::ranges::find(secrets_, secret) != secrets_.end()) return;
  secrets_.push_back(std::move(secret));
  // Longer secrets are replaced first, because one secret may be part of another.
  std::ranges::sort(secrets_, std::ranges::greater{}, &std::string::size);
}

std::optional<Failure> SampleSet::overall(const std::optional<Failure>& thrown) const {
  std::optional<Failure> failure = first_failure(thrown);
  if (!failure) return failure;
  // A detail may have megabytes, so it is cut before the search. The last bytes are removed as
  // well, because they may be the start of a secret.
  constexpr std::size_t kMaxDetail = 500;
  constexpr std::size_t kMaxSearched = 4096;
  const std::size_t longest = secrets_.empty() ? 0 : secrets_.front().size();
  std::string& detail = failure->detail;
  const bool cut = detail.size() > kMaxSearched + longest;
  if (cut) detail.resize(kMaxSearched + longest);
  for (const std::string& secret : secrets_) {
    for (std::size_t at = detail.find(secret); at != std::string::npos;
         at = detail.find(secret, at)) {
      detail.replace(at, secret.size(), "***");
      at += 3;
    }
  }
  if (cut) detail.resize(detail.size() - std::min(longest, detail.size()));
  detail = shown_text(detail, kMaxDetail);
  return failure;
}

std::optional<Failure> SampleSet::first_failure(const std::optional<Failure>& thrown) const {
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
