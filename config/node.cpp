#include "config/node.hpp"

#include "config/characters.hpp"

#include <algorithm>
#include <cstddef>
#include <unordered_set>

namespace vitalsd::config {
namespace {

const Value kNothing;

std::string article(std::string_view type) {
  if (type.starts_with("true") || type == "text") return std::string(type);
  constexpr std::string_view kVowels = "aeiou";  // correct for all type names of this module
  return (kVowels.contains(type.front()) ? "an " : "a ") + std::string(type);
}

std::string unknown_key(std::string_view key, const std::vector<std::string>& declared) {
  // Prometheus, Telegraf and others use this name.
  if (key == "insecure_skip_verify") return "unknown key: use verify: false in tls";
  const std::vector<std::string_view> known(declared.begin(), declared.end());
  std::string known_list;
  if (nearest(key, known).empty() && !known.empty()) {
    for (const std::string_view other : known) {
      if (known_list.contains(' ' + std::string(other) + ',')) continue;
      known_list += ' ' + std::string(other) + ',';
    }
    known_list.pop_back();
    known_list = "; known keys:" + known_list;
  }
  return "unknown key" + did_you_mean(key, known) + known_list;
}

// Duplicate URLs are detected by the code that parses them, because two different texts may be the
// same URL.
void refuse_duplicates(const std::vector<Value>& items, const std::string& path,
                       Problems& problems) {
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Value& item = items[i];
    if (item.kind != Value::Kind::scalar || item.text.contains("://")) continue;
    if (seen.insert(item.text).second) continue;
    problems.error(item.mark, path + '[' + std::to_string(i) + ']',
                   quoted(item.text) + " is listed twice");
  }
}

// As in Kubernetes: letters, digits and "_-.", no digit first. A variable that nobody expands has a
// warning of its own.
bool is_variable_name(std::string_view text) {
  return !text.empty() && !is_digit(text.front()) && std::ranges::all_of(text, [](char c) {
    return is_letter(c) || is_digit(c) || std::string_view("_-.${}").contains(c);
  });
}

std::string must_be(const std::string& expected, const Value& found) {
  return "must be " + expected + ", not " + std::string(found.kind_name());
}

std::string must_be_mapping(const Value& found) {
  return must_be("a mapping of keys", found) +
         (found.kind == Value::Kind::scalar ? ": write KEY: VALUE" : "");
}

std::string must_be_list(const Value& found) {
  return must_be("a list", found) +
         (found.kind == Value::Kind::mapping ? ": write '- ' before each item" : "");
}

}  // namespace

Node::Node(const Value& value, std::string path, Problems& problems)
    : value_(&value), path_(std::move(path)), problems_(&problems) {
  if (value.kind != Value::Kind::mapping && value.kind != Value::Kind::null) {
    problems.error(value.mark, path_, must_be_mapping(value));
  }
}

Node Node::describing(std::vector<Option>& options, Problems& ignored) {
  Node node(kNothing, "", ignored);
  node.options_ = &options;
  return node;
}

const Member* Node::member(std::string_view key) const { return value_->find(key); }

std::string Node::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + '.' + std::string(key);
}

Mark Node::mark(std::string_view key) const {
  const Member* found = member(key);
  return found == nullptr ? value_->mark : found->value.mark;
}

void Node::declare(std::string_view key, std::string_view type, std::string fallback, bool required,
                   std::string_view help) {
  declared_.emplace_back(key);
  if (options_ == nullptr) return;
  options_->push_back(
      {path_of(key), std::string(type), std::move(fallback), required, std::string(help)});
}

void Node::missing(std::string_view key, std::string_view type) {
  const bool mapping = value_->kind == Value::Kind::mapping || value_->kind == Value::Kind::null;
  if (options_ != nullptr || !mapping) return;  // not a mapping: already reported
  problems_->error(value_->mark, path_,
                   "required key '" + std::string(key) + "' is missing: must be " + article(type));
}

void Node::error(std::string_view key, std::string message) {
  if (options_ != nullptr) return;
  problems_->error(mark(key), member(key) == nullptr ? path_ : path_of(key), std::move(message));
}

void Node::warning(std::string_view key, std::string message) {
  if (options_ != nullptr) return;
  problems_->warning(mark(key), path_of(key), std::move(message));
}

void Node::out_of_range(std::string_view key, const std::string& min, const std::string& max) {
  error(key, "must be between " + min + " and " + max);
}

const std::string* Node::scalar(const Value& value, const std::string& path, std::string_view type,
                                bool plain) {
  if (value.kind != Value::Kind::scalar) {
    problems_->error(value.mark, path, must_be(article(type), value));
    return nullptr;
  }
  if (plain && value.quoted) {
    problems_->error(value.mark, path, must_be(article(type), value) + ": remove the quotes");
    return nullptr;
  }
  return &value.text;
}

