#include "probes/page/page_reader.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/error.hpp"

#include <algorithm>
#include <memory>
#include <optional>

namespace vitalsd::page {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::size_t kMaxFamilies = 10'000;  // only selected families count
constexpr std::size_t kMaxNames = 100'000;    // names of samples whose family and role are kept

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

}  // namespace

PageReader::PageReader(const Rules& rules, ForeignFamilies& foreign, std::string constant_labels,
                       bool openmetrics, Fragment previous)
    : rules_(rules),
      foreign_(foreign),
      constant_labels_(std::move(constant_labels)),
      first_labels_('{' + constant_labels_ + ','),
      label_names_(constant_labels_, rules.rename_labels),
      openmetrics_(openmetrics),
      previous_(std::move(previous)),
      kept_(rules.keep.size()) {
  if (!previous_) return;
  std::size_t series = 0;  // approximate number of series
  for (const FragmentFamily& family : *previous_) {
    previous_families_.emplace(family.metric->name, &family);
    series += family.lines.size() / (family.lines.find('\n') + 1);
  }
  series_.reserve(std::min(series, rules_.max_series));
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
      drop(Dropped::invalid);
      partial_line_.clear();
      skipping_ = !is_complete;
    } else if (!is_complete) {
      partial_line_ += piece;
    } else if (partial_line_.empty()) {
      read_line(piece);
    } else {
      partial_line_ += piece;
      read_line(partial_line_);
      follows_ = false;
      partial_line_.clear();
    }
  }
  follows_ = false;
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
    drop(Dropped::invalid);
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
  // The samples _gcount and _gsum exist in OpenMetrics only, so each name becomes a family of its
  // own.
  if (type_word == "gaugehistogram") return;
  const std::optional<Type> type = to_type(type_word);
  if (!type) {
    drop(Dropped::invalid);
    return;
  }
  std::string family_name = name;
  const bool is_counter = *type == Type::counter;
  if (openmetrics_ && is_counter && !name.ends_with("_total")) family_name += "_total";
  if (*type == Type::info && !name.ends_with("_info")) family_name += "_info";
  if (const auto known = by_name_.find(family_name); known != by_name_.end()) {
    if (families_[known->second].type != *type) drop(Dropped::invalid);
    return;
  }
  if (entries_.contains(family_name)) return;  // it belongs to another family
  // In OpenMetrics, a stateset has a label with its own name. An exported name does not match that
  // label.
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

// Counts the family for each pattern of `keep` that it matches.
bool PageReader::selects(std::string_view family) {
  const auto matches = [&](const net::Pattern& pattern) { return pattern.matches_name(family); };
  bool is_kept = rules_.keep.empty();
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (!matches(rules_.keep[i])) continue;
    is_kept = true;
    ++kept_[i];
  }
  return is_kept && std::ranges::none_of(rules_.drop, matches);
}

// Returns the index of a new family; kNone if it is not selected, kTooMany if the page has too many
// families. `raw_name` is the name in the page's TYPE line.
std::size_t PageReader::add_family(const std::string& raw_name, std::string name, Type type) {
  if (meta_name_ != raw_name || declared_ != kNone) {
    meta_help_.clear();
    meta_unit_.clear();
  }
  meta_name_ = raw_name;
  declared_ = kNone;
  const std::string help = std::exchange(meta_help_, {});
  const std::string unit = std::exchange(meta_unit_, {});
  if (!selects(name)) return kNone;
  const std::size_t index = families_.size();
  if (index >= kMaxFamilies) return kTooMany;
  by_name_.try_emplace(name, index);
  if (!families_.empty()) families_.back().lines.shrink();  // the family before is usually complete
  const FragmentFamily* const previous = previous_of(exported_name(name));
  const bool is_exported = is_reserved_name(name);
  families_.push_back({.name = std::move(name),
                       .type = type,
                       .help = help,
                       .unit = unit,
                       .exported = is_exported,
                       .lines = FamilyLines(previous)});
  return index;
}

const FragmentFamily* PageReader::previous_of(std::string_view name) const {
  const auto found = previous_families_.find(name);
  return found == previous_families_.end() ? nullptr : found->second;
}

