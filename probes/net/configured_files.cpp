#include "probes/net/configured_files.hpp"

#include "config/files/small_file.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/net/pending.hpp"

#include <atomic>
#include <exception>
#include <expected>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd::net {

using Clock = TimerWheel::Clock;

struct ConfiguredFiles::File {
  std::string path;
  std::string (*find)() = nullptr;
  config::FileVersion version;
  FileText text;      // null if it has not been read, or could not be read
  std::string error;  // why it could not be read

  // Blocks.
  void read(std::size_t max_bytes) {
    const std::string from = find != nullptr ? find() : path;
    if (from.empty()) {
      version = {};
      return set("");
    }
    auto read = config::read_changed_file(from, max_bytes, version);
    if (!read) {
      *this = {.path = path, .find = find, .version = {}, .text = {}, .error = read.error()};
    } else if (*read) {
      set(std::move(**read));
    }
  }
  void set(std::string now) {
    error.clear();
    if (!text || *text != now) text = std::make_shared<const std::string>(std::move(now));
  }
};

struct ConfiguredFiles::Directory {
  // Why a read returns no result.
  struct Trouble {
    Clock::time_point since;
    std::string what;
  };
  using Waiters = std::vector<std::shared_ptr<Pending<bool>>>;

  explicit Directory(std::string of)
      : name(std::move(of)), timer([this] { cancel.emit(asio::cancellation_type::terminal); }) {}

  std::string name;
  RecentlyUsed<File> files;
  std::set<std::string> wanted;  // paths of the next read
  Waiters waiting;               // for the next read
  bool reading = false;
  std::optional<Trouble> trouble;
  asio::cancellation_signal cancel;  // of the read
  Timer timer;
};

ConfiguredFiles::ConfiguredFiles(asio::io_context& loop, TimerWheel& wheel)
    : ConfiguredFiles(loop, wheel, Limits{}) {}

ConfiguredFiles::ConfiguredFiles(asio::io_context& loop, TimerWheel& wheel, Limits limits)
    : loop_(loop), wheel_(wheel), limits_(limits), threads_(loop) {}

ConfiguredFiles::~ConfiguredFiles() = default;

asio::awaitable<FileText> ConfiguredFiles::read(std::string path) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  return read_in(std::move(directory), std::move(path), nullptr);
}

asio::awaitable<FileText> ConfiguredFiles::read(std::string name, std::string (*find)()) {
  return read_in(name, name, find);
}

asio::awaitable<std::string> ConfiguredFiles::read(config::Secret secret) {
  const std::string path = secret.path();
  std::expected<std::string, std::string> value;
  if (path.empty()) {
    value = secret.read();
  } else {
    const FileText content = co_await read(path);
    value = config::Secret::value_in(path, *content);
  }
  if (!value) throw ProbeError(Reason::config, value.error());
  co_return std::move(*value);
}

asio::awaitable<std::string> ConfiguredFiles::read(config::Secret secret, SampleSet& out) {
  out.doing("reading secrets", Reason::internal);
  std::string value = co_await read(std::move(secret));
  out.conceal(value);
  co_return value;
}

asio::awaitable<FileText> ConfiguredFiles::read_in(std::string directory_name, std::string name,
                                                   std::string (*find)()) {
  std::shared_ptr<Directory>& found = directories_[directory_name];
  if (!found) found = std::make_shared<Directory>(std::move(directory_name));
  const std::shared_ptr<Directory> directory = found;
  directory->wanted.insert(name);
  directory->files[name].path = name;
  directory->files[name].find = find;
  const auto wait = [this, &directory](std::shared_ptr<Pending<bool>> pending) {
    directory->waiting.push_back(std::move(pending));
    if (!directory->reading) start(directory);
  };
  co_await Pending<bool>::wait(wait);

  const File& file = directory->files[name];
  if (directory->trouble) {
    const auto time = Clock::now() - directory->trouble->since;
    if (file.text && time < limits_.stale) co_return file.text;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
    throw ProbeError(Reason::internal, "cannot read " + name + ": " + directory->trouble->what +
                                           " (for " + std::to_string(seconds.count()) + " s)");
  }
  if (!file.text) throw ProbeError(Reason::config, "cannot read " + name + ": " + file.error);
  co_return file.text;
}

// Returns the error text for a read without a result.
std::string ConfiguredFiles::text_of(const std::exception_ptr& error, bool is_started) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error&) {  // cancelled by the timer
    return is_started ? "a read in its directory has not returned" : "no thread was free";
  } catch (const std::exception& thrown) {
    return thrown.what();
  }
}

// Reads the wanted files on a thread. The thread uses copies, because it may be abandoned.
void ConfiguredFiles::start(const std::shared_ptr<Directory>& directory) {
  directory->reading = true;
  std::vector<File> files;
  for (const std::string& path : std::exchange(directory->wanted, {})) {
    files.push_back(directory->files[path]);
  }
  const auto is_started = std::make_shared<std::atomic<bool>>(false);
  auto read = [files = std::move(files), max = limits_.bytes, is_started](const StopFlag&) mutable {
    *is_started = true;
    for (File& file : files) file.read(max);
    return std::move(files);
  };
  auto done = [this, directory, is_started, submitted = Clock::now(),
               waiting = std::exchange(directory->waiting, {})](const std::exception_ptr& error,
                                                                std::vector<File> read_files) {
    directory->timer.disarm();
    directory->reading = false;
    if (!error) {
      directory->trouble.reset();
      for (File& file : read_files) directory->files[file.path] = std::move(file);
    } else if (!directory->trouble || *is_started) {
      const auto since = directory->trouble ? directory->trouble->since : submitted;
      directory->trouble = {since, text_of(error, *is_started)};
    }
    for (const auto& pending : waiting) pending->succeed(true);
    if (!directory->waiting.empty()) start(directory);
  };
  wheel_.arm_after(directory->timer, limits_.hanging);
  asio::co_spawn(loop_, threads_.run(directory->name, std::move(read)),
                 asio::bind_cancellation_slot(directory->cancel.slot(), std::move(done)));
}

}  // namespace vitalsd::net
