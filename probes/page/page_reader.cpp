#include "probes/page/page_reader.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/error.hpp"

#include <algorithm>
#include <memory>
#include <optional>

namespace vitalsd::page {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::size_t kMaxFamilies = 10'000;  // that are selected
constexpr std::size_t kMaxNames = 100'000;    // whose meaning is remembered

std::string_view take_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
  text.remove_prefix(word.size());
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return word;
}

std::optional<Type> to_type(std::string_view word) {
  for (const Type type : {Type::gauge, Type::counter, Type::unknown, Type::histogram, Type::summary,
                          Type::info, Type::stateset}) {
    if (word == type_name(type)) return type;
  }
  if (word == "untyped") return Type::unknown;
  return std::nullopt;
}

// The label that distinguishes the lines of a group.
std::string_view bound_label(Type type, Role role, std::string_view family) {
  if (type == Type::stateset) return family;
  if (type == Type::histogram && role == Role::bucket) return "le";
  if (type == Type::summary && role == Role::value) return "quantile";
  return {};
}

}  // namespace

bool Rules::selects(std::string_view family) const {
  const auto matches = [&](const net::Pattern& pattern) {
    return RE2::FullMatch(re2::StringPiece(family.data(), family.size()), *pattern.regex);
  };
  return (keep.empty() || std::ranges::any_of(keep, matches)) &&
         std::ranges::none_of(drop, matches);
}

PageReader::PageReader(const Rules& rules, ForeignFamilies& foreign, std::string constant_labels,
                       bool openmetrics, Fragment previous)
    : rules_(rules),
      foreign_(foreign),
      constant_labels_(std::move(constant_labels)),
      label_names_(constant_labels_, rules.rename_labels),
      openmetrics_(openmetrics),
      previous_(std::move(previous)) {
  if (!previous_) return;
  for (const FragmentFamily& family : *previous_) {
    previous_families_.emplace(family.metric->name, &family);
  }
}

// ---- lines --------------------------------------------------------------------------------------

void PageReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const bool is_complete = end != std::string_view::npos;
    const std::string_view piece = bytes.substr(0, end);
    bytes.remove_prefix(is_complete ? end + 1 : bytes.size());
    if (skipping_) {
      skipping_ = !is_complete;
    } else if (partial_line_.size() + piece.size() > kMaxLine) {
      ++line_number_;
      count(Dropped::invalid);
      partial_line_.clear();
      skipping_ = !is_complete;
    } else if (!is_complete) {
      partial_line_ += piece;
    } else if (partial_line_.empty()) {
      read_line(piece);
    } else {
      partial_line_ += piece;
      read_line(partial_line_);
      partial_line_.clear();
    }
  }
}

void PageReader::read_line(std::string_view line) {
  ++line_number_;
  if (line.ends_with('\r')) line.remove_suffix(1);
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  if (line.empty() || ended_) return;
  if (line.starts_with('#')) {
    read_comment(line);
  } else {
    read_sample(line);
  }
}

void PageReader::read_comment(std::string_view line) {
  line.remove_prefix(1);
  if (line.empty() || !kBlanks.contains(line.front())) return;  // a comment
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view keyword = take_word(line);
  if (keyword == "EOF" && line.empty()) ended_ = openmetrics_;
  if (keyword != "HELP" && keyword != "TYPE" && keyword != "UNIT") return;
  const std::string name = take_metric_name(line);
  if (name.empty()) {
    count(Dropped::invalid);
    return;
  }
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  if (keyword == "TYPE") {
    declare(name, line);
    return;
  }
  const bool is_help = keyword == "HELP";
  if (meta_name_ != name) {
    meta_name_ = name;
    meta_help_.clear();
    meta_unit_.clear();
    declared_ = kNone;
  }
  Family* const family = declared_ == kNone ? nullptr : &families_[declared_];
  std::string& text = is_help ? (family != nullptr ? family->help : meta_help_)
                              : (family != nullptr ? family->unit : meta_unit_);
  if (text.empty()) text = is_help ? unescape_help(line, openmetrics_) : std::string(line);
}

// ---- families -----------------------------------------------------------------------------------

