#include "daemon/state_file.hpp"

#include "probes/error.hpp"
#include "probes/saved_number.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd {
namespace {

namespace json = boost::json;

constexpr std::int64_t kFormatVersion = 1;

std::string text_at(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

std::chrono::system_clock::time_point from_nanoseconds(const json::value& since_epoch) {
  return std::chrono::system_clock::time_point(
      std::chrono::nanoseconds(since_epoch.to_number<std::int64_t>()));
}

std::int64_t to_nanoseconds(std::chrono::system_clock::time_point time) {
  return std::chrono::nanoseconds(time.time_since_epoch()).count();
}

SavedProbe read_probe(const json::object& object) {
  SavedProbe probe;
  probe.kind = text_at(object, "kind");
  probe.target = text_at(object, "target");
  if (const json::value* since_epoch = object.if_contains("last_success_ns")) {
    probe.memory.last_success = from_nanoseconds(*since_epoch);
  }
  if (const json::value* times = object.if_contains("facts_observed_ns")) {
    for (const auto& [part, since_epoch] : times->as_object()) {
      probe.memory.fact_times.emplace(part, from_nanoseconds(since_epoch));
    }
  }
  if (object.if_contains("notes") != nullptr) probe.memory.notes = text_at(object, "notes");
  for (const json::value& each : object.at("facts").as_array()) {
    const json::object& fact = each.as_object();
    StoredFact& stored = probe.memory.facts.emplace_back();
    stored.part = text_at(fact, "part");
    stored.metric = text_at(fact, "metric");
    stored.value = read_saved_number(fact.at("value"));
    if (fact.contains("instance")) stored.instance = text_at(fact, "instance");
    for (const json::value& label : fact.at("labels").as_array()) {
      stored.labels.emplace_back(label.as_string());
    }
  }
  return probe;
}

std::string error_text(const char* action, const std::string& path, int error) {
  return std::string("cannot ") + action + ' ' + path + ": " + std::strerror(error);
}
std::string error_of(const char* action, const std::string& path) {
  return error_text(action, path, errno);
}

// Whether a read error may have a cause other than the file, so that a later attempt may succeed.
bool is_transient(int error) {
  constexpr std::array kTransient = {EIO, ESTALE, EINTR, ETIMEDOUT};
  return is_local_shortage(error) || std::ranges::find(kTransient, error) != kTransient.end();
}

// Returns the content of the file, or errno.
std::expected<std::string, int> read_text(const std::string& path) {
  // Without O_NONBLOCK, opening a FIFO would block until another process opens it for writing.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return std::unexpected(errno);
  std::string text;
  std::array<char, std::size_t{64} << 10> piece{};
  ssize_t size = 0;
  do {
    size = read(file, piece.data(), piece.size());
    if (size > 0) text.append(piece.data(), static_cast<std::size_t>(size));
  } while (size > 0 || (size < 0 && errno == EINTR));
  std::expected<std::string, int> result = std::move(text);
  if (size < 0) result = std::unexpected(errno);
  close(file);
  return result;
}

// Writes a file and flushes it to the disk. Returns the error, or an empty string.
std::string write_text(const std::string& path, std::string_view rest) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return error_of("write", path);
  while (!rest.empty()) {
    const ssize_t written = write(file, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      std::string error = error_of("write", path);
      close(file);
      return error;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  const bool flushed = fsync(file) == 0;
  std::string error = flushed ? "" : error_of("write", path);
  if (close(file) != 0 && flushed) error = error_of("write", path);
  return error;
}

}  // namespace

std::string serialize_state(const SavedState& state) {
  json::object probes;
  for (const auto& [name, saved] : state) {
    json::object probe;
    probe["kind"] = saved.kind;
    probe["target"] = saved.target;
    if (saved.memory.last_success) {
      probe["last_success_ns"] = to_nanoseconds(*saved.memory.last_success);
    }
    if (!saved.memory.fact_times.empty()) {
      json::object& times = probe["facts_observed_ns"].emplace_object();
      for (const auto& [part, time] : saved.memory.fact_times) times[part] = to_nanoseconds(time);
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
      fact["value"] = saved_number(stored.value);
      if (!stored.instance.empty()) fact["instance"] = stored.instance;
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
      return std::unexpected("written by another version of vitalsd");
    }
    SavedState state;
    for (const auto& member : root.at("probes").as_object()) {
      state.emplace(std::string(member.key()), read_probe(member.value().as_object()));
    }
    return state;
  } catch (const std::exception& e) {  // not JSON, or JSON with a different structure
    return std::unexpected(std::string("damaged: ") + e.what());
  }
}

StateFile::StateFile(const std::string& directory, const Shard& shard) {
  const std::filesystem::path in(directory);
  path_ = (in / "state.json").string();
  if (shard.count <= 1) return;
  unsharded_ = path_;
  path_ = (in / ("state-" + std::to_string(shard.index) + "-of-" + std::to_string(shard.count) +
                 ".json"))
              .string();
}

StateFile::~StateFile() {
  if (lock_file_ >= 0) close(lock_file_);
}

// The kernel releases the lock when the process ends for any reason.
void StateFile::take_lock() {
  if (lock_ == Lock::held || lock_ == Lock::unsupported) return;
  const std::string path = path_ + ".lock";
  lock_problem_.clear();
  if (lock_file_ < 0) lock_file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_file_ < 0) {
    lock_ = Lock::not_taken;
    lock_problem_ = error_of("open", path);
  } else if (flock(lock_file_, LOCK_EX | LOCK_NB) == 0) {
    lock_ = Lock::held;
  } else if (errno == EWOULDBLOCK) {
    lock_ = Lock::held_by_other;
    lock_problem_ = "another process has locked " + path;
  } else {
    lock_ = Lock::unsupported;
    lock_problem_ = error_of("lock", path) + ": two processes could write this file";
  }
}

// Renames the unusable file. Returns the new name, or an empty string if that fails.
std::string StateFile::set_aside() {
  const std::string dated =
      path_ + ".unusable-" + fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::time(nullptr)));
  std::string aside = dated;
  for (int number = 2; std::filesystem::exists(aside); ++number)
    aside = fmt::format("{}-{}", dated, number);
  if (std::rename(path_.c_str(), aside.c_str()) != 0 && errno != ENOENT) return {};
  is_unusable_ = false;
  known_ = identity();
  return aside;
}

