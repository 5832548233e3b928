#include "probes/kubernetes/watch/patchable_fragment.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace vitalsd::kubernetes {

void PatchableFragment::Patch::clear() {
  rendering_.text.clear();
  rendering_.families.clear();
  slots_ = {};
  duplicates_ = 0;
}

void PatchableFragment::Patch::set(std::uint32_t slot, const Part& samples,
                                   std::string_view constant_labels) {
  const std::size_t begin = rendering_.families.size();
  samples.render(rendering_, constant_labels, duplicates_);
  slots_[slot] = {true, begin, rendering_.families.size()};
}

std::string_view PatchableFragment::Patch::lines(const Slot& slot, const MetricInfo* metric) const {
  const auto families = std::span(rendering_.families).subspan(slot.begin, slot.end - slot.begin);
  const auto family = std::ranges::find(families, metric, &Rendering::Family::metric);
  return family == families.end() ? std::string_view() : rendering_.lines(*family);
}

void PatchableFragment::apply(const Patch& patch) {
  auto families = std::make_shared<std::vector<FragmentFamily>>();
  std::vector<Sizes> sizes;
  const auto add = [&](FragmentFamily old, const Sizes& old_sizes) {
    std::array<std::string_view, kSlots> lines;
    std::size_t at = 0;
    std::size_t size = 0;
    bool changed = false;
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
      lines[slot] = old.lines.substr(at, old_sizes[slot]);
      at += old_sizes[slot];
      if (patch.slots_[slot].changed) {
        const std::string_view new_lines = patch.lines(patch.slots_[slot], old.metric.get());
        changed = changed || new_lines != lines[slot];
        lines[slot] = new_lines;
      }
      size += lines[slot].size();
    }
    if (size == 0) return;
    if (changed) {
      std::string text;
      text.reserve(size);  // the exact size: the text stays in memory
      for (const std::string_view part : lines) text += part;
      const auto shared = std::make_shared<const std::string>(std::move(text));
      old = {old.metric, *shared, shared};
    }
    families->push_back(std::move(old));
    Sizes& new_sizes = sizes.emplace_back();
    std::ranges::transform(lines, new_sizes.begin(), [](std::string_view part) {
      return static_cast<std::uint32_t>(part.size());
    });
  };

  const std::size_t old_count = fragment_ ? fragment_->size() : 0;
  families->reserve(old_count + patch.rendering_.families.size());
  sizes.reserve(families->capacity());
  for (std::size_t i = 0; i < old_count; ++i) add((*fragment_)[i], sizes_[i]);
  for (const Rendering::Family& family : patch.rendering_.families) {
    const auto contains = [&](const auto& all) {
      return std::ranges::find(all, family.metric, &FragmentFamily::metric) != all.end();
    };
    if (!contains(*families)) add({family.metric, {}, {}}, {});
  }
  families->shrink_to_fit();
  sizes.shrink_to_fit();
  sizes_ = std::move(sizes);
  fragment_ = families->empty() ? nullptr : std::move(families);
}

}  // namespace vitalsd::kubernetes
