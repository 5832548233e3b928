#include "exporter/model/sample_set.hpp"

#include "exporter/model/text_format.hpp"
#include "exporter/model/text_writer.hpp"

#include <algorithm>
#include <bitset>
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

// The maximum size of a line in bytes. `labels` is the size of its own label values.
std::size_t max_line(const MetricInfo& metric, std::string_view constant_labels,
                     std::size_t labels) {
  constexpr std::size_t kPunctuation = 4;  // of the line without its own labels, and of each label
  std::size_t size = metric.name.size() + constant_labels.size() + kPunctuation + kMaxNumber;
  for (std::size_t i = 0; i < metric.label_count; ++i) {
    size += metric.label_names[i].size() + kPunctuation;
  }
  return size + 2 * labels;  // escaping at most doubles a value
}

// Whether a metric has been added: "no" is certain, "yes" must be verified.
class MetricFilter {
 public:
  void add(const MetricInfo* metric) { bits_.set(bit_of(metric)); }
  [[nodiscard]] bool may_contain(const MetricInfo* metric) const {
    return bits_.test(bit_of(metric));
  }

 private:
  static std::size_t bit_of(const MetricInfo* metric) {
    constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;  // spreads addresses over the upper bits
    return (std::hash<const MetricInfo*>{}(metric)*kFactor) >> (64 - 8);
  }
  std::bitset<256> bits_;
};

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
  checks_.push_back({&check, reading, std::string(object), thresholds, Status::ok});
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
  const std::size_t before = out.size();
  const auto write = [&](char* text, std::size_t) {
    char* at = write_text(text + before, metric.name);
    *at++ = '{';
    at = write_text(at, constant_labels);
    bool is_first = constant_labels.empty();
    for (std::size_t i = 0; i < metric.label_count; ++i) {
      const std::size_t end = labels.find('\0');
      if (!std::exchange(is_first, false)) *at++ = ',';
      at = write_text(at, metric.label_names[i]);
      at = write_text(at, "=\"");
      at = write_label_value(at, labels.substr(0, end));
      *at++ = '"';
      labels.remove_prefix(end + 1);
    }
    at = write_text(at, "} ");
    at = write_number(at, value);
    *at++ = '\n';
    return at - text;
  };
  out.resize_and_overwrite(before + max_line(metric, constant_labels, labels.size()), write);
}