StateFile::Identity StateFile::identity() const {
  struct stat status{};
  if (stat(path_.c_str(), &status) != 0) return {};
  return {status.st_ino, status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec,
          status.st_size};
}

std::expected<SavedState, StateFile::Unusable> StateFile::load() {
  take_lock();
  known_ = identity();  // read before the file, so that save() detects a change during the read
  is_unusable_ = false;
  auto text = read_text(path_);
  const bool reads_unsharded = !text && text.error() == ENOENT && !unsharded_.empty();
  const std::string& path = reads_unsharded ? unsharded_ : path_;
  if (reads_unsharded) text = read_text(unsharded_);
  if (!text && text.error() == ENOENT) return SavedState{};
  if (!text && is_transient(text.error())) {
    return std::unexpected(Unusable{error_text("read", path, text.error()), true});
  }
  auto state = text ? parse_state(*text) : std::unexpected(error_text("read", path, text.error()));
  if (state) return std::move(*state);
  if (reads_unsharded) return std::unexpected(Unusable{state.error()});
  is_unusable_ = true;
  if (lock_ == Lock::held_by_other) return std::unexpected(Unusable{state.error()});
  const std::string aside = set_aside();
  return std::unexpected(
      Unusable{state.error() + (aside.empty() ? "; cannot move it aside, so it is not replaced"
                                              : "; moved to " + aside)});
}

StateFile::Result StateFile::save(const std::string& text,
                                  const std::function<bool()>& may_replace) {
  take_lock();
  if (lock_ == Lock::held_by_other) return {Saved::locked, lock_problem_};
  if (lock_ == Lock::not_taken) return {Saved::failed, lock_problem_};
  if (known_ && *known_ != identity())
    return {Saved::changed, path_ + " was changed by another process"};
  if (is_unusable_ && set_aside().empty()) return {Saved::failed, error_of("rename", path_)};
  const std::string fresh = path_ + ".new";
  std::string error = write_text(fresh, text);
  if (!error.empty()) return {Saved::failed, std::move(error)};
  if (!may_replace()) return {Saved::cancelled, {}};
  if (std::rename(fresh.c_str(), path_.c_str()) != 0) {
    return {Saved::failed, error_of("replace", path_)};
  }
  known_ = identity();
  return {Saved::yes, std::exchange(lock_problem_, {})};
}

}  // namespace vitalsd