void PageReader::declare(const std::string& name, std::string_view type_word) {
  while (type_word.ends_with(' ') || type_word.ends_with('\t')) type_word.remove_suffix(1);
  // Its samples _gcount and _gsum exist in OpenMetrics only, so each name is a family of its own.
  if (type_word == "gaugehistogram") return;
  const std::optional<Type> type = to_type(type_word);
  if (!type) {
    count(Dropped::invalid);
    return;
  }
  std::string family_name = name;
  const bool is_counter = *type == Type::counter;
  if (openmetrics_ && is_counter && !name.ends_with("_total")) family_name += "_total";
  if (*type == Type::info && !name.ends_with("_info")) family_name += "_info";
  if (const auto known = by_name_.find(family_name); known != by_name_.end()) {
    if (families_[known->second].type != *type) count(Dropped::invalid);
    return;
  }
  if (entries_.contains(family_name)) return;  // of another family
  // OpenMetrics has the name of a stateset as a label, which an exported name does not match.
  const bool is_exported_stateset = *type == Type::stateset && is_reserved_name(name);
  if (entries_.size() >= kMaxNames) return;
  const std::size_t index =
      add_family(name, family_name, is_exported_stateset ? Type::unknown : *type);
  if (index < families_.size()) declared_ = index;
  const auto add = [&](std::string_view suffix, Role role) {
    entries_.try_emplace(name + std::string(suffix), Entry{index, role});
  };
  switch (*type) {
    case Type::histogram:
      add("_bucket", Role::bucket);
      [[fallthrough]];
    case Type::summary:
      add("_count", Role::count);
      add("_sum", Role::sum);
      if (*type == Type::summary) add("", Role::value);
      break;
    default:
      entries_.try_emplace(family_name, Entry{index, Role::value});
      break;
  }
  if (is_counter || *type == Type::histogram || *type == Type::summary) {
    std::string_view base = name;
    if (base.ends_with("_total")) base.remove_suffix(std::string_view("_total").size());
    entries_.try_emplace(std::string(base) + "_created", Entry{});
  }
}

// Returns the index of a new family; kNone if it is not selected, kTooMany if the page has too many
// families. `raw_name`: as in the page's TYPE line.
std::size_t PageReader::add_family(const std::string& raw_name, std::string name, Type type) {
  if (meta_name_ != raw_name || declared_ != kNone) {
    meta_help_.clear();
    meta_unit_.clear();
  }
  meta_name_ = raw_name;
  declared_ = kNone;
  const std::string help = std::exchange(meta_help_, {});
  const std::string unit = std::exchange(meta_unit_, {});
  if (!rules_.selects(name)) return kNone;
  const std::size_t index = families_.size();
  if (index >= kMaxFamilies) return kTooMany;
  Family& family = families_.emplace_back();
  family.name = std::move(name);
  family.type = type;
  family.exported = is_reserved_name(family.name);
  family.help = help;
  family.unit = unit;
  const auto previous = previous_families_.find(family.name);
  if (previous != previous_families_.end()) {
    const std::size_t size = previous->second->lines.size();
    family.text.reserve(size + size / 16);
  }
  by_name_.try_emplace(family.name, index);
  return index;
}

PageReader::Entry PageReader::entry_of(std::string_view name) {
  if (name == last_name_) return last_entry_;
  const auto found = entries_.find(name);
  if (found != entries_.end()) {
    last_entry_ = found->second;
  } else if (entries_.size() >= kMaxNames) {
    last_entry_ = Entry{.family = rules_.selects(name) ? kTooMany : kNone};
  } else {
    const std::string text(name);
    last_entry_ = Entry{.family = add_family(text, text, Type::unknown)};
    entries_.try_emplace(text, last_entry_);
  }
  last_name_ = name;
  return last_entry_;
}

// ---- samples ------------------------------------------------------------------------------------

void PageReader::read_sample(std::string_view line) {
  if (!line_.parse(line)) {
    count(Dropped::invalid);
    return;
  }
  // The next HELP line is that of another family, even if it has the same name: OpenMetrics pages
  // of Go programs have a gauge and a counter that differ only by _total.
  declared_ = kNone;
  has_timestamps_ = has_timestamps_ || line_.has_timestamp();
  // The line of the probe about this target.
  if (line_.name() == "relay_up" && line_.label_text() == constant_labels_) {
    throw ProbeError(Reason::mismatch,
                     "the page is that of vitalsd itself, with the series of this target: remove "
                     "it from the probe");
  }
  const Entry entry = entry_of(line_.name());
  if (entry.family == kTooMany) count(Dropped::limit);
  if (entry.family >= families_.size()) return;
  Family& family = families_[entry.family];
  const bool is_verbatim = label_names_.apply(line_);
  const std::optional<Identity> identity = identify(family, entry.role);
  if (!identity) {
    count(Dropped::invalid);
  } else if (family.is_cut || series_.size() >= rules_.max_series) {
    count(Dropped::limit);
    cut(family);
  } else if (!series_.insert(identity->series)) {
    count(Dropped::duplicate, 1, family.name);
  } else {
    family.check.take(family.type, entry.role, identity->group, identity->bound, line_.value());
    append(family, is_verbatim);
  }
}

