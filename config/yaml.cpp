#include "config/yaml.hpp"

#include "config/yaml_errors.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace vitalsd::config {

const Member* Value::find(std::string_view key) const {
  const auto it = std::ranges::find(members, key, &Member::key);
  return it == members.end() ? nullptr : &*it;
}

std::string_view Value::kind_name() const {
  switch (kind) {
    case Kind::null:
      return "empty";
    case Kind::scalar:
      return "text";
    case Kind::sequence:
      return "a list";
    case Kind::mapping:
      return "a mapping";
  }
  return "";
}

namespace {

// Limits for the values that anchors and aliases add. Values with an anchor are copied, every alias
// is a copy, and copies of copies grow exponentially. Real files stay far below these limits.
constexpr std::size_t kMaxCopiedValues = 100'000;
constexpr std::size_t kMaxCopiedBytes = std::size_t{16} << 20;
constexpr std::size_t kMaxValues = 1'000'000;
constexpr std::size_t kMaxDepth = 200;  // readers of the tree are recursive

// Stops the parser, because a larger document would take too much memory or stack.
struct TooLarge {
  Mark mark;
  std::string message;
};

struct Extent {
  std::size_t values = 0;
  std::size_t bytes = 0;
  std::size_t depth = 0;
};

Extent extent_of(const Value& value) {
  Extent sum{1, value.text.size(), 0};
  const auto add = [&](const Extent& inner) {
    sum.values += inner.values;
    sum.bytes += inner.bytes;
    sum.depth = std::max(sum.depth, inner.depth);
  };
  for (const Value& item : value.items) add(extent_of(item));
  for (const Member& member : value.members) {
    add(extent_of(member.value));
    sum.bytes += member.key.size();
  }
  ++sum.depth;
  return sum;
}

Mark to_mark(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

// Builds the tree from the parser's events. YAML::Node is not used, because it loses the places of
// keys and duplicate keys.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, Problems& problems) : text_(text), problems_(problems) {}

  Value take() { return std::move(root_); }

  [[nodiscard]] YamlProgress progress() const {
    YamlProgress progress{.scalar = last_scalar_, .is_quoted = last_is_quoted_};
    if (open_.empty() || !open_.back().is_flow) return progress;
    const Value& value = open_.back().value;
    progress.flow = {value.kind == Value::Kind::mapping ? '{' : '[', value.mark};
    return progress;
  }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const std::string_view rest = text_.substr(std::min<std::size_t>(mark.pos, text_.size()));
    constexpr std::array kForms = {"null", "Null", "NULL", "~"};
    is_null_written_ = anchor != 0 || std::ranges::any_of(kForms, [&](auto form) {
                         return rest.starts_with(form);
                       });
    put(value(Value::Kind::null, mark), anchor);
    is_null_written_ = true;
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    check_tag(mark, tag);
    Value scalar = value(Value::Kind::scalar, mark);
    scalar.quoted = tag == "!";
    scalar.text = text;
    last_scalar_ = scalar.mark;
    last_is_quoted_ = scalar.quoted;
    put(std::move(scalar), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) {
      problems_.error(to_mark(mark), "", "the alias is inside the value of its own anchor");
      put(value(Value::Kind::null, mark), 0);
      return;
    }
    if (charge(it->second, to_mark(mark)).depth + open_.size() > kMaxDepth) too_deep(mark);
    put(Value(it->second), 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(Value::Kind::sequence, mark, tag, anchor, style);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(Value::Kind::mapping, mark, tag, anchor, style);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Value value;
    YAML::anchor_t anchor;
    std::string key;
    Mark key_mark;
    bool has_key;
    bool is_flow;                                // in brackets
    std::unordered_map<std::string, int> lines;  // of the keys, for messages
  };

  Value value(Value::Kind kind, const YAML::Mark& mark) {
    if (++values_ > kMaxValues) {
      throw TooLarge{to_mark(mark), "the file has more than 1000000 values"};
    }
    Value v;
    v.kind = kind;
    v.mark = to_mark(mark);
    return v;
  }

  // Counts a copy before it is made. Throws TooLarge.
  Extent charge(const Value& v, Mark mark) {
    const Extent extent = extent_of(v);
    copied_values_ += extent.values;
    copied_bytes_ += extent.bytes;
    if (copied_values_ > kMaxCopiedValues || copied_bytes_ > kMaxCopiedBytes) {
      throw TooLarge{mark, "anchors and aliases make the file too large: use fewer aliases"};
    }
    return extent;
  }

  [[noreturn]] static void too_deep(const YAML::Mark& mark) {
    throw TooLarge{to_mark(mark), "the values are nested too deeply"};
  }

  void open(Value::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YAML::EmitterStyle::value style) {
    check_tag(mark, tag);
    if (open_.size() >= kMaxDepth) too_deep(mark);
    open_.push_back(
        {value(kind, mark), anchor, {}, {}, false, style == YAML::EmitterStyle::Flow, {}});
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      // The tag may be the start of a password.
      problems_.error(to_mark(mark), "",
                      "a value that begins with '!' must be in quotes: tags are not supported");
    }
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    put(std::move(done.value), done.anchor);
  }

