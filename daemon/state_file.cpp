#include "daemon/state_file.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fcntl.h>
#include <unistd.h>

namespace vitalsd {
namespace {

namespace json = boost::json;

constexpr std::int64_t kFormatVersion = 1;

std::string text_at(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

// Numbers as text: Boost.JSON 1.81 reads doubles to within a few units in the last place only, and
// cannot read the infinities that it writes.
json::string to_text(double number) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return json::string(buffer.data(), static_cast<std::size_t>(result.ptr - buffer.data()));
}

double number_at(const json::object& object, std::string_view key) {
  const std::string text = text_at(object, key);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument("not a number: " + text);
  }
  return number;
}

SavedProbe read_probe(const json::object& object) {
  SavedProbe probe;
  probe.kind = text_at(object, "kind");
  probe.target = text_at(object, "target");
  if (const json::value* since_epoch = object.if_contains("last_success_ns")) {
    probe.memory.last_success = std::chrono::system_clock::time_point(
        std::chrono::nanoseconds(since_epoch->to_number<std::int64_t>()));
  }
  if (object.if_contains("notes") != nullptr) probe.memory.notes = text_at(object, "notes");
  for (const json::value& each : object.at("facts").as_array()) {
    const json::object& fact = each.as_object();
    StoredFact& stored = probe.memory.facts.emplace_back();
    stored.part = text_at(fact, "part");
    stored.metric = text_at(fact, "metric");
    stored.value = number_at(fact, "value");
    for (const json::value& label : fact.at("labels").as_array()) {
      stored.labels.emplace_back(label.as_string());
    }
  }
  return probe;
}

std::string error_of(const char* action, const std::string& path) {
  return std::string("cannot ") + action + ' ' + path + ": " + std::strerror(errno);
}

}  // namespace

std::string state_file_path(const std::string& directory) {
  return (std::filesystem::path(directory) / "state.json").string();
}

std::string serialize_state(const SavedState& state) {
  json::object probes;
  for (const auto& [name, saved] : state) {
    json::object probe;
    probe["kind"] = saved.kind;
    probe["target"] = saved.target;
    if (saved.memory.last_success) {
      probe["last_success_ns"] =
          std::chrono::nanoseconds(saved.memory.last_success->time_since_epoch()).count();
    }
    if (!saved.memory.notes.empty()) probe["notes"] = saved.memory.notes;
    json::array& facts = probe["facts"].emplace_array();
    for (const StoredFact& stored : saved.memory.facts) {
      json::array labels;
      for (const std::string& label : stored.labels) labels.emplace_back(label);
      json::object fact;
      fact["part"] = stored.part;
      fact["metric"] = stored.metric;
      fact["labels"] = std::move(labels);
      fact["value"] = to_text(stored.value);
      facts.push_back(std::move(fact));
    }
    probes[name] = std::move(probe);
  }
  json::object document;
  document["version"] = kFormatVersion;
  document["probes"] = std::move(probes);
  return json::serialize(document) + '\n';
}

std::expected<SavedState, std::string> parse_state(std::string_view text) {
  try {
    const json::value document = json::parse(json::string_view(text.data(), text.size()));
    const json::object& root = document.as_object();
    if (root.at("version").to_number<std::int64_t>() != kFormatVersion) {
      return std::unexpected("it was written by another version of vitalsd");
    }
    SavedState state;
    for (const auto& member : root.at("probes").as_object()) {
      state.emplace(std::string(member.key()), read_probe(member.value().as_object()));
    }
    return state;
  } catch (const std::exception& e) {  // not JSON, or JSON of another shape
    return std::unexpected(std::string("it is damaged: ") + e.what());
  }
}

std::expected<SavedState, std::string> load_state(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    if (errno == ENOENT) return SavedState{};
    return std::unexpected(error_of("read", path));
  }
  std::ostringstream text;
  text << in.rdbuf();
  return parse_state(text.view());
}

std::string save_state(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return error_of("write", fresh);
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = write(file, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const std::string error = error_of("write", fresh);
      close(file);
      return error;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  const bool flushed = fsync(file) == 0;
  if (close(file) != 0 || !flushed) return error_of("write", fresh);
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return error_of("replace", path);
  return {};
}

}  // namespace vitalsd
