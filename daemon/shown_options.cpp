#include "daemon/shown_options.hpp"

#include "config/scalar.hpp"
#include "config/url.hpp"
#include "exporter/model/text_format.hpp"
#include "probes/net/http_access.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace vitalsd {
namespace {

constexpr std::array<std::string_view, 6> kShownElsewhere = {"name",    "kind",     "labels",
                                                             "enabled", "interval", "timeout"};
constexpr std::string_view kHidden = "(not shown)";

// The type of a single value: "text" of "list of text".
std::string_view without_list(std::string_view type) {
  constexpr std::string_view kList = "list of ";
  return type.starts_with(kList) ? type.substr(kList.size()) : type;
}

std::string url_text(const std::string& text) {
  const auto url = config::Scalar<config::Url>::parse(text);
  return url ? net::shown(*url) : std::string(kHidden);
}

std::string secret_text(const config::Value& value) {
  if (value.members.size() != 1) return std::string(kHidden);
  const config::Member& source = value.members.front();
  return '{' + source.key + ": " + source.value.text + '}';
}

class Flattened {
 public:
  explicit Flattened(const OptionTypes& types) : types_(types) {}

  // `declared` is the path in the reference, in which a list has no index.
  void add(const config::Value& value, const std::string& path, const std::string& declared) {
    const auto found = types_.find(declared);
    const std::string_view type = found == types_.end() ? "" : std::string_view(found->second);
    if (type == "secret") {
      show(path, secret_text(value));
    } else if (type.starts_with("mapping to ")) {
      // An error repeats an expected value.
      const bool is_shown = declared == "expect.json";
      for (const config::Member& member : value.members) {
        show(path + '.' + member.key, is_shown ? std::string_view(member.value.text) : kHidden);
      }
    } else if (value.kind == config::Value::Kind::mapping) {
      for (const config::Member& member : value.members) {
        add(member.value, path + '.' + member.key, declared + '.' + member.key);
      }
    } else if (value.kind == config::Value::Kind::sequence) {
      const bool is_plain = without_list(type) != "mappings";
      for (std::size_t i = 0; i < value.items.size(); ++i) {
        add(value.items[i], path + '[' + std::to_string(i) + ']',
            is_plain ? declared : declared + "[]");
      }
    } else if (value.kind == config::Value::Kind::scalar) {
      show(path, scalar_text(value.text, without_list(type), declared));
    }
  }

  std::vector<std::pair<std::string, std::string>> out;

 private:
  static std::string scalar_text(const std::string& text, std::string_view type,
                                 std::string_view declared) {
    if (type == "URL") return url_text(text);
    const bool is_switch = type == "mapping" && declared.starts_with("checks.");  // off
    if (type.empty() || (type == "mapping" && !is_switch) || declared == "body") {
      return std::string(kHidden);
    }
    return text;
  }

  void show(std::string path, std::string_view text) {
    constexpr std::size_t kMaxText = 200;
    out.emplace_back(std::move(path), shown_text(text, kMaxText));
  }

  const OptionTypes& types_;
};

}  // namespace

OptionTypes option_types(const std::vector<config::Option>& options) {
  OptionTypes types;
  for (const config::Option& option : options) types.emplace(option.path, option.type);
  return types;
}

std::vector<std::pair<std::string, std::string>> shown_options(const config::Value& probe,
                                                               const OptionTypes& types) {
  Flattened flattened(types);
  for (const config::Member& member : probe.members) {
    if (std::ranges::find(kShownElsewhere, member.key) != kShownElsewhere.end()) continue;
    flattened.add(member.value, member.key, member.key);
  }
  return std::move(flattened.out);
}

}  // namespace vitalsd
