#include "exporter/model/ledger.hpp"

#include <algorithm>
#include <utility>

namespace vitalsd {
namespace {

constexpr std::size_t kLarge = 100;  // families of a fragment

bool contains(std::span<const MetricInfo* const> metrics, const MetricInfo* metric) {
  return std::ranges::find(metrics, metric) != metrics.end();
}

}  // namespace

Ledger::Ledger(Exposition& exposition, std::string probe, std::string constant_labels)
    : exposition_(exposition),
      constant_labels_(std::move(constant_labels)),
      owner_(exposition.add_owner(std::move(probe))),
      parts_(1) {}

Ledger::~Ledger() {
  Batch batch;
  drop(framework_, batch);
  for (PartState& state : parts_) drop(state, batch);
  framework_ = {};
  parts_.clear();
  commit(batch);
  exposition_.remove_owner(owner_);
}

template <class Do>
void Ledger::for_each_line(Do&& action) {
  const auto visit = [&](PartState& state) {
    for (Line& line : state.lines) action(line, nullptr);
    for (Attached& attached : state.attached) {
      for (Line& line : attached.lines) action(line, attached.fragment);
    }
  };
  visit(framework_);
  for (PartState& state : parts_) visit(state);
}

Ending Ledger::ending_of(const std::optional<Failure>& failure) {
  if (!failure) return Ending::succeeded;
  return failure->reason == Reason::overload ? Ending::overloaded : Ending::failed;
}

Retention Ledger::retention_of(const Line& line, const PartState& state, Ending ending, Time now) {
  const auto overloaded_for = now - state.overloaded_since.value_or(now);
  return decide(ending, line.metric->keep, line.missed, overloaded_for);
}

// Returns whether a line that the run did not renew is kept. Updates the line.
bool Ledger::survives(Line& line, const PartState& state, Ending ending, Time now) {
  const Retention retention = retention_of(line, state, ending, now);
  if (retention == Retention::renew) line.renewed = now;
  line.missed = retention == Retention::keep;
  return retention != Retention::drop;
}

void Ledger::drop(PartState& state, Batch& batch) {
  for (const Line& line : state.lines) batch.removed.push_back(line.chunk);
  for (Attached& attached : state.attached) drop(attached, batch);
}

void Ledger::drop(Attached& attached, Batch& batch) {
  for (const Line& line : attached.lines) batch.removed.push_back(line.chunk);
  attached = {};
}

void Ledger::apply(PartState& state, const Part& part, Ending ending, Time now, Batch& batch,
                   RenderedLabels* rendered) {
  if (ending != Ending::overloaded) {
    state.overloaded_since.reset();
  } else if (!state.overloaded_since) {
    state.overloaded_since = now;
  }
  const std::size_t first = batch.rendering.families.size();
  part.render(batch.rendering, constant_labels_, duplicates_, rendered);
  const std::span families = std::span(batch.rendering.families).subspan(first);
  // Remains short, because most fragments of a set have the same families.
  std::vector<const MetricInfo*> added;
  for (const Fragment& fragment : part.fragments()) {
    if (!fragment) continue;
    // The families of a large fragment, such as the page of a target, are distinct, so they are not
    // searched.
    for (const FragmentFamily& family : *fragment) {
      if (fragment->size() > kLarge || !contains(added, family.metric.get())) {
        added.push_back(family.metric.get());
      }
    }
  }
  std::size_t expected = 0;  // index of a line: usually, the families are those of the last run
  for (std::size_t i = 0; i < families.size(); ++i) {
    const MetricInfo* const metric = families[i].metric;
    auto line = state.lines.begin() + static_cast<std::ptrdiff_t>(expected);
    if (expected == state.lines.size() || line->metric != metric) {
      line = std::ranges::find(state.lines, metric, &Line::metric);
    }
    if (line == state.lines.end()) {
      // The number of families rarely changes, so the capacity is exact.
      if (state.lines.capacity() == state.lines.size()) {
        state.lines.reserve(std::max(families.size(), state.lines.size() + 1));
      }
      state.lines.push_back(Line{.metric = metric, .chunk = {}});
      line = state.lines.end() - 1;
    }
    line->renewed = now;
    line->missed = false;
    line->pending = static_cast<std::uint32_t>(first + i) & kNothingPending;
    expected = static_cast<std::size_t>(line - state.lines.begin()) + 1;
  }
  std::erase_if(state.lines, [&](Line& line) {
    if (line.pending != kNothingPending) return false;  // renewed
    if (!contains(added, line.metric) && survives(line, state, ending, now)) return false;
    batch.removed.push_back(line.chunk);
    return true;
  });
  if (!part.fragments().empty() || !state.attached.empty()) {
    for (const Rendering::Family& family : families) added.push_back(family.metric);
    apply_fragments(state, part, added, ending, now, batch);
  }
  if (&state != &framework_) apply_facts(state, part);
}

// `added`: the families that the run renewed, as samples or as fragments.
void Ledger::apply_fragments(PartState& state, const Part& part,
                             std::span<const MetricInfo* const> added, Ending ending, Time now,
                             Batch& batch) {
  const std::vector<Fragment>& wanted = part.fragments();
  if (state.attached.size() < wanted.size()) state.attached.resize(wanted.size());
  for (std::size_t i = 0; i < state.attached.size(); ++i) {
    Attached& attached = state.attached[i];
    if (i < wanted.size() && wanted[i]) {
      replace(attached, wanted[i], now, batch);
      continue;
    }
    // A fragment without a replacement is kept or removed as a whole, because its lines describe
    // one kind of object.
    bool stays = false;
    for (Line& line : attached.lines) stays = survives(line, state, ending, now) || stays;
    for (const Line& line : attached.lines) stays = stays && !contains(added, line.metric);
    if (!stays) drop(attached, batch);
  }
  while (!state.attached.empty() && !state.attached.back().fragment) state.attached.pop_back();
}

void Ledger::replace(Attached& attached, const Fragment& fragment, Time now, Batch& batch) {
  if (attached.fragment == fragment) {
    for (Line& line : attached.lines) {
      line.renewed = now;
      line.missed = false;
    }
    return;
  }
  std::vector<Line> lines;
  lines.reserve(fragment->size());
  // The index is for large pages: a linear search for each family would be quadratic if the order
  // has changed.
  std::unordered_map<const MetricInfo*, std::size_t> places;
  const auto find = [&](const MetricInfo* metric) {
    if (attached.lines.size() <= kLarge) {
      return std::ranges::find(attached.lines, metric, &Line::metric);
    }
    if (places.empty()) {
      for (std::size_t i = 0; i < attached.lines.size(); ++i) {
        places.try_emplace(attached.lines[i].metric, i);
      }
    }
    const auto place = places.find(metric);
    return place == places.end()
               ? attached.lines.end()
               : attached.lines.begin() + static_cast<std::ptrdiff_t>(place->second);
  };
  for (std::size_t i = 0; i < fragment->size(); ++i) {
    const FragmentFamily& family = (*fragment)[i];
    Line& line = lines.emplace_back(Line{.metric = family.metric.get(),
                                         .chunk = {},
                                         .pending = static_cast<std::uint32_t>(i) & kNothingPending,
                                         .renewed = now});
    // Usually the family is at the same index as before.
    auto old =
        attached.lines.begin() + static_cast<std::ptrdiff_t>(std::min(i, attached.lines.size()));
    if (old == attached.lines.end() || old->metric != line.metric) {
      old = find(line.metric);
    }
    if (old == attached.lines.end()) continue;
    line.chunk = std::exchange(old->chunk, {});
    const FragmentFamily& before =
        (*attached.fragment)[static_cast<std::size_t>(old - attached.lines.begin())];
    if (before.keeper == family.keeper && before.lines.data() == family.lines.data()) {
      line.pending = kNothingPending;
    }
  }
  for (const Line& old : attached.lines) {
    if (old.chunk.placed()) batch.removed.push_back(old.chunk);
  }
  attached = {fragment, std::move(lines)};
}

// Whether the part has exactly the stored facts. This is the usual case, so it is checked without a
// copy.
bool Ledger::same_facts(const PartState& state, const Part& part) {
  auto known = state.facts.begin();
  for (std::size_t i = 0; i < part.size(); ++i) {
    const Sample sample = part.sample(i);
    if (sample.metric->keep != Keep::fact) continue;
    if (known == state.facts.end() || known->metric != sample.metric ||
        known->labels != sample.labels || known->value != sample.value ||
        known->instance != part.instance()) {
      return false;
    }
    ++known;
  }
  return known == state.facts.end();
}

void Ledger::apply_facts(PartState& state, const Part& part) {
  if (same_facts(state, part)) return;
  std::vector<FactValue> facts;
  for (std::size_t i = 0; i < part.size(); ++i) {
    const Sample sample = part.sample(i);
    if (sample.metric->keep != Keep::fact) continue;
    facts.push_back({sample.metric, std::string(sample.labels), sample.value, part.instance()});
  }
  // Facts of families that this run did not renew are kept if they are still published.
  for (FactValue& old : state.facts) {
    const bool renewed = std::ranges::find(facts, old.metric, &FactValue::metric) != facts.end();
    const bool published =
        std::ranges::find(state.lines, old.metric, &Line::metric) != state.lines.end();
    if (!renewed && published) facts.push_back(std::move(old));
  }
  if (facts == state.facts) return;
  state.facts = std::move(facts);
  ++fact_version_;
}

void Ledger::commit(Batch& batch) {
  std::vector<Exposition::Change> changes;
  changes.reserve(batch.rendering.families.size() + batch.removed.size());
  for (Exposition::Chunk& chunk : batch.removed) changes.push_back({.chunk = &chunk});
  for_each_line([&](Line& line, const Fragment& fragment) {
    if (line.pending == kNothingPending) return;
    const std::size_t i = line.pending;
    changes.push_back({.chunk = &line.chunk,
                       .metric = fragment ? (*fragment)[i].metric : line.metric,
                       .lines = fragment ? (*fragment)[i].lines
                                         : batch.rendering.lines(batch.rendering.families[i]),
                       .keeper = fragment ? (*fragment)[i].keeper : nullptr});
    line.pending = kNothingPending;
  });
  exposition_.publish(owner_, changes);
}

void Ledger::publish(const SampleSet& set, const std::optional<Failure>& thrown,
                     const Part& framework, Time now) {
  Batch batch;
  RenderedLabels rendered;
  RenderedLabels* const seen_labels = set.parts().empty() ? nullptr : &rendered;
  batch.rendering.families.reserve(framework_.lines.size() + parts_.front().lines.size());
  apply(framework_, framework, Ending::succeeded, now, batch);
  apply(parts_.front(), set, ending_of(thrown ? thrown : set.failure()), now, batch, seen_labels);

  const Part nothing;
  bool has_removed_parts = false;
  for (auto state = parts_.begin() + 1; state != parts_.end(); ++state) {
    if (set.parts().contains(state->key)) continue;
    if (thrown) {
      apply(*state, nothing, ending_of(thrown), now, batch);
      continue;
    }
    drop(*state, batch);
    if (!state->facts.empty()) ++fact_version_;
    places_.erase(state->key);
    state->key.clear();  // marks the part as removed; only the probe itself has an empty key
    has_removed_parts = true;
  }
  if (has_removed_parts) {
    parts_.erase(std::remove_if(parts_.begin() + 1, parts_.end(),
                                [](const PartState& state) { return state.key.empty(); }),
                 parts_.end());
    for (std::size_t i = 1; i < parts_.size(); ++i) places_[parts_[i].key] = i;
  }
  for (const auto& [key, part] : set.parts()) {
    const auto [place, is_new] = places_.try_emplace(key, parts_.size());
    if (is_new) parts_.push_back(PartState{.key = key});
    apply(parts_[place->second], part, ending_of(SampleSet::outcome_of(part, thrown)), now, batch,
          seen_labels);
  }
  commit(batch);
}

void Ledger::publish(const Part& framework) {
  Batch batch;
  apply(framework_, framework, Ending::succeeded, Time{}, batch);
  commit(batch);
}

void Ledger::expire(Time oldest) {
  Batch batch;
  const auto expired = [&](const Line& line) {
    return line.metric->keep == Keep::reading && line.renewed < oldest;
  };
  for (PartState& state : parts_) {
    std::erase_if(state.lines, [&](const Line& line) {
      if (!expired(line)) return false;
      batch.removed.push_back(line.chunk);
      return true;
    });
    std::erase_if(state.attached, [&](const Attached& attached) {
      if (!std::ranges::any_of(attached.lines, expired)) return false;
      for (const Line& line : attached.lines) batch.removed.push_back(line.chunk);
      return true;
    });
  }
  if (!batch.removed.empty()) commit(batch);
}

bool Ledger::holds(const MetricInfo& metric) const {
  const std::vector<Line>& lines = parts_.front().lines;
  return std::ranges::find(lines, &metric, &Line::metric) != lines.end();
}

bool Ledger::keeps(const MetricInfo& metric, const std::optional<Failure>& failure,
                   Time now) const {
  const PartState& state = parts_.front();
  const auto line = std::ranges::find(state.lines, &metric, &Line::metric);
  return line != state.lines.end() &&
         retention_of(*line, state, ending_of(failure), now) != Retention::drop;
}

std::vector<StoredFact> Ledger::facts() const {
  std::vector<StoredFact> out;
  for (const PartState& state : parts_) {
    for (const FactValue& fact : state.facts) {
      StoredFact& stored = out.emplace_back(
          StoredFact{state.key, std::string(fact.metric->name), {}, fact.value, fact.instance});
      std::string_view rest = fact.labels;
      while (!rest.empty()) {
        const std::size_t end = rest.find('\0');
        stored.labels.emplace_back(rest.substr(0, end));
        rest.remove_prefix(end + 1);
      }
    }
  }
  return out;
}

void Ledger::restore(const std::vector<StoredFact>& facts,
                     std::span<const MetricInfo* const> metrics) {
  SampleSet set;
  for (const StoredFact& fact : facts) {
    const auto metric = std::ranges::find(metrics, fact.metric, &MetricInfo::name);
    if (metric == metrics.end() || (*metric)->keep != Keep::fact ||
        (*metric)->label_count != fact.labels.size()) {
      continue;
    }
    const std::vector<std::string_view> labels(fact.labels.begin(), fact.labels.end());
    Part& part = fact.part.empty() ? set : set.part(fact.part);
    part.set_instance(fact.instance);
    part.add_values(**metric, fact.value, labels);
  }
  publish(set, std::nullopt, {}, Time{});
}

}  // namespace vitalsd