void Part::render(Rendering& out, std::string_view constant_labels, std::size_t& duplicates,
                  RenderedLabels* rendered) const {
  duplicates += duplicates_;
  std::string own_labels;
  if (!instance_.empty()) {
    own_labels = with_instance(constant_labels, instance_);
    constant_labels = own_labels;
  }
  // The entries of each family, linked in their order. Families in order of first appearance.
  struct Group {
    std::uint32_t first;
    std::uint32_t last;
    std::uint32_t count;
  };
  const std::size_t first_family = out.families.size();
  std::vector<Group> groups;
  groups.reserve(entries_.size());
  // The index of the next entry of the same family. The value of the last entry is not used.
  std::vector<std::uint32_t> next(entries_.size());
  MetricFilter known;
  std::size_t bytes = out.text.size();
  std::size_t group = 0;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    bytes += max_line(*entry.metric, constant_labels, entry.labels_size);
    const auto has_metric = [&](const Rendering::Family& family) {
      return family.metric == entry.metric;
    };
    const std::span families = std::span(out.families).subspan(first_family);
    // Samples of one family, or of the rows of a table, follow each other.
    if (group < families.size() && !has_metric(families[group])) ++group;
    if (group >= families.size() || !has_metric(families[group])) {
      const auto found = known.may_contain(entry.metric)
                             ? std::ranges::find_if(families, has_metric)
                             : families.end();
      group = static_cast<std::size_t>(found - families.begin());
    }
    if (group == families.size()) {
      known.add(entry.metric);
      out.families.push_back({entry.metric, 0, 0});
      groups.push_back({i, i, 1});
    } else {
      next[groups[group].last] = i;
      groups[group].last = i;
      ++groups[group].count;
    }
  }
  out.text.reserve(bytes);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    Rendering::Family& family = out.families[first_family + i];
    family.begin = out.text.size();
    const auto& [first, last, count] = groups[i];
    std::optional<std::unordered_set<std::string_view>> labels_of_part;
    auto* seen = rendered != nullptr ? &(*rendered)[{family.metric, instance_}] : nullptr;
    constexpr std::uint32_t kFew = 16;
    if (seen == nullptr && count > kFew) seen = &labels_of_part.emplace();
    const auto is_duplicate = [&](std::uint32_t place, std::string_view labels) {
      if (seen != nullptr) return !seen->insert(labels).second;
      for (std::uint32_t earlier = first; earlier != place; earlier = next[earlier]) {
        if (sample(earlier).labels == labels) return true;
      }
      return false;
    };
    std::uint32_t place = first;
    for (std::uint32_t n = 0; n < count; ++n, place = next[place]) {
      const Sample current = sample(place);
      if (is_duplicate(place, current.labels)) {
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
  secrets_.push_back(secret);
  // Longer secrets are replaced first, because one secret may be part of another.
  std::ranges::sort(secrets_, std::ranges::greater{}, &std::string::size);
  // config::quoted() shows "http://TEXT@REST" as "http://***@REST", also if the '@' is in a secret.
  const std::size_t at = secret.rfind('@');
  if (at != std::string::npos && at + 1 < secret.size()) conceal("***" + secret.substr(at));
}

namespace {

// The start of a secret that is replaced wherever it occurs.
constexpr std::size_t kStart = 16;

// The size of the longest start of the secret at the end of the text, less than kStart.
std::size_t start_at_end(std::string_view text, std::string_view secret) {
  std::size_t size = std::min({kStart, secret.size(), text.size() + 1}) - 1;
  while (size > 0 && !text.ends_with(secret.substr(0, size))) --size;
  return size;
}

// Removes the start of a secret before each "…", the mark of a text that has been cut.
void conceal_cut(std::string& text, const std::string& secret) {
  constexpr std::string_view kCut = "…";
  for (std::size_t at = text.find(kCut); at != std::string::npos; at = text.find(kCut, at)) {
    const std::size_t size = start_at_end(std::string_view(text).substr(0, at), secret);
    if (size > 0) text.replace(at - size, size, "***");
    at = text.find(kCut, at - size) + kCut.size();
  }
}

}  // namespace

// A text may have megabytes, so it is cut before the search. The last bytes are removed as well,
// because they may be the start of a secret. Probes cut texts too, with shown_text() or
// config::quoted(), which mark the place: the start of a secret there is replaced, and the start of
// a long secret wherever it occurs.
std::string SampleSet::without_secrets(std::string_view text, std::size_t max_size) const {
  const std::size_t longest = secrets_.empty() ? 0 : secrets_.front().size();
  const bool cut = text.size() > max_size + longest;
  std::string out(text.substr(0, max_size + longest));
  for (const std::string& secret : secrets_) {
    const std::string_view start = std::string_view(secret).substr(0, kStart);
    for (std::size_t at = out.find(start); at != std::string::npos; at = out.find(start, at)) {
      const auto difference = std::ranges::mismatch(std::string_view(out).substr(at), secret);
      out.replace(at, static_cast<std::size_t>(difference.in2 - secret.begin()), "***");
      at += 3;
    }
  }
  for (const std::string& secret : secrets_) conceal_cut(out, secret);
  if (cut) out.resize(out.size() - std::min(longest, out.size()));
  return out;
}

std::string SampleSet::shown(std::string_view text, std::size_t max_size) const {
  constexpr std::size_t kSearched = 8;  // concealing may shorten the text
  return shown_text(without_secrets(text, kSearched * max_size), max_size);
}

void SampleSet::show(std::string_view lines) {
  if (!message_.empty()) message_ += '\n';
  message_ += lines;
}

std::string SampleSet::message() const {
  constexpr std::size_t kMaxMessage = 10'000;
  return shown_lines(without_secrets(message_, 2 * kMaxMessage), kMaxMessage);
}

std::optional<Failure> SampleSet::overall(const std::optional<Failure>& thrown) const {
  std::optional<Failure> failure = first_failure(thrown);
  if (failure) failure->detail = shown(failure->detail);
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
