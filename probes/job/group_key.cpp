#include "probes/job/group_key.hpp"

#include "config/problems.hpp"
#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace vitalsd::job {

namespace {

constexpr std::string_view kEncoded = "@base64";
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kMaxLabels = 20;
constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxValue = 1'024;

std::string encode_base64(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    bits = bits << 8U | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) out += kDigits[bits >> (count - 6) & 63U];
  }
  if (count > 0) out += kDigits[bits << (6 - count) & 63U];
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c == '+' ? '-' : c == '/' ? '_' : c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 255U);
  }
  return out;
}

std::optional<unsigned> to_hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::optional<std::string> decode_percent(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const auto high = to_hex_digit(text[i + 1]);
    const auto low = to_hex_digit(text[i + 2]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high << 4U | *low);
    i += 2;
  }
  return out;
}

bool is_label_name(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && name.size() <= kMaxName && is_letter(name.front()) &&
         !name.starts_with("__") &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

// Control characters would make the line of a log or a page unreadable.
bool is_label_value(std::string_view value) {
  return value.size() <= kMaxValue && is_printable_utf8(value) &&
         std::ranges::none_of(value, [](unsigned char c) { return c < ' ' || c == 127; });
}

std::unexpected<PushAnswer> refuse(std::string text) {
  return std::unexpected(PushAnswer{400, std::move(text) + '\n'});
}

// "/a/b/" -> a, b and an empty part. "/" has none.
std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    parts.push_back(path.substr(0, path.find('/')));
    path.remove_prefix(parts.back().size());
  }
  if (parts.size() == 1 && parts.front().empty()) parts.clear();
  return parts;
}

}  // namespace

std::vector<std::string> push_paths(std::string_view name) {
  const std::string encoded = encode_base64(name);
  std::vector<std::string> paths = {"/metrics/job/" + std::string(name),
                                    "/metrics/job@base64/" + encoded};
  if (encoded.size() % 4 != 0) {
    paths.push_back(paths.back() + std::string(4 - encoded.size() % 4, '='));
  }
  return paths;
}

std::expected<GroupLabels, PushAnswer> parse_group(std::string_view path) {
  const std::vector<std::string_view> parts = split(path);
  if (parts.size() % 2 == 1) return refuse("The path has a label without a value.");
  if (parts.size() > 2 * kMaxLabels) return refuse("The path has more than 20 labels.");
  GroupLabels labels;
  for (std::size_t i = 0; i < parts.size(); i += 2) {
    std::string_view name = parts[i];
    const bool is_encoded = name.ends_with(kEncoded);
    if (is_encoded) name.remove_suffix(kEncoded.size());
    const std::string shown = config::quoted(shown_text(name, kMaxName));
    if (!is_label_name(name)) return refuse("The path has an invalid label name: " + shown + '.');
    if (name == "job") return refuse("The label job is already set to the name of the job.");
    if (std::ranges::find(labels, name, &GroupLabels::value_type::first) != labels.end()) {
      return refuse("The path has the label " + shown + " twice.");
    }
    std::optional<std::string> value = decode_percent(parts[i + 1]);
    if (value && is_encoded) value = decode_base64(*value);
    if (!value) {
      return refuse("The value of the label " + shown + " is not valid " +
                    (is_encoded ? "base64." : "percent-encoding."));
    }
    if (!is_label_value(*value)) {
      return refuse("The value of the label " + shown +
                    " must be UTF-8 of at most 1024 bytes without control characters.");
    }
    labels.emplace_back(name, std::move(*value));
  }
  std::erase_if(labels, [](const auto& label) { return label.second.empty(); });
  std::ranges::sort(labels);
  return labels;
}

}  // namespace vitalsd::job