const std::vector<Value>& Node::items(std::string_view key) {
  const Member* found = member(key);
  if (found == nullptr) return kNothing.items;
  if (found->value.kind != Value::Kind::sequence) {
    problems_->error(found->value.mark, path_of(key), must_be_list(found->value));
  }
  refuse_duplicates(found->value.items, path_of(key), *problems_);
  return found->value.items;
}

const std::vector<Member>& Node::entries(std::string_view key) {
  const Member* found = member(key);
  if (found == nullptr) return kNothing.members;
  if (found->value.kind != Value::Kind::mapping) {
    problems_->error(found->value.mark, path_of(key), must_be_mapping(found->value));
  }
  return found->value.members;
}

std::string Node::choice(std::string_view key, const std::vector<std::string_view>& choices,
                         std::string_view help) {
  std::string type = "one of";
  for (const std::string_view c : choices)
    type += (c == choices.front() ? " " : ", ") + std::string(c);
  declare(key, type, std::string(choices.front()), false, help);
  const std::optional<std::string> text = read<std::string>(key);
  if (!text) return std::string(choices.front());
  if (std::ranges::find(choices, *text) != choices.end()) return *text;
  error(key, quoted(*text) + " is not valid: must be " + type + did_you_mean(*text, choices));
  return std::string(choices.front());
}

Secret Node::secret(std::string_view key, std::string_view help) {
  declare(key, "secret", "", false, help);
  const Member* found = member(key);
  if (found == nullptr) return {};
  const Value& value = found->value;
  if (value.kind == Value::Kind::scalar && value.text.empty()) {
    error(key, "must not be empty");
    return {};
  }
  if (value.kind == Value::Kind::scalar) {
    warning(key,
            "the secret is in plain text in this file: use {file: PATH}, {env: NAME} or "
            "{credential: NAME}");
    return Secret::literal(value.text);
  }
  const std::string forms = "{file: PATH}, {env: NAME} or {credential: NAME}";
  if (value.kind != Value::Kind::mapping) {
    error(key, must_be(forms, value));
    return {};
  }
  // Another key may be a part of a secret that begins with a brace, so it is not shown.
  const std::vector<std::string_view> sources = {"file", "env", "credential"};
  for (const Member& found_source : value.members) {
    if (!nearest(found_source.key, sources).empty()) continue;
    error(key, "must have exactly one source: " + forms + "; a secret in plain text that begins " +
                   "with a brace must be in quotes");
    return {};
  }
  Node source(value, path_of(key), *problems_);
  const auto file = source.find<std::string>("file", "");
  const auto environment = source.find<std::string>("env", "");
  const auto credential = source.find<std::string>("credential", "");
  source.finish();
  if (source.has("file") + source.has("env") + source.has("credential") != 1) {
    error(key, "must have exactly one source: " + forms);
    return {};
  }
  if (environment && !is_variable_name(*environment)) {
    source.error("env", "must be the name of an environment variable");
    return {};
  }
  if (credential && credential->find_first_of(" \t\n/") != std::string::npos) {
    source.error("credential", "must be the name of a credential");
    return {};
  }
  if (file) return Secret::file(*file);
  if (credential) return Secret::credential(*credential);
  return environment ? Secret::environment(*environment) : Secret();
}

Node& Node::section(std::string_view key, std::string_view help) {
  declare(key, "mapping", "", false, help);
  const Member* found = member(key);
  sections_.emplace_back(
      Node(found == nullptr ? kNothing : found->value, path_of(key), *problems_));
  sections_.back().options_ = options_;
  return sections_.back();
}

Node* Node::find_section(std::string_view key, std::string_view help) {
  Node& node = section(key, help);
  return has(key) || options_ != nullptr ? &node : nullptr;
}

std::list<Node>& Node::sections(std::string_view key, std::string_view help) {
  declare(key, "list of mappings", "", false, help);
  std::list<Node>& list = lists_.emplace_back();
  std::size_t index = 0;
  for (const Value& item : items(key)) {
    list.emplace_back(Node(item, path_of(key) + '[' + std::to_string(index++) + ']', *problems_));
  }
  if (options_ != nullptr) {
    list.emplace_back(Node(kNothing, path_of(key) + "[]", *problems_));
    list.back().options_ = options_;
  }
  return list;
}

void Node::finish() {
  const std::unordered_set<std::string_view> declared(declared_.begin(), declared_.end());
  for (const Member& found : value_->members) {
    if (ignore_unknown_ || declared.contains(found.key)) continue;
    // The search for a similar key is costly, so it is skipped for messages that are not shown.
    problems_->error(found.mark, path_of(found.key),
                     problems_->full() ? std::string() : unknown_key(found.key, declared_));
  }
  for (Node& section : sections_) section.finish();
  for (std::list<Node>& list : lists_) {
    for (Node& node : list) node.finish();
  }
}

}  // namespace vitalsd::config
