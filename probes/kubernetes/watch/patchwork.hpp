// The lines of a few objects as one fragment, in which those of an object can be replaced without
// rendering the others anew, and without a copy of the families that do not change. Pure.
#pragma once

#include "exporter/model/sample_set.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

class Patchwork {
 public:
  /// Objects, known by their place: enough of them to make a fragment's lines worth a slab of their
  /// own, few enough to be copied for one event.
  static constexpr std::uint32_t kPlaces = 8;

  /// New lines of some objects. One is kept for many patchworks, as its room is.
  class Patch {
   public:
    void clear();
    /// The object at this place, which is in the patch once, has these samples now, or none.
    void set(std::uint32_t place, const Part& samples, std::string_view constant_labels);

   private:
    friend class Patchwork;
    struct Place {
      bool changed = false;
      std::size_t begin = 0;  // of its families in rendering_
      std::size_t end = 0;
    };
    [[nodiscard]] std::string_view lines(const Place& place, const MetricInfo* metric) const;

    Rendering rendering_;
    std::array<Place, kPlaces> places_{};
  };

  void apply(const Patch& patch);

  /// Null while there is not a line.
  [[nodiscard]] const Fragment& fragment() const { return fragment_; }

 private:
  using Sizes = std::array<std::uint32_t, kPlaces>;

  Fragment fragment_;
  std::vector<Sizes> sizes_;  // bytes of each place in each of the fragment's families
};

}  // namespace vitalsd::kubernetes