const PageReader::Entry& PageReader::entry_of(std::string_view name) {
  if (name == last_name_) return last_entry_;
  const auto found = entries_.find(name);
  if (found != entries_.end()) {
    last_entry_ = found->second;
  } else if (entries_.size() >= kMaxNames) {
    last_entry_ = Entry{.family = selects(name) ? kTooMany : kNone};
  } else {
    const std::string text(name);
    last_entry_ = Entry{.family = add_family(text, text, Type::unknown)};
    entries_.try_emplace(text, last_entry_);
  }
  last_name_ = name;
  const bool is_exported =
      last_entry_.family < families_.size() && families_[last_entry_.family].exported;
  last_name_hash_ = hash_of(std::string(is_exported ? kExported : "") + last_name_);
  return last_entry_;
}

// ---- samples ------------------------------------------------------------------------------------

void PageReader::read_sample(std::string_view line) {
  if (!line_.parse(line, std::exchange(follows_, true))) {
    drop(Dropped::invalid);
    return;
  }
  // The next HELP line starts another family, even if the name is the same: in OpenMetrics pages of
  // Go programs, a gauge x and a counter x_total both declare the family x.
  declared_ = kNone;
  has_timestamps_ = has_timestamps_ || line_.has_timestamp();
  // The series that the probe publishes about this target.
  if (line_.name() == "relay_up" && line_.label_text() == constant_labels_) {
    throw ProbeError(Reason::mismatch,
                     "the page is vitalsd's own page, which contains the series of this target: "
                     "remove the target from the probe");
  }
  const Entry entry = entry_of(line_.name());
  if (entry.family == kTooMany) drop(Dropped::limit);
  if (entry.family >= families_.size()) return;
  Family& family = families_[entry.family];
  label_names_.apply(line_);
  const std::optional<Identity> identity = identify(family, entry.role);
  if (!identity) {
    drop(Dropped::invalid);
    return;
  }
  if (family.is_cut || series_.size() >= rules_.max_series) {
    drop(Dropped::limit, 1, family.name);
    cut(family);
    return;
  }
  // Loads the place in the set into the cache while the line is written.
  series_.prefetch(identity->series);
  const std::string_view published = published_line(family);
  if (!series_.insert(identity->series)) {
    drop(Dropped::duplicate, 1, family.name);
    return;
  }
  family.check.take(family.type, entry.role, identity->group, identity->bound, line_.value());
  correct_count(family);
  if (entry.role == Role::count) {
    const std::size_t size = line_.value().size();
    family.count = {family.lines.size() + published.size() - size - 1, size};
  }
  family.lines.add(published);
}

// Removes a family of which a line was left out: a histogram or a summary without all of its lines
// is wrong.
void PageReader::cut(Family& family) {
  if (family.type != Type::histogram && family.type != Type::summary) return;
  drop(Dropped::limit, family.lines.count(), family.name);
  cut_series_ += family.lines.count();
  family.lines.clear();
  family.is_cut = true;
}

// Returns nothing if two labels have the same name. The order of labels does not matter.
std::optional<PageReader::Identity> PageReader::identify(const Family& family, Role role) {
  const std::span<const LineLabel> labels = line_.labels();
  for (std::size_t i = 0; line_.may_repeat_name() && i < labels.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (labels[j].name == labels[i].name) return std::nullopt;
    }
  }
  Identity out;
  const std::string_view bound_name = GroupCheck::bound_label(family.type, role, family.name);
  for (const LineLabel& label : labels) {
    if (!bound_name.empty() && label.name == bound_name) {
      out.bound = &label.value;
      out.series += label.hash;
    } else {
      out.group += label.hash;
    }
  }
  out.series += out.group + last_name_hash_;
  return out;
}

// Returns the line as it is published. The text is valid until the next call.
std::string_view PageReader::published_line(const Family& family) {
  std::string& out = published_;
  out.clear();
  if (family.exported) out += kExported;
  out += line_.name();
  if (const std::string_view rest = line_.label_text_and_value(); !rest.empty()) {
    out += first_labels_;
    out += rest;
  } else {
    out += '{';
    out += constant_labels_;
    for (const LineLabel& label : line_.labels()) {
      out += ',';
      out += label.name;
      out += "=\"";
      out += label.value;
      out += '"';
    }
    out += "} ";
    out += line_.value();
  }
  out += '\n';
  return out;
}

// Replaces a count that differs from the last bucket. Both are the same by definition, but many
// targets count an event while they write the page.
void PageReader::correct_count(Family& family) {
  const std::string count = family.check.take_count();
  if (count.empty()) return;
  family.lines.replace(family.count.first, family.count.second, count);
  dropped_.add(Dropped::count, 1, family.name);
}

}  // namespace vitalsd::page
