// Kind `backup`: the newest good backup in a directory or under an S3 prefix. Good is what matches
// the pattern, is large enough, is not still being written and, where asked for, is sound gzip. A
// store that lists well and holds no good one says 0; one that cannot be listed says nothing new.
#include "probes/backup/gzip_check.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/s3.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

constexpr Metric kLastSuccess({.name = "backup_last_success_timestamp_seconds",
                               .unit = Unit::seconds,
                               .help = "When the newest good backup was made, in Unix time by the "
                                       "store's clock; 0 if there is none.",
                               .keep = Keep::fact});
constexpr Metric kDocumented({.name = "vcci_last_successful_backup_timestamp",
                              .help = "The same for backups that must be made within a day.",
                              .keep = Keep::fact});
constexpr Metric kNewestSize({.name = "backup_newest_size_bytes",
                              .unit = Unit::bytes,
                              .help = "Size of the newest good backup.",
                              .keep = Keep::fact});
constexpr Metric kObjects({.name = "backup_objects",
                           .help = "What the store holds, by what became of it here."},
                          "state");

constexpr Check kAgeCheck{.name = "age",
                          .unit = Unit::seconds,
                          .warn = {},
                          .critical = {},
                          .help = "age of the newest good backup; critical is max_age"};

struct Candidate {
  std::string name;
  std::uint64_t size = 0;
  double modified = 0;  // Unix time
  std::uint64_t inode = 0;
};

// How many objects were passed over, and why.
struct Tally {
  double good = 0;
  double unmatched = 0;
  double small = 0;
  double writing = 0;
  double broken = 0;
  double future = 0;
  std::string from_future;  // the name of the first one
};

// What makes a backup good, as far as its entry in the list tells.
class Criteria {
 public:
  explicit Criteria(config::Node& options)
      : pattern_(options.get<std::string>("pattern", "*", "of names; * and ? allowed")),
        least_(options.get<config::Bytes>("min_size", config::Bytes{1},
                                          "a smaller one is no backup")) {}

  // Whether it is good, counted in `tally` where it is not.
  bool admit(std::string_view name, std::uint64_t size, Tally& tally) const {
    if (!matches(name)) {
      ++tally.unmatched;
      return false;
    }
    if (size < least_.value) {
      ++tally.small;
      return false;
    }
    return true;
  }

 private:
  [[nodiscard]] bool matches(std::string_view name) const {
    constexpr std::array<std::string_view, 5> kUnfinished = {".tmp", ".part", ".partial",
                                                             ".incomplete", ".filepart"};
    const std::string_view base = name.substr(name.rfind('/') + 1);
    if (base.empty() || base.starts_with('.'))
      return false;  // "folders" of S3, rsync's temporary files
    if (std::ranges::any_of(kUnfinished,
                            [&](std::string_view end) { return base.ends_with(end); })) {
      return false;
    }
    return fnmatch(pattern_.c_str(), std::string(name).c_str(), 0) == 0;
  }

  std::string pattern_;
  config::Bytes least_;
};

double now_unix() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A time that no difference between clocks explains would keep a backup fresh for as long. Counted
// in `tally`.
bool is_from_future(const std::string& name, double modified, double now, Tally& tally) {
  constexpr double kTolerated = 86'400;
  if (modified <= now + kTolerated) return false;
  if (tally.from_future.empty()) tally.from_future = name;
  ++tally.future;
  return true;
}

// ---- a directory --------------------------------------------------------------------------------

struct Listing {
  std::vector<Candidate> files;
  int error = 0;
};

Listing list_directory(const std::string& path, const net::StopFlag& stop) {
  Listing listing;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) {
    listing.error = errno;
    return listing;
  }
  errno = 0;
  while (const dirent* entry = stop.stopped() ? nullptr : readdir(directory)) {
    struct stat status{};
    // Links are followed: "latest" may be one. What vanished since it was listed is not there.
    if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode)) {
      listing.files.push_back({entry->d_name, static_cast<std::uint64_t>(status.st_size),
                               static_cast<double>(status.st_mtim.tv_sec) +
                                   static_cast<double>(status.st_mtim.tv_nsec) / 1e9,
                               status.st_ino});
    }
    errno = 0;
  }
  listing.error = errno;
  closedir(directory);
  return listing;
}

// Files of a directory: which are settled, and which have been found sound.
class Directory {
 public:
  Directory(std::string path, config::Node& options)
      : path_(std::move(path)),
        settle_(options.get<config::Duration>(
            "settle", 1min, "a file that changed within it is still being written")),
        verify_(options.choice("verify", {"none", "gzip"}, "what the newest file must be") ==
                "gzip") {}

  [[nodiscard]] const std::string& path() const { return path_; }

