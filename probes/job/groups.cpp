#include "probes/job/groups.hpp"

#include "config/problems.hpp"
#include "exporter/model/text_format.hpp"
#include "probes/error.hpp"
#include "probes/page/page_reader.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <ranges>
#include <utility>

namespace vitalsd::job {

namespace {

using page::Dropped;
using page::PageReader;

const page::Rules& rules() {
  static const page::Rules kRules{
      .keep = {}, .drop = {}, .rename_labels = {}, .max_series = Groups::kMaxSeries};
  return kRules;
}

std::unexpected<PushAnswer> refuse(int status, std::string text) {
  return std::unexpected(PushAnswer{status, std::move(text) + '\n'});
}

// Returns the labels of a group in one text, which identifies it. `instance` is left out if it is
// the job's name, which is its default.
std::string text_of(const std::string& name, const GroupLabels& labels) {
  std::string out;
  append_label(out, "job", name);
  for (const auto& [label, value] : labels) {
    if (label != "instance" || value != name) append_label(out, label, value);
  }
  return out;
}

// Whether a sample line has the label `instance`.
bool has_instance(std::string_view text) {
  for (std::size_t at = 0; (at = text.find("instance=\"", at)) != std::string_view::npos; ++at) {
    const std::size_t line = text.rfind('\n', at) + 1;
    if (text[line] == '#') continue;
    if (at > 0 && std::string_view("{, \t").contains(text[at - 1])) return true;
  }
  return false;
}

std::string with_instance(std::string labels, const std::string& name) {
  if (!has_instance(labels)) append_label(labels, "instance", name);
  return labels;
}

std::string shown(std::string_view name) { return config::quoted(shown_text(name, 128)); }

PushAnswer clash_of(std::string_view family) {
  return {400, "The family " + shown(family) + " has samples with the name of another family.\n"};
}

PushAnswer refusal_of(const page::FirstDropped& dropped) {
  const auto at_line = [&](std::string text) {
    return PushAnswer{400, "Line " + std::to_string(dropped.line) + ' ' + std::move(text) + '\n'};
  };
  switch (dropped.reason) {
    case Dropped::duplicate:
      return at_line("repeats a series of an earlier line.");
    case Dropped::limit:
      return {413, "The groups of the job have more than " + std::to_string(Groups::kMaxSeries) +
                       " series.\n"};
    case Dropped::invalid:
      return at_line("is not valid in the Prometheus text format 0.0.4.");
    default:
      return clash_of(dropped.family);
  }
}

PushAnswer refusal_of(const page::Misfit& misfit) {
  return {400, "The family " + shown(misfit.family) + " is not a valid " +
                   std::string(type_name(misfit.type)) + ": " +
                   std::string(page::GroupCheck::rule_of(misfit.type)) + ".\n"};
}

// The name as pushed: a reserved name was read as exported_NAME.
std::string_view pushed_name(std::string_view name) {
  constexpr std::string_view kExported = "exported_";
  const bool is_exported =
      name.starts_with(kExported) && is_reserved_name(name.substr(kExported.size()));
  return is_exported ? name.substr(kExported.size()) : name;
}

bool is_declared(const ForeignFamilies& declared, std::string_view name, Type type) {
  if (declared.is_declared(name)) return true;
  if (type != Type::histogram && type != Type::summary) return false;
  return std::ranges::any_of(
      std::array<std::string_view, 3>{"_bucket", "_count", "_sum"},
      [&](std::string_view suffix) { return declared.is_declared(std::string(name) += suffix); });
}

void append_help(std::string& out, std::string_view help) {
  for (const char c : help) {
    if (c == '\\' || c == '\n') out += '\\';
    out += c == '\n' ? 'n' : c;
  }
}

void append_header(std::string& out, std::string_view name, Type type, std::string_view help) {
  if (!help.empty()) {
    ((out += "# HELP ") += name) += ' ';
    append_help(out, help);
    out += '\n';
  }
  (((out += "# TYPE ") += name) += ' ') += type_name(type);
  out += '\n';
}

std::size_t count_lines(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

// The lines of a body that are neither empty nor comments.
std::size_t count_samples(std::string_view body) {
  std::size_t count = 0;
  for (const auto line : std::views::split(body, '\n')) {
    if (!line.empty() && *line.begin() != '#') ++count;
  }
  return count;
}

}  // namespace

// ---- pushes -------------------------------------------------------------------------------------

// Adds `labels` to every line. Does not compare the families with those of other publishers: the
// read of the page does that later, and the other families may no longer exist then.
std::expected<Groups::Body, PushAnswer> Groups::read(std::string_view body,
                                                     const std::string& labels,
                                                     const ForeignFamilies& declared) {
  if (!body.empty() && !body.ends_with('\n')) {
    return refuse(400, "The last line has no newline: the body may be truncated.");
  }
  // The limit is checked before `labels` are written into each line.
  if (count_samples(body) * labels.size() > kMaxBytes) {
    return refuse(413, "The groups of the job have more than " + std::to_string(kMaxBytes) +
                           " bytes: push less, or delete groups.");
  }
  ForeignFamilies own;
  PageReader reader(rules(), own, labels, false, nullptr);
  Fragment fragment;
  try {
    reader.feed(body);
    fragment = reader.finish();
  } catch (const ProbeError& error) {
    return refuse(400, error.what());
  }
  if (const auto& dropped = reader.first_dropped()) return std::unexpected(refusal_of(*dropped));
  if (const auto& misfit = reader.first_misfit()) return std::unexpected(refusal_of(*misfit));
  if (reader.has_timestamps()) {
    return refuse(400,
                  "The body has timestamps: remove them. A series has the time of the scrape.");
  }
  Body out;
  out.accepted.replaced_counts = reader.dropped()[Dropped::count];
  if (!fragment) return out;
  for (const FragmentFamily& family : *fragment) {
    const MetricInfo& metric = *family.metric;
    const std::size_t series = count_lines(family.lines);
    const std::string_view name = pushed_name(metric.name);
    if (is_declared(declared, name, metric.type)) {
      out.accepted.declared.emplace_back(name);
      out.accepted.declared_series += series;
      continue;
    }
    out.accepted.series += series;
    // A body may have both a reserved name and its exported_NAME.
    auto& known = out.families[std::string(metric.name)];
    known = std::make_shared<Family>(metric.type, std::string(metric.help),
                                     (known ? known->lines : "") + std::string(family.lines));
  }
  return out;
}

Groups::Rendered Groups::parse(std::string_view page) const {
  ForeignFamilies own;
  PageReader reader(rules(), own, labels_, false, nullptr);
  reader.feed(page);
  Fragment families = reader.finish();
  return {std::move(families), reader.dropped(), reader.first_dropped()};
}

// Refuses groups that would not be published completely.
std::expected<void, PushAnswer> Groups::accept(ByLabels groups) {
  std::map<std::string_view, Type> types;
  for (const auto& [labels, group] : groups) {
    for (const auto& [family_name, family] : group.families) {
      const auto [known, is_new] = types.try_emplace(family_name, family->type);
      if (is_new || known->second == family->type) continue;
      return refuse(400, "The family " + shown(family_name) +
                             " has two types in the groups of the job: " +
                             std::string(type_name(known->second)) + " and " +
                             std::string(type_name(family->type)) + '.');
    }
  }
  const std::string page = page_of(groups);
  if (page.size() > kMaxBytes) {
    return refuse(413, "The groups of the job have more than " + std::to_string(kMaxBytes) +
                           " bytes: push less, or delete groups.");
  }
  Rendered rendered;
  try {
    rendered = parse(page);
  } catch (const ProbeError& error) {
    return refuse(400, error.what());
  }
  if (const auto& dropped = rendered.first_dropped) {
    if (dropped->reason != Dropped::duplicate) return std::unexpected(refusal_of(*dropped));
    return refuse(400, "Another group of the job has a series of the family " +
                           shown(dropped->family) + " with the same labels.");
  }
  // A histogram or a summary owns the names with _count and _sum, too.
  if (rendered.families) {
    for (const FragmentFamily& family : *rendered.families) {
      const auto known = types.find(family.metric->name);
      if (known != types.end() && known->second == family.metric->type) types.erase(known);
    }
    if (!types.empty()) return std::unexpected(clash_of(types.begin()->first));
  }
  set(std::move(groups));
  rendered_ = std::move(rendered);
  rendered_of_ = groups_;
  return {};
}

std::expected<Groups::Accepted, PushAnswer> Groups::push(const GroupLabels& labels,
                                                         std::string_view body, Replace replace,
                                                         const ForeignFamilies& declared,
                                                         double now) {
  const std::string key = text_of(name_, labels);
  if (!groups_->contains(key) && groups_->size() >= kMaxGroups) {
    return refuse(413, "The job has " + std::to_string(kMaxGroups) +
                           " groups, which is the limit: delete some, or wait until they expire.");
  }
  // A label `instance` in the body is kept.
  std::expected<Body, PushAnswer> read_body =
      read(body, has_instance(body) ? key : with_instance(key, name_), declared);
  if (!read_body) return std::unexpected(std::move(read_body.error()));
  ByLabels next = *groups_;
  Group& group = next[key];
  group.pushed = now;
  if (replace == Replace::group) group.families.clear();
  for (auto& [family_name, family] : read_body->families) {
    group.families.insert_or_assign(family_name, std::move(family));
  }
  if (auto valid = accept(std::move(next)); !valid) {
    return std::unexpected(std::move(valid.error()));
  }
  return std::move(read_body->accepted);
}

void Groups::refused(const GroupLabels& labels, double now) {
  ByLabels next = *groups_;
  next[text_of(name_, labels)].failed = now;
  if (next.size() <= kMaxGroups) (void)accept(std::move(next));
}

void Groups::remove(const GroupLabels& labels) {
  ByLabels next = *groups_;
  if (next.erase(text_of(name_, labels)) > 0) set(std::move(next));
}

bool Groups::expire(double now, double ttl) {
  const auto is_over = [&](double time) { return time + ttl < now; };
  const auto is_current = [&](const auto& entry) {
    const Group& group = entry.second;
    if (group.pushed > now || group.failed > now) return false;
    return !is_over(group.pushed) || (group.families.empty() && !is_over(group.failed));
  };
  if (std::ranges::all_of(*groups_, is_current)) return false;
  ByLabels next = *groups_;
  for (auto& [labels, group] : next) {
    group.pushed = std::min(group.pushed, now);
    group.failed = std::min(group.failed, now);
    if (is_over(group.pushed)) group.families.clear();
  }
  std::erase_if(next, [&](const auto& entry) {
    return is_over(std::max(entry.second.pushed, entry.second.failed));
  });
  set(std::move(next));
  return true;
}

bool Groups::clear() {
  const bool had_any = !groups_->empty();
  set({});
  return had_any;
}

// ---- the page -----------------------------------------------------------------------------------

std::size_t Groups::bytes() const {
  std::size_t bytes = 0;
  for (const auto& [labels, group] : *groups_) {
    bytes += labels.size();
    for (const auto& [family_name, family] : group.families) bytes += family->lines.size();
  }
  return bytes;
}

const Groups::Rendered& Groups::render(const std::string& labels) {
  if (is_rendered(*this, labels)) return rendered_;
  labels_ = labels;
  rendered_ = parse(page());
  rendered_of_ = groups_;
  return rendered_;
}

void Groups::share_rendering(const Groups& copy) {
  labels_ = copy.labels_;
  rendered_ = copy.rendered_;
  rendered_of_ = copy.rendered_of_;
}

std::string Groups::page_of(const ByLabels& groups) const {
  std::string out;
  std::map<std::string_view, std::vector<const Family*>> families;
  const auto add_times = [&](const MetricInfo& metric, double Group::* time) {
    append_header(out, metric.name, metric.type, metric.help);
    for (const auto& [labels, group] : groups) {
      (((out += metric.name) += '{') += with_instance(labels, name_)) += "} ";
      append_number(out, group.*time);
      out += '\n';
    }
  };
  if (groups.empty()) return out;
  add_times(kPushTime, &Group::pushed);
  add_times(kPushFailureTime, &Group::failed);
  for (const auto& [labels, group] : groups) {
    for (const auto& [family_name, family] : group.families) {
      families[family_name].push_back(family.get());
    }
  }
  for (const auto& [family_name, parts] : families) {
    append_header(out, family_name, parts.front()->type, parts.front()->help);
    for (const Family* const part : parts) out += part->lines;
  }
  return out;
}

}  // namespace vitalsd::job