  void put(Value v, YAML::anchor_t anchor) {
    if (anchor != 0) {
      charge(v, v.mark);
      anchors_[anchor] = v;
    }
    if (open_.empty()) {
      root_ = std::move(v);
      return;
    }
    Open& parent = open_.back();
    if (parent.value.kind == Value::Kind::sequence) {
      parent.value.items.push_back(std::move(v));
    } else if (!parent.has_key) {
      take_key(parent, v);
    } else {
      parent.has_key = false;
      if (v.kind == Value::Kind::null) {
        // yaml-cpp places a null value in the next line, which would mislead the user.
        v.mark = parent.key_mark;
        if (parent.is_flow && !parent.key.empty() && !is_null_written_) {
          refuse_key_without_value(parent);
          return;
        }
      }
      if (!parent.key.empty()) {
        parent.value.members.push_back({std::move(parent.key), parent.key_mark, std::move(v)});
      }
    }
  }

  // In brackets, "key:value" and text after a comma are keys without a value. The key is not shown
  // and not read, because it may be a part of a secret.
  void refuse_key_without_value(const Open& parent) {
    const bool lacks_space = !last_is_quoted_ && parent.key.contains(':');
    problems_.error(parent.key_mark, "",
                    lacks_space ? "a space is missing after the ':'"
                                : "a key in braces has no value: put text with a comma or a brace "
                                  "in quotes");
  }

  void take_key(Open& parent, const Value& key) {
    parent.has_key = true;
    parent.key.clear();  // put() discards the value of an empty key
    parent.key_mark = key.mark;
    if (key.kind == Value::Kind::mapping && parent.is_flow) {
      problems_.error(key.mark, "",
                      "a key must be text: if '{{' is of a template, render the file first");
    } else if (key.kind != Value::Kind::scalar || key.text.empty()) {
      problems_.error(key.mark, "", "a key must be text");
    } else if (key.text == "<<") {
      problems_.error(key.mark, "", "merge keys (<<) are not supported: repeat the keys");
    } else if (const auto [first, is_new] = parent.lines.try_emplace(key.text, key.mark.line);
               !is_new) {
      problems_.error(key.mark, "",
                      "duplicate key" + (parent.is_flow ? "" : ' ' + quoted(key.text)) + ": line " +
                          std::to_string(first->second) + " has it too");
    } else {
      parent.key = key.text;
    }
  }

  std::string_view text_;
  Problems& problems_;
  bool is_null_written_ = true;  // the null value that put() adds; no: there is no text for it
  Value root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Value> anchors_;
  Mark last_scalar_;
  bool last_is_quoted_ = false;
  std::size_t values_ = 0;
  std::size_t copied_values_ = 0;
  std::size_t copied_bytes_ = 0;
};

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void append_canonical(std::string& out, const Value& value) {
  switch (value.kind) {
    case Value::Kind::null:
      out += '~';
      break;
    case Value::Kind::scalar:
      append_quoted(out, value.text);
      break;
    case Value::Kind::sequence:
      out += '[';
      for (const Value& item : value.items) {
        append_canonical(out, item);
        out += ',';
      }
      out += ']';
      break;
    case Value::Kind::mapping: {
      std::vector<const Member*> sorted;
      for (const Member& member : value.members) sorted.push_back(&member);
      std::ranges::sort(sorted, {}, &Member::key);
      out += '{';
      for (const Member* member : sorted) {
        append_quoted(out, member->key);
        out += ':';
        append_canonical(out, member->value);
        out += ',';
      }
      out += '}';
      break;
    }
  }
}

}  // namespace

Value parse_yaml(std::string_view text, Problems& problems) {
  if (std::optional<YamlError> error = encoding_error(text)) {
    problems.error(error->mark, "", std::move(error->message));
    return {};
  }
  if (const std::optional<Mark> mark = find_not_utf8(text)) {
    problems.warning(*mark, "", "the file is not UTF-8 here: save it as UTF-8");
  }
  // yaml-cpp accepts an unclosed quote in the last line of a file. A comment in a further line
  // makes it an error.
  std::istringstream in(std::string(text) + (text.ends_with('\n') ? "#" : "\n#"));
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  const std::string_view without_mark =
      text.substr(text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0);
  Builder builder(without_mark, problems);
  try {
    YAML::Parser parser(in);
    if (!parser.HandleNextDocument(builder)) return {};
    Value root = builder.take();
    Builder second(without_mark, problems);
    if (parser.HandleNextDocument(second)) {
      problems.error(second.take().mark, "",
                     "the file has more than one document: remove the text after '---'");
    }
    return root;
  } catch (const TooLarge& e) {
    problems.error(e.mark, "", e.message);
    return {};
  } catch (const YAML::DeepRecursion& e) {
    problems.error(to_mark(e.mark), "", "the values are nested too deeply");
    return {};
  } catch (const YAML::Exception& e) {
    YamlError error = explain(text, e, builder.progress());
    problems.error(error.mark, "", std::move(error.message));
    return {};
  }
}

std::string canonical(const Value& value) {
  std::string out;
  append_canonical(out, value);
  return out;
}

}  // namespace vitalsd::config
