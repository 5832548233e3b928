// The objects that fail a check: their number and the names of the first ten.
#pragma once

#include "exporter/model/sample_set.hpp"

#include <cstddef>
#include <string>

namespace vitalsd::kubernetes {

class FaultyObjects {
 public:
  explicit FaultyObjects(const Check& check) : check_(check) {}

  /// `name` may contain a reason: "shop/api-1 (CrashLoopBackOff)".
  void add(const std::string& name) {
    if (++count_ > kMaxNames) return;
    if (!names_.empty()) names_ += ", ";
    names_ += name;
  }

  /// The check's value is the number of objects.
  void report(Part& out) const {
    std::string names = names_;
    if (count_ > kMaxNames) names += " and " + std::to_string(count_ - kMaxNames) + " more";
    out.check(check_, static_cast<double>(count_), names);
  }

 private:
  static constexpr std::size_t kMaxNames = 10;

  const Check& check_;
  std::size_t count_ = 0;
  std::string names_;
};

}  // namespace vitalsd::kubernetes
