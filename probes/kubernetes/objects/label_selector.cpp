#include "probes/kubernetes/objects/label_selector.hpp"

#include <algorithm>
#include <cctype>
#include <expected>
#include <string>
#include <utility>

namespace vitalsd::kubernetes {
namespace {

constexpr std::size_t kMaxName = 63;
constexpr std::size_t kMaxPrefix = 253;

bool is_alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool is_word(std::string_view text, std::size_t max_size) {
  return !text.empty() && text.size() <= max_size && is_alphanumeric(text.front()) &&
         is_alphanumeric(text.back()) && std::ranges::all_of(text, [](char c) {
           return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

bool is_key(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_word(text, kMaxName);
  return is_word(text.substr(0, slash), kMaxPrefix) && is_word(text.substr(slash + 1), kMaxName);
}

bool is_value(std::string_view text) { return text.empty() || is_word(text, kMaxName); }

}  // namespace

// Parses a selector from left to right.
class SelectorParser {
 public:
  explicit SelectorParser(std::string_view text) : rest_(text) { out_.text_ = text; }

  config::Parsed<LabelSelector> parse() {
    skip_space();
    while (!rest_.empty()) {
      if (const std::string error = read_requirement(); !error.empty()) {
        return std::unexpected(config::quoted(out_.text_) +
                               " is not a valid label selector: " + error);
      }
      skip_space();
      if (rest_.empty()) break;
      if (!take(",")) {
        return std::unexpected(config::quoted(out_.text_) +
                               " is not a valid label selector: a comma is missing before " +
                               config::quoted(rest_));
      }
      skip_space();
      if (rest_.empty()) {
        return std::unexpected(config::quoted(out_.text_) +
                               " is not a valid label selector: it ends with a comma");
      }
    }
    return std::move(out_);
  }

 private:
  // Returns the error; empty: there is none.
  std::string read_requirement() {
    const bool absent = take("!");
    skip_space();
    const std::string key(word());
    if (!is_key(key)) return config::quoted(key) + " is not a valid label name";
    LabelSelector::Requirement& requirement = out_.labels_[key];
    if (absent) {
      requirement.absent = true;
      return {};
    }
    skip_space();
    if (take("!=")) {
      return read_value([&](std::string value) { requirement.not_in.insert(std::move(value)); });
    }
    if (take("==") || take("=")) {
      return read_value([&](std::string value) { narrow(requirement, {std::move(value)}); });
    }
    const std::string_view before = rest_;
    const std::string_view keyword = word();
    if (keyword == "in" || keyword == "notin") {
      std::set<std::string> values;
      if (std::string error = read_values(values); !error.empty()) return error;
      if (keyword == "in") {
        narrow(requirement, std::move(values));
      } else {
        requirement.not_in.merge(values);
      }
      return {};
    }
    rest_ = before;
    requirement.present = true;
    return {};
  }

  template <class Use>
  std::string read_value(const Use& use) {
    skip_space();
    std::string value(word());
    if (!is_value(value)) return config::quoted(value) + " is not a valid label value";
    use(std::move(value));
    return {};
  }

  std::string read_values(std::set<std::string>& values) {
    skip_space();
    if (!take("(")) return "expected values in parentheses";
    do {
      std::string error = read_value([&](std::string value) { values.insert(std::move(value)); });
      if (!error.empty()) return error;
      skip_space();
    } while (take(","));
    return take(")") ? "" : "a closing parenthesis is missing";
  }

  static void narrow(LabelSelector::Requirement& requirement, std::set<std::string> values) {
    requirement.present = true;
    if (requirement.in) {
      std::erase_if(values,
                    [&](const std::string& value) { return !requirement.in->contains(value); });
    }
    requirement.in = std::move(values);
  }

  std::string_view word() {
    const std::size_t size = std::min(rest_.find_first_of(" \t,()=!"), rest_.size());
    const std::string_view word = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return word;
  }

  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }

  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  LabelSelector out_;
  std::string_view rest_;
};

config::Parsed<LabelSelector> LabelSelector::parse(std::string_view text) {
  return SelectorParser(text).parse();
}

bool LabelSelector::Requirement::excludes(const Requirement& other) const {
  if (absent && other.present) return true;
  return in && std::ranges::none_of(*in, [&](const std::string& value) {
           return !not_in.contains(value) && !other.not_in.contains(value) &&
                  (!other.in || other.in->contains(value));
         });
}

bool LabelSelector::disjoint(const LabelSelector& other) const {
  return std::ranges::any_of(labels_, [&](const auto& entry) {
    const auto& [name, requirement] = entry;
    const auto same = other.labels_.find(name);
    return same != other.labels_.end() &&
           (requirement.excludes(same->second) || same->second.excludes(requirement));
  });
}

}  // namespace vitalsd::kubernetes