  /// The files that are good by name, size and age; the newest first.
  asio::awaitable<std::vector<Candidate>> list(const Environment& environment,
                                               const Criteria& criteria, Tally& tally) {
    const auto read = [path = path_](const net::StopFlag& stop) {
      return list_directory(path, stop);
    };
    Listing listing = co_await environment.offload.run("directory " + path_, read);
    if (listing.error != 0) {
      throw ProbeError(listing.error == EACCES ? Reason::permission : Reason::mismatch,
                       path_ + ": " + std::strerror(listing.error));
    }
    const double now = now_unix();
    const double settled_before = now - std::chrono::duration<double>(settle_).count();
    std::map<std::string, std::uint64_t> sizes;
    std::vector<Candidate> good;
    for (Candidate& file : listing.files) {
      if (!criteria.admit(file.name, file.size, tally)) continue;
      if (is_from_future(file.name, file.modified, now, tally)) continue;
      // One that grows without its time moving on (rsync --inplace) is being written, too.
      const auto before = sizes_.find(file.name);
      const bool grows = before != sizes_.end() && before->second != file.size;
      sizes[file.name] = file.size;
      if (file.modified > settled_before || grows) {
        ++tally.writing;
      } else {
        good.push_back(std::move(file));
      }
    }
    sizes_ = std::move(sizes);
    std::ranges::sort(good, std::ranges::greater{}, &Candidate::modified);
    co_return good;
  }

  /// The newest that is sound, files found broken being counted; nothing if none is. Throws
  /// ProbeError(unready) while the file in question is still being read.
  asio::awaitable<std::optional<Candidate>> newest_sound(const Environment& environment,
                                                         const std::vector<Candidate>& files,
                                                         SampleSet& out, Tally& tally) {
    if (!verify_) co_return files.empty() ? std::nullopt : std::optional(files.front());
    forget_all_but(files);
    for (const Candidate& file : files) {
      const GzipCheck::State state = co_await verify(environment, file, out);
      if (state == GzipCheck::State::sound) co_return file;
      if (state == GzipCheck::State::broken) {
        ++tally.broken;
        continue;
      }
      throw ProbeError(Reason::unready,
                       "still reading " + file.name + " to see whether it is sound");
    }
    co_return std::nullopt;
  }

  /// What has been read of the same files need not be read again.
  void inherit(Directory& old) {
    sizes_ = std::move(old.sizes_);
    checks_ = std::move(old.checks_);
  }

  /// Why files were found broken.
  [[nodiscard]] std::string faults() const {
    std::string text;
    for (const auto& [identity, check] : checks_) {
      if (check->state() == GzipCheck::State::broken)
        text += "; " + identity.name + ' ' + check->fault();
    }
    return text;
  }

 private:
  // A file that changes is another one, to be read anew.
  struct Identity {
    std::string name;
    std::uint64_t inode;
    std::uint64_t size;
    double modified;
    auto operator<=>(const Identity&) const = default;
  };
  static Identity identity_of(const Candidate& file) {
    return {file.name, file.inode, file.size, file.modified};
  }

  void forget_all_but(const std::vector<Candidate>& files) {
    std::erase_if(checks_, [&](const auto& entry) {
      return std::ranges::none_of(
          files, [&](const Candidate& file) { return identity_of(file) == entry.first; });
    });
  }

  asio::awaitable<GzipCheck::State> verify(const Environment& environment, const Candidate& file,
                                           SampleSet& out) {
    std::shared_ptr<GzipCheck>& check = checks_[identity_of(file)];
    if (!check || check->state() == GzipCheck::State::working) {
      // Most of the run's time, so that it can still say how far it came.
      const auto until = std::chrono::steady_clock::now() + out.time_limit() * 3 / 4;
      const auto work = [check, until,
                         path = path_ + '/' + file.name](const net::StopFlag& stop) mutable {
        if (!check) check = std::make_shared<GzipCheck>(path);
        check->step(until, [&] { return stop.stopped(); });
        return check;
      };
      out.doing("reading " + file.name);
      check = co_await environment.offload.run("directory " + path_, work);
    }
    co_return check->state();
  }

  std::string path_;
  config::Duration settle_;
  bool verify_;
  std::map<std::string, std::uint64_t> sizes_;  // as the last run saw them
  std::map<Identity, std::shared_ptr<GzipCheck>> checks_;
};

// ---- the probe ----------------------------------------------------------------------------------

