#include "probes/kubernetes/watch/patchwork.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace vitalsd::kubernetes {

void Patchwork::Patch::clear() {
  rendering_.text.clear();
  rendering_.families.clear();
  places_ = {};
}

void Patchwork::Patch::set(std::uint32_t place, const Part& samples,
                           std::string_view constant_labels) {
  std::size_t duplicates = 0;
  const std::size_t begin = rendering_.families.size();
  samples.render(rendering_, constant_labels, duplicates);
  places_[place] = {true, begin, rendering_.families.size()};
}

std::string_view Patchwork::Patch::lines(const Place& place, const MetricInfo* metric) const {
  const auto families =
      std::span(rendering_.families).subspan(place.begin, place.end - place.begin);
  const auto family = std::ranges::find(families, metric, &Rendering::Family::metric);
  return family == families.end() ? std::string_view() : rendering_.lines(*family);
}

void Patchwork::apply(const Patch& patch) {
  auto families = std::make_shared<std::vector<FragmentFamily>>();
  std::vector<Sizes> sizes;
  const auto add = [&](FragmentFamily old, const Sizes& old_sizes) {
    std::array<std::string_view, kPlaces> lines;
    std::size_t at = 0;
    std::size_t size = 0;
    bool changed = false;
    for (std::uint32_t place = 0; place < kPlaces; ++place) {
      lines[place] = old.lines.substr(at, old_sizes[place]);
      at += old_sizes[place];
      if (patch.places_[place].changed) {
        const std::string_view now = patch.lines(patch.places_[place], old.metric);
        changed = changed || now != lines[place];
        lines[place] = now;
      }
      size += lines[place].size();
    }
    if (size == 0) return;
    if (changed) {
      std::string text;
      text.reserve(size);  // no more than it needs: it is kept for long
      for (const std::string_view each : lines) text += each;
      const auto kept = std::make_shared<const std::string>(std::move(text));
      old = {old.metric, *kept, kept};
    }
    families->push_back(std::move(old));
    Sizes& now = sizes.emplace_back();
    std::ranges::transform(lines, now.begin(), [](std::string_view each) {
      return static_cast<std::uint32_t>(each.size());
    });
  };

  const std::size_t known = fragment_ ? fragment_->size() : 0;
  families->reserve(known + patch.rendering_.families.size());
  sizes.reserve(families->capacity());
  for (std::size_t i = 0; i < known; ++i) add((*fragment_)[i], sizes_[i]);
  for (const Rendering::Family& family : patch.rendering_.families) {
    const auto has_it = [&](const auto& all) {
      return std::ranges::find(all, family.metric, &FragmentFamily::metric) != all.end();
    };
    if (!has_it(*families)) add({family.metric, {}, {}}, {});
  }
  families->shrink_to_fit();
  sizes.shrink_to_fit();
  sizes_ = std::move(sizes);
  fragment_ = families->empty() ? nullptr : std::move(families);
}

}  // namespace vitalsd::kubernetes
