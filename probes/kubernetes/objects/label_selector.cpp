#include "probes/kubernetes/objects/label_selector.hpp"

#include <algorithm>
#include <cctype>
#include <expected>
#include <string>
#include <utility>

namespace vitalsd::kubernetes {
namespace {

constexpr std::size_t kLongestName = 63;
constexpr std::size_t kLongestPrefix = 253;

bool is_alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool is_word(std::string_view text, std::size_t longest) {
  return !text.empty() && text.size() <= longest && is_alphanumeric(text.front()) &&
         is_alphanumeric(text.back()) && std::ranges::all_of(text, [](char c) {
           return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

bool is_key(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_word(text, kLongestName);
  return is_word(text.substr(0, slash), kLongestPrefix) &&
         is_word(text.substr(slash + 1), kLongestName);
}

bool is_value(std::string_view text) { return text.empty() || is_word(text, kLongestName); }

}  // namespace

// Reads one text from left to right.
class SelectorParser {
 public:
  explicit SelectorParser(std::string_view text) : rest_(text) { out_.text_ = text; }

  config::Parsed<LabelSelector> parse() {
    skip_space();
    while (!rest_.empty()) {
      if (const std::string error = read_requirement(); !error.empty()) {
        return std::unexpected(config::quoted(out_.text_) + " is no label selector: " + error);
      }
      skip_space();
      if (rest_.empty()) break;
      if (!take(",")) {
        return std::unexpected(config::quoted(out_.text_) +
                               " is no label selector: a comma is missing before " +
                               config::quoted(rest_));
      }
      skip_space();
      if (rest_.empty()) {
        return std::unexpected(config::quoted(out_.text_) +
                               " is no label selector: it ends with a comma");
      }
    }
    return std::move(out_);
  }

 private:
  // The error; empty: none.
  std::string read_requirement() {
    const bool absent = take("!");
    skip_space();
    const std::string key(word());
    if (!is_key(key)) return config::quoted(key) + " is no name of a label";
    LabelSelector::Wanted& wanted = out_.labels_[key];
    if (absent) {
      wanted.absent = true;
      return {};
    }
    skip_space();
    if (take("!=")) {
      return read_value([&](std::string value) { wanted.not_among.insert(std::move(value)); });
    }
    if (take("==") || take("=")) {
      return read_value([&](std::string value) { narrow(wanted, {std::move(value)}); });
    }
    const std::string_view before = rest_;
    const std::string_view keyword = word();
    if (keyword == "in" || keyword == "notin") {
      std::set<std::string> values;
      if (std::string error = read_values(values); !error.empty()) return error;
      if (keyword == "in") {
        narrow(wanted, std::move(values));
      } else {
        wanted.not_among.merge(values);
      }
      return {};
    }
    rest_ = before;
    wanted.present = true;
    return {};
  }

  template <class Use>
  std::string read_value(const Use& use) {
    skip_space();
    std::string value(word());
    if (!is_value(value)) return config::quoted(value) + " is no value of a label";
    use(std::move(value));
    return {};
  }

  std::string read_values(std::set<std::string>& values) {
    skip_space();
    if (!take("(")) return "values in parentheses are missing";
    do {
      std::string error = read_value([&](std::string value) { values.insert(std::move(value)); });
      if (!error.empty()) return error;
      skip_space();
    } while (take(","));
    return take(")") ? "" : "a closing parenthesis is missing";
  }

  static void narrow(LabelSelector::Wanted& wanted, std::set<std::string> values) {
    wanted.present = true;
    if (wanted.among) {
      std::erase_if(values, [&](const std::string& each) { return !wanted.among->contains(each); });
    }
    wanted.among = std::move(values);
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

bool LabelSelector::Wanted::excludes(const Wanted& other) const {
  if (absent && other.present) return true;
  return among && std::ranges::none_of(*among, [&](const std::string& value) {
           return !not_among.contains(value) && !other.not_among.contains(value) &&
                  (!other.among || other.among->contains(value));
         });
}

bool LabelSelector::disjoint(const LabelSelector& other) const {
  return std::ranges::any_of(labels_, [&](const auto& each) {
    const auto same = other.labels_.find(each.first);
    return same != other.labels_.end() &&
           (each.second.excludes(same->second) || same->second.excludes(each.second));
  });
}

}  // namespace vitalsd::kubernetes
