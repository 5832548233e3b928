#include "config/yaml.hpp"

#include "config/scalar.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <sstream>
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
      return "nothing";
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

// Aliases are copies, and copies of copies grow exponentially; no real file comes near this.
constexpr std::size_t kMaxCopiedValues = 100'000;

Mark to_mark(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

// Builds the tree from the parser's events; marks of keys and duplicate keys are lost in
// YAML::Node.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(Problems& problems) : problems_(problems) {}

  Value take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    put(value(Value::Kind::null, mark), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    check_tag(mark, tag);
    Value scalar = value(Value::Kind::scalar, mark);
    scalar.quoted = tag == "!";
    scalar.text = text;
    put(std::move(scalar), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) {
      problems_.error(to_mark(mark), "", "this alias stands inside its own anchor");
      put(value(Value::Kind::null, mark), 0);
      return;
    }
    copied_ += size(it->second);
    if (copied_ > kMaxCopiedValues) {
      if (!bomb_) problems_.error(to_mark(mark), "", "aliases make this file too large");
      bomb_ = true;
      put(value(Value::Kind::null, mark), 0);
      return;
    }
    put(Value(it->second), 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open_.push_back({value(Value::Kind::sequence, mark), anchor, {}, {}, false});
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open_.push_back({value(Value::Kind::mapping, mark), anchor, {}, {}, false});
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Value value;
    YAML::anchor_t anchor;
    std::string key;
    Mark key_mark;
    bool has_key;
  };

  static Value value(Value::Kind kind, const YAML::Mark& mark) {
    Value v;
    v.kind = kind;
    v.mark = to_mark(mark);
    return v;
  }

  static std::size_t size(const Value& v) {
    std::size_t n = 1;
    for (const Value& item : v.items) n += size(item);
    for (const Member& member : v.members) n += size(member.value);
    return n;
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      problems_.error(to_mark(mark), "", "the tag " + quoted(tag) + " is not supported");
    }
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    put(std::move(done.value), done.anchor);
  }

  void put(Value v, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = v;
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
      // A null's own mark is the next line; the key's is where the reader has to look.
      if (v.kind == Value::Kind::null) v.mark = parent.key_mark;
      if (!parent.key.empty()) {
        parent.value.members.push_back({std::move(parent.key), parent.key_mark, std::move(v)});
      }
    }
  }

  void take_key(Open& parent, const Value& key) {
    parent.has_key = true;
    parent.key.clear();  // an empty key drops its value below
    parent.key_mark = key.mark;
    if (key.kind != Value::Kind::scalar || key.text.empty()) {
      problems_.error(key.mark, "", "a key must be plain text");
    } else if (key.text == "<<") {
      problems_.error(key.mark, "", "merge keys are not supported: repeat the keys");
    } else if (const Member* first = parent.value.find(key.text)) {
      problems_.error(key.mark, "",
                      "the key " + quoted(key.text) + " stands twice, first in line " +
                          std::to_string(first->mark.line));
    } else {
      parent.key = key.text;
    }
  }

  Problems& problems_;
  Value root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Value> anchors_;
  std::size_t copied_ = 0;
  bool bomb_ = false;
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
  // yaml-cpp takes a quote that is never closed for closed if the file ends with its line; a
  // comment behind it makes that the error that it is.
  std::istringstream in(std::string(text) + (text.ends_with('\n') ? "#" : "\n#"));
  Builder builder(problems);
  try {
    YAML::Parser parser(in);
    if (!parser.HandleNextDocument(builder)) return {};
    Value root = builder.take();
    Builder second(problems);
    if (parser.HandleNextDocument(second)) {
      problems.error(second.take().mark, "",
                     "one file holds one document: remove what follows '---'");
    }
    return root;
  } catch (const YAML::DeepRecursion& e) {
    problems.error(to_mark(e.mark), "", "not valid YAML: nested too deeply");
    return {};
  } catch (const YAML::Exception& e) {
    problems.error(to_mark(e.mark), "", "not valid YAML: " + e.msg);
    return {};
  }
}

std::string canonical(const Value& value) {
  std::string out;
  append_canonical(out, value);
  return out;
}

}  // namespace vitalsd::config
