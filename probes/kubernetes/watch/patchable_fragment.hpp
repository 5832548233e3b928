// The rendered lines of a few objects as one fragment. The lines of one object can be replaced
// without rendering the other objects and without copying families that have not changed. Pure.
#pragma once

#include "exporter/model/sample_set.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

class PatchableFragment {
 public:
  /// The number of objects. Eight objects make the lines of a family long enough for their own slab
  /// and short enough to be copied for one event.
  static constexpr std::uint32_t kSlots = 8;

  /// New lines of some objects. A patch can be reused for many fragments: clear() keeps its memory.
  class Patch {
   public:
    void clear();
    /// Replaces the samples of the object in `slot`. If there are no samples, its lines are
    /// removed. At most one call per slot.
    void set(std::uint32_t slot, const Part& samples, std::string_view constant_labels);
    /// The number of samples that were left out since clear() because another sample of the object
    /// has the same metric and labels.
    [[nodiscard]] std::size_t duplicates() const { return duplicates_; }

   private:
    friend class PatchableFragment;
    struct Slot {
      bool changed = false;
      std::size_t begin = 0;  // range of its families in rendering_
      std::size_t end = 0;
    };
    [[nodiscard]] std::string_view lines(const Slot& slot, const MetricInfo* metric) const;

    Rendering rendering_;
    std::array<Slot, kSlots> slots_{};
    std::size_t duplicates_ = 0;
  };

  void apply(const Patch& patch);

  /// Null if there are no lines.
  [[nodiscard]] const Fragment& fragment() const { return fragment_; }

 private:
  using Sizes = std::array<std::uint32_t, kSlots>;

  Fragment fragment_;
  std::vector<Sizes> sizes_;  // bytes of each slot, for each family of the fragment
};

}  // namespace vitalsd::kubernetes
