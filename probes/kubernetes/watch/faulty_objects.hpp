// Objects with a fault, for checks: their number, and the names of the first few.
#pragma once

#include "exporter/model/sample_set.hpp"

#include <cstddef>
#include <string>

namespace vitalsd::kubernetes {

class FaultyObjects {
 public:
  explicit FaultyObjects(const Check& check) : check_(check) {}

  /// "shop/api-1 (CrashLoopBackOff)".
  void add(const std::string& name) {
    if (++count_ > kShown) return;
    if (!names_.empty()) names_ += ", ";
    names_ += name;
  }

  /// The check's reading is the number of them.
  void report(Part& out) const {
    std::string names = names_;
    if (count_ > kShown) names += " and " + std::to_string(count_ - kShown) + " more";
    out.check(check_, static_cast<double>(count_), names);
  }

 private:
  static constexpr std::size_t kShown = 10;

  const Check& check_;
  std::size_t count_ = 0;
  std::string names_;
};

}  // namespace vitalsd::kubernetes