// A part of a histogram or a summary is wrong, not merely incomplete.
void PageReader::cut(Family& family) {
  if (family.type != Type::histogram && family.type != Type::summary) return;
  count(Dropped::limit, family.lines);
  cut_series_ += std::exchange(family.lines, 0);
  family.text = {};
  family.is_cut = true;
}

// Nothing if two labels have the same name. The order of labels does not matter.
std::optional<PageReader::Identity> PageReader::identify(const Family& family, Role role) {
  Identity out;
  const std::string_view bound_name = bound_label(family.type, role, family.name);
  const std::span<const LineLabel> labels = line_.labels();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const LineLabel& label = labels[i];
    for (std::size_t j = 0; j < i; ++j) {
      if (labels[j].name == label.name) return std::nullopt;
    }
    const std::uint64_t hash = hash_of(label.name, label.value);
    out.series += hash;
    if (!bound_name.empty() && label.name == bound_name) {
      out.bound = &label.value;
    } else {
      out.group += hash;
    }
  }
  out.series +=
      hash_of(family.exported ? line_.keep(std::string(kExported) + std::string(line_.name()))
                              : line_.name());
  return out;
}

void PageReader::append(Family& family, bool is_verbatim) {
  std::string& out = family.text;
  if (family.exported) out += kExported;
  out += line_.name();
  out += '{';
  out += constant_labels_;
  if (is_verbatim && !line_.label_text().empty()) {
    out += ',';
    out += line_.label_text();
  } else {
    for (const LineLabel& label : line_.labels()) {
      out += ',';
      out += label.name;
      out += "=\"";
      out += label.value;
      out += '"';
    }
  }
  out += "} ";
  out += line_.value();
  out += '\n';
  ++family.lines;
}

// ---- the end ------------------------------------------------------------------------------------

Fragment PageReader::finish() {
  // The last line may have no newline.
  if (!partial_line_.empty()) read_line(std::exchange(partial_line_, {}));
  if (openmetrics_ && !ended_) {
    throw ProbeError(Reason::protocol,
                     "the page is truncated: OpenMetrics without its last line, # EOF");
  }
  auto out = std::make_shared<std::vector<FragmentFamily>>();
  for (Family& family : families_) {
    if (family.lines > 0) publish(family, *out);
    family.text = {};
  }
  if (out->empty()) return nullptr;
  return out;
}

// A family that violates the rules of its type is unknown, and so is every name of its samples,
// because a strict parser would reject the whole page.
void PageReader::publish(Family& family, std::vector<FragmentFamily>& out) {
  const auto declaration = [&](std::string_view name, Type type) {
    return ForeignDeclaration{name, type, family.help, family.unit};
  };
  const bool has_total = family.type != Type::counter || family.name.ends_with("_total");
  if (family.check.finish() || !has_total) {
    publish(declaration(family.name, family.type), std::move(family.text), family.lines, out);
    return;
  }
  if (family.type != Type::histogram && family.type != Type::summary) {
    publish(declaration(family.name, Type::unknown), std::move(family.text), family.lines, out);
    return;
  }
  struct Single {
    std::string text;
    std::size_t lines = 0;
  };
  ByName<Single> singles;
  for (std::string_view rest = family.text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    Single& single = singles[std::string(line.substr(0, line.find('{')))];
    single.text += line;
    ++single.lines;
    rest.remove_prefix(line.size());
  }
  for (auto& [name, single] : singles) {
    publish(declaration(name, Type::unknown), std::move(single.text), single.lines, out);
  }
}

void PageReader::publish(const ForeignDeclaration& declaration, std::string text, std::size_t lines,
                         std::vector<FragmentFamily>& out) {
  const auto metric = foreign_.intern(declaration);
  if (!metric) {
    using Clash = ForeignFamilies::Clash;
    count(metric.error() == Clash::type   ? Dropped::type
          : metric.error() == Clash::name ? Dropped::name
                                          : Dropped::declared,
          lines, declaration.name);
    return;
  }
  const auto previous = previous_families_.find((*metric)->name);
  if (previous != previous_families_.end() && previous->second->metric == *metric &&
      previous->second->lines == text) {
    out.push_back(*previous->second);
    return;
  }
  if (text.capacity() > text.size() + text.size() / 4) text.shrink_to_fit();
  const auto keeper = std::make_shared<const std::string>(std::move(text));
  out.push_back({*metric, *keeper, keeper});
}

}  // namespace vitalsd::page
