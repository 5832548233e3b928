// A selector of labels, as `kubectl get --selector` takes it:
// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
#pragma once

#include "config/scalar.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

class LabelSelector {
 public:
  LabelSelector() = default;  ///< everything

  /// What the API server would refuse is an error here.
  static config::Parsed<LabelSelector> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

  /// Whether both can tell that no object is of interest to both, whatever objects there are.
  [[nodiscard]] bool disjoint(const LabelSelector& other) const;

  bool operator==(const LabelSelector& other) const { return text_ == other.text_; }

 private:
  friend class SelectorParser;

  /// What is asked of the value of one label.
  struct Wanted {
    bool absent = false;                         ///< there is none
    bool present = false;                        ///< there is one
    std::optional<std::set<std::string>> among;  ///< which is one of these
    std::set<std::string> not_among;             ///< and none of these
    [[nodiscard]] bool excludes(const Wanted& other) const;
  };

  std::string text_;
  std::map<std::string, Wanted> labels_;
};

}  // namespace vitalsd::kubernetes

template <>
struct vitalsd::config::Scalar<vitalsd::kubernetes::LabelSelector> {
  static constexpr std::string_view kName = "label selector";
  static constexpr bool kPlain = false;
  static Parsed<kubernetes::LabelSelector> parse(std::string_view text) {
    return kubernetes::LabelSelector::parse(text);
  }
  static std::string show(const kubernetes::LabelSelector& value) { return value.text(); }
};
