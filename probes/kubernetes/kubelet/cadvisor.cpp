#include "probes/kubernetes/kubelet/cadvisor.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <system_error>
#include <tuple>
#include <utility>

namespace vitalsd::kubernetes {

namespace {

constexpr std::size_t kMaxBytes = std::size_t{128} << 20;  // a container has some KiB
constexpr std::size_t kMaxLine = std::size_t{64} << 10;
constexpr std::size_t kMaxStored = std::size_t{64} << 20;

constexpr std::string_view kStartFamily = "container_start_time_seconds";
constexpr std::string_view kErrorFamily = "container_scrape_error";
constexpr std::string_view kLimitFamily = "container_spec_memory_limit_bytes";
/// A limit from here on means no limit. cAdvisor uses the same bound; cgroup v1 reports 2^63 - 4096
/// without a limit.
constexpr double kNoLimit = 0x1p62;

constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
}

std::string_view take_until(std::string_view& text, std::string_view any_of) {
  const std::string_view taken = text.substr(0, text.find_first_of(any_of));
  text.remove_prefix(taken.size());
  return taken;
}

/// The whole text as a number, including NaN and +Inf; empty if it is not a number.
std::optional<double> to_double(std::string_view text) {
  if (text.starts_with("+") && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// A label that the reader uses. `value` points into the line, or into `buffer` if it was escaped.
struct Label {
  std::string_view name;
  std::string_view value{};
  std::string buffer{};
};

/// Takes a quoted label value from the front of `text`. `into` may be null. Returns false if a
/// quote is missing or an escape is invalid.
bool take_value(std::string_view& text, Label* into) {
  if (!text.starts_with('"')) return false;
  text.remove_prefix(1);
  const std::string_view plain = take_until(text, "\\\"");
  if (text.starts_with('"')) {
    if (into != nullptr) into->value = plain;
    text.remove_prefix(1);
    return true;
  }
  std::string value(plain);
  while (text.size() >= 2 && text[0] == '\\') {
    const char c = text[1];
    if (c != '\\' && c != '"' && c != 'n') return false;
    value += c == 'n' ? '\n' : c;
    text.remove_prefix(2);
    value += take_until(text, "\\\"");
  }
  if (!text.starts_with('"')) return false;
  text.remove_prefix(1);
  if (into != nullptr) {
    into->buffer = std::move(value);
    into->value = into->buffer;
  }
  return true;
}

}  // namespace

CadvisorReader::CadvisorReader(std::span<const std::string_view> families) : families_(families) {}

void CadvisorReader::fail(const std::string& why) const {
  throw ProbeError(Reason::protocol,
                   "/metrics/cadvisor, line " + std::to_string(line_number_) + ": " + why);
}

void CadvisorReader::feed(std::string_view bytes) {
  if (bytes.size() > kMaxBytes - size_) fail("the page has more than 128 MiB");
  size_ += bytes.size();
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (end == std::string_view::npos || !partial_line_.empty()) {
      if (partial_line_.size() + piece.size() > kMaxLine) {
        ++line_number_;
        fail("longer than 64 KiB");
      }
      partial_line_ += piece;
      if (end == std::string_view::npos) return;
      read_line(partial_line_);
      partial_line_.clear();
    } else {
      read_line(piece);
    }
    bytes.remove_prefix(end + 1);
  }
}

void CadvisorReader::read_line(std::string_view line) {
  ++line_number_;
  if (line.size() > kMaxLine) fail("longer than 64 KiB");
  if (line.empty() || line.starts_with('#')) return;
  const std::string_view family =
      line.substr(0, std::min(line.find_first_not_of(kNameCharacters), line.size()));
  if (family.empty()) fail("expected a metric name");
  if (family != family_) {
    family_ = family;
    column_ = static_cast<std::size_t>(std::ranges::find(families_, family) - families_.begin());
    is_start_ = family == kStartFamily;
    is_limit_ = family == kLimitFamily;
    is_error_ = family == kErrorFamily;
  }
  if (column_ < families_.size() || is_start_ || is_error_) read_row(line.substr(family.size()));
}

void CadvisorReader::read_row(std::string_view text) {
  std::array<Label, 7> labels = {
      {{"namespace"}, {"pod"}, {"container"}, {"image"}, {"name"}, {"id"}, {"cpu"}}};
  const auto& [namespace_name, pod, container, image, name, id, cpu] = labels;

  skip_blanks(text);
  if (text.starts_with('{')) {
    text.remove_prefix(1);
    skip_blanks(text);
    while (!text.starts_with('}')) {
      const std::string_view label_name = take_until(text, "= \t,{}\"");
      skip_blanks(text);
      if (label_name.empty() || !text.starts_with('=')) fail("expected a label");
      text.remove_prefix(1);
      skip_blanks(text);
      const auto label = std::ranges::find(labels, label_name, &Label::name);
      if (!take_value(text, label == labels.end() ? nullptr : &*label)) {
        fail("the value of label " + std::string(label_name.substr(0, 64)) +
             " is not a quoted string");
      }
      skip_blanks(text);
      if (text.starts_with(',')) {
        text.remove_prefix(1);
        skip_blanks(text);
      } else if (!text.starts_with('}')) {
        fail("expected ',' or '}' after a label");
      }
    }
    text.remove_prefix(1);
  }

  skip_blanks(text);
  const auto value = to_double(take_until(text, " \t"));
  skip_blanks(text);
  const std::string_view timestamp = take_until(text, " \t");
  skip_blanks(text);
  if (!value) fail("the value is not a number");
  if (!text.empty() || (!timestamp.empty() && !to_double(timestamp)))
    fail("unexpected text after the value");

  if (is_error_) {
    is_incomplete_ = is_incomplete_ || *value != 0;
    return;
  }
  if (container.value.empty() || container.value == "POD") return;
  if (!cpu.value.empty() && cpu.value != "total") return;
  if (!std::isfinite(*value) || (is_limit_ && (*value <= 0 || *value >= kNoLimit))) return;
  Instance& row = instance(
      {namespace_name.value, pod.value, container.value, image.value, name.value, id.value});
  if (is_start_) row.started = value;
  if (column_ < families_.size()) row.metrics.values[column_] = value;
}

CadvisorReader::Instance& CadvisorReader::instance(const Labels& labels) {
  key_.clear();
  for (const std::string_view part :
       {labels.namespace_name, labels.pod, labels.container, labels.id}) {
    key_ += part;
    key_ += '\0';
  }
  const auto found = index_.find(key_);
  if (found != index_.end()) return instances_[found->second];

  stored_ += 2 * key_.size() + labels.image.size() + labels.name.size() + sizeof(Instance) +
             families_.size() * sizeof(std::optional<double>);
  if (stored_ > kMaxStored) fail("too many containers");
  index_.emplace(key_, instances_.size());
  Instance& added = instances_.emplace_back();
  added.metrics = {
      std::string(labels.namespace_name), std::string(labels.pod),
      std::string(labels.container),      std::string(labels.image),
      std::string(labels.name),           std::vector<std::optional<double>>(families_.size())};
  return added;
}

std::vector<ContainerMetrics> CadvisorReader::finish() {
  if (!partial_line_.empty()) {
    ++line_number_;
    fail("the page ends in the middle of the line");
  }
  const auto name = [](const Instance& instance) {
    return std::tie(instance.metrics.namespace_name, instance.metrics.pod,
                    instance.metrics.container);
  };
  // Oldest instance first; an instance without a start time counts as oldest.
  const auto order = [&](const Instance& instance) {
    return std::tuple_cat(name(instance), std::tie(instance.started, instance.metrics.values));
  };
  std::ranges::sort(instances_, std::less<>(), order);
  std::vector<ContainerMetrics> newest;
  for (std::size_t i = 0; i < instances_.size(); ++i) {
    const bool is_newest =
        i + 1 == instances_.size() || name(instances_[i]) != name(instances_[i + 1]);
    if (is_newest) newest.push_back(std::move(instances_[i].metrics));
  }
  return newest;
}

}  // namespace vitalsd::kubernetes
