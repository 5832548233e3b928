// A label selector in the syntax of `kubectl get --selector`:
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
  LabelSelector() = default;  ///< selects all objects

  /// Rejects text that the API server would reject.
  static config::Parsed<LabelSelector> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

  /// Whether no object can match both selectors, as far as the selectors alone show.
  [[nodiscard]] bool disjoint(const LabelSelector& other) const;

  bool operator==(const LabelSelector& other) const { return text_ == other.text_; }

 private:
  friend class SelectorParser;

  /// The requirements for one label.
  struct Requirement {
    bool absent = false;                      ///< the label must not exist
    bool present = false;                     ///< the label must exist
    std::optional<std::set<std::string>> in;  ///< its value must be one of these
    std::set<std::string> not_in;             ///< its value must not be one of these
    [[nodiscard]] bool excludes(const Requirement& other) const;
  };

  std::string text_;
  std::map<std::string, Requirement> labels_;
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