class BackupProbe final : public Probe {
 public:
  BackupProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        criteria_(options),
        max_age_(options.get<config::Duration>("max_age", 24h, "an older one is too old",
                                               {1s, 87'600h})) {
    const auto path = options.find<std::string>("directory", "where backups are files");
    Directory directory(path.value_or(""), options);
    config::Node* const s3 = options.find_section("s3", "where backups are objects of a bucket");
    if (s3 != nullptr) bucket_.emplace(environment, net::S3Options::read(*s3));
    if (path.has_value() == options.has("s3"))
      options.error("directory", "give either directory or s3");
    if (path) {
      directory_.emplace(std::move(directory));
    } else {
      for (const std::string_view key : {"verify", "settle"}) {
        if (options.has(key)) options.error(key, "goes with directory");
      }
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    Tally tally;
    std::optional<Candidate> newest;
    if (directory_) {
      out.doing("listing " + directory_->path());
      const std::vector<Candidate> files =
          co_await directory_->list(environment_, criteria_, tally);
      tally.good = static_cast<double>(files.size());
      newest = co_await directory_->newest_sound(environment_, files, out, tally);
      tally.good -= tally.broken;
    } else {
      newest = co_await newest_object(out, tally);
    }
    publish(out, newest, tally);
  }

  [[nodiscard]] std::string target() const override {
    if (directory_) return directory_->path();
    if (!bucket_) return {};
    return "s3://" + bucket_->options().bucket + '/' + bucket_->options().prefix;
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<BackupProbe&>(predecessor);
    if (directory_ && old.directory_) directory_->inherit(*old.directory_);
  }

 private:
  asio::awaitable<std::optional<Candidate>> newest_object(SampleSet& out, Tally& tally) {
    std::optional<Candidate> newest;
    const std::size_t prefix = bucket_->options().prefix.size();
    const auto take = [&](const net::S3Page& page) {
      for (const net::S3Object& object : page.objects) {
        const std::string_view name =
            std::string_view(object.key).substr(std::min(prefix, object.key.size()));
        if (!criteria_.admit(name, object.size, tally)) continue;
        // A store whose own clock is ahead does not vouch for its objects.
        const double ours = now_unix();
        const double now = std::min(bucket_->server_time().value_or(ours), ours);
        if (is_from_future(object.key, object.modified, now, tally)) continue;
        ++tally.good;
        if (!newest || object.modified > newest->modified) {
          newest = Candidate{object.key, object.size, object.modified, 0};
        }
      }
    };
    co_await bucket_->list(out, take);
    co_return newest;
  }

  void publish(SampleSet& out, const std::optional<Candidate>& newest, const Tally& tally) const {
    out.add(kObjects, tally.good, "good");
    out.add(kObjects, tally.unmatched, "unmatched");
    out.add(kObjects, tally.small, "too_small");
    out.add(kObjects, tally.writing, "being_written");
    out.add(kObjects, tally.broken, "broken");
    out.add(kObjects, tally.future, "from_future");
    // The documented rule is fixed at a day, so it is for backups that are made daily.
    const bool documented = max_age_ <= 24h;
    out.add(kLastSuccess, newest ? newest->modified : 0);
    if (documented) out.add(kDocumented, newest ? newest->modified : 0);
    if (tally.future > 0) {
      out.fail(Reason::mismatch, config::quoted(tally.from_future) +
                                     " is dated more than a day in the future, and so not counted "
                                     "as a backup");
    }
    if (!newest) {
      out.fail(Reason::mismatch, "no good backup: " + describe(tally));
      return;
    }
    out.add(kNewestSize, static_cast<double>(newest->size));
    // By the store's own clock, where it tells it: ours may be wrong.
    const double now = bucket_ ? bucket_->server_time().value_or(now_unix()) : now_unix();
    const double max = std::chrono::duration<double>(max_age_).count();
    out.check(kAgeCheck, now - newest->modified, newest->name, {std::nullopt, max});
  }

  [[nodiscard]] std::string describe(const Tally& tally) const {
    const auto count = [](double number, std::string_view what) {
      return std::to_string(static_cast<std::int64_t>(number)) + ' ' + std::string(what);
    };
    return count(tally.unmatched, "do not match, ") + count(tally.small, "too small, ") +
           count(tally.writing, "being written, ") + count(tally.broken, "broken") +
           (directory_ ? directory_->faults() : "");
  }

  const Environment& environment_;
  Criteria criteria_;
  config::Duration max_age_;
  std::optional<Directory> directory_;
  std::optional<net::S3Bucket> bucket_;
};

constexpr auto kMetrics = metric_list(kLastSuccess, kDocumented, kNewestSize, kObjects);
constexpr std::array<const Check*, 1> kChecks = {&kAgeCheck};

}  // namespace

namespace kinds {
extern const ProbeKind backup;
const ProbeKind backup = {
    .name = "backup",
    .help = "Backups are made: the newest good one in a directory or a bucket.",
    .make = make_probe<BackupProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .documented_series = "backup_last_success_timestamp_seconds",
};
}  // namespace kinds

}  // namespace vitalsd
