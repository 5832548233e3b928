// Kind `backup`: the newest good backup in a directory or under an S3 prefix. A backup is a file,
// an object or, with `layout: directories`, a directory. A good backup matches the pattern, is
// large enough, is not being written and, if configured, has its marker or is valid gzip. If the
// store can be listed but has no good backup, the time of the last success and the size are 0, and
// the check is critical. If the store cannot be listed, the published series are kept.
#include "config/path.hpp"
#include "probes/backup/criteria.hpp"
#include "probes/backup/directory.hpp"
#include "probes/net/s3.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

using backup::Candidate;
using backup::Tally;

struct Result {
  std::optional<Candidate> newest{};
  Tally tally{};
  bool is_daily = true;  // max_age is at most a day
};

double last_success(const Result& result) { return result.newest ? result.newest->modified : 0; }

constexpr MetricTable kTable(
    MetricRow{Metric({.name = "backup_last_success_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the newest good backup was made, in Unix time by the store's "
                              "clock; 0 if there is none.",
                      .keep = Keep::fact}),
              &last_success},
    // The documented rule has a fixed limit of a day, so it applies to daily backups only.
    MetricRow{Metric({.name = "vcci_last_successful_backup_timestamp",
                      .help = "The same for backups with a max_age of at most a day.",
                      .keep = Keep::fact}),
              [](const Result& result) {
                return result.is_daily ? std::optional(last_success(result)) : std::nullopt;
              }},
    MetricRow{Metric({.name = "backup_newest_size_bytes",
                      .unit = Unit::bytes,
                      .help = "Size of the newest good backup; 0 if there is none.",
                      .keep = Keep::fact}),
              [](const Result& result) {
                return result.newest ? static_cast<double>(result.newest->size) : 0;
              }},
    MetricRow{
        Metric({.name = "backup_objects",
                .help = "Files, objects or directories in the store, by whether they count as "
                        "backups."},
               "state"),
        [](const Result& result, const auto& put) {
          put(result.tally.good, "good");
          put(result.tally.unmatched, "unmatched");
          put(result.tally.incomplete, "incomplete");
          put(result.tally.too_small, "too_small");
          put(result.tally.being_written, "being_written");
          put(result.tally.broken, "broken");
          put(result.tally.unreadable, "unreadable");
          put(result.tally.from_future, "from_future");
        }});
constexpr auto kMetrics = metric_list(kTable);

constexpr Check kAgeCheck{.name = "age",
                          .unit = Unit::seconds,
                          .warn = {},
                          .critical = {},
                          .help = "age of the newest good backup; critical is max_age"};
constexpr std::array<const Check*, 1> kChecks = {&kAgeCheck};

class BackupProbe final : public Probe {
 public:
  BackupProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        criteria_(options),
        max_age_(options.get<config::Duration>("max_age", 24h, "maximum age of the newest backup",
                                               {1s, 87'600h})) {
    const auto path = options.find<config::Directory>("directory", "directory with the backups");
    backup::Directory directory(path.value_or(config::Directory()).text, options);
    config::Node* const s3 = options.find_section("s3", "bucket with the backups");
    if (s3 != nullptr) bucket_.emplace(environment, net::S3Options::read(*s3));
    if (path.has_value() == options.has("s3"))
      options.error("directory", "exactly one of directory and s3 must be set");
    if (path) {
      directory_.emplace(std::move(directory));
    } else {
      if (options.has("verify")) options.error("verify", "requires directory");
    }
    if (options.has("verify") && criteria_.of_directories())
      options.error("verify", "requires layout: files");
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    Result result{.is_daily = max_age_ <= 24h};
    if (directory_) {
      out.doing("listing " + directory_->path());
      const std::vector<Candidate> newest =
          co_await directory_->list(environment_, criteria_, result.tally);
      result.newest = co_await directory_->find_newest(environment_, newest, out, result.tally);
      result.tally.good -= result.tally.broken;
    } else {
      co_await list_bucket(out, result);
    }
    publish(out, result);
  }

  [[nodiscard]] std::string target() const override {
    if (directory_) return directory_->path();
    return bucket_ ? bucket_->text() : "";
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<BackupProbe&>(predecessor);
    if (directory_ && old.directory_) directory_->inherit(*old.directory_);
  }

 private:
  asio::awaitable<void> list_bucket(SampleSet& out, Result& result) {
    std::map<std::string, Candidate, std::less<>> directories;
    const auto judge = [&](Candidate candidate) {
      // Uses the earlier of both clocks: if the store's clock is ahead, the times of its objects
      // are in the future.
      const double local = backup::now_unix();
      const double now = std::min(bucket_->server_time().value_or(local), local);
      if (!criteria_.accepts(candidate, now, result.tally)) return;
      if (!result.newest || candidate.modified > result.newest->modified) {
        result.newest = std::move(candidate);
      }
    };
    const std::size_t prefix = bucket_->options().prefix.size();
    const auto add_page = [&](const net::S3Page& page) {
      for (const net::S3Object& object : page.objects) {
        const std::string_view name =
            std::string_view(object.key).substr(std::min(prefix, object.key.size()));
        if (criteria_.of_directories()) {
          add_to_directory(directories, name, object, result.tally);
        } else if (!criteria_.matches(name)) {
          ++result.tally.unmatched;
        } else {
          judge({.name = object.key, .size = object.size, .modified = object.modified});
        }
      }
    };
    co_await bucket_->list(out, add_page);
    for (auto& [name, directory] : directories) {
      if (criteria_.matches(name)) {
        judge(std::move(directory));
      } else {
        ++result.tally.unmatched;
      }
    }
  }

  // `name` is the object's key without the prefix. Objects outside of the directories are only
  // counted.
  void add_to_directory(std::map<std::string, Candidate, std::less<>>& directories,
                        std::string_view name, const net::S3Object& object, Tally& tally) const {
    constexpr std::size_t kMaxDirectories = 10'000;
    if (name.starts_with('/')) name.remove_prefix(1);  // the prefix may lack its last '/'
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos) {
      ++tally.of_other_layout;
      return;
    }
    const std::string_view directory = name.substr(0, slash);
    const std::string_view path = name.substr(slash + 1);
    auto found = directories.find(directory);
    if (found == directories.end()) {
      if (directories.size() == kMaxDirectories) {
        throw ProbeError(Reason::config, "more than 10,000 directories have the prefix " +
                                             config::quoted(bucket_->options().prefix) +
                                             ": use a longer prefix");
      }
      const std::size_t shown = object.key.size() - path.size() - 1;
      found =
          directories.emplace(directory, criteria_.directory(object.key.substr(0, shown))).first;
    }
    criteria_.add_file(found->second, path, object.size, object.modified);
  }

  void publish(SampleSet& out, const Result& result) const {
    kTable.add(out, result);
    if (result.tally.from_future > 0) {
      out.fail(Reason::mismatch, config::quoted(result.tally.first_from_future) +
                                     " is dated more than a day in the future and does not count "
                                     "as a backup");
    }
    if (!result.newest) out.fail(Reason::mismatch, "no good backup: " + describe(result.tally));
    // Uses the store's clock if it is known, because the local clock may be wrong.
    const double local = backup::now_unix();
    const double now = bucket_ ? bucket_->server_time().value_or(local) : local;
    const double max = std::chrono::duration<double>(max_age_).count();
    out.check(kAgeCheck, now - last_success(result),
              result.newest ? result.newest->name : "no good backup", {std::nullopt, max});
  }

  [[nodiscard]] std::string describe(const Tally& tally) const {
    const auto count = [](double number, std::string_view what) {
      return std::to_string(static_cast<std::int64_t>(number)) + ' ' + std::string(what);
    };
    const double of_layout = tally.unmatched + tally.too_small + tally.being_written +
                             tally.broken + tally.incomplete + tally.from_future;
    if (of_layout == 0 && tally.of_other_layout > 0) {
      return criteria_.of_directories()
                 ? count(tally.of_other_layout, "files and no directory: set layout: files")
                 : count(tally.of_other_layout, "directories and no file: set layout: directories");
    }
    return count(tally.unmatched, "do not match, ") + count(tally.too_small, "too small, ") +
           count(tally.being_written, "being written, ") + count(tally.broken, "broken") +
           (criteria_.of_directories() ? ", " + count(tally.incomplete, "without marker") : "") +
           (directory_ ? directory_->faults() : "");
  }

  const Environment& environment_;
  backup::Criteria criteria_;
  config::Duration max_age_;
  std::optional<backup::Directory> directory_;
  std::optional<net::S3Bucket> bucket_;
};

}  // namespace

namespace kinds {
extern const ProbeKind backup;
const ProbeKind backup = {
    .name = "backup",
    .help = "The newest good backup in a directory or a bucket.",
    .make = make_probe<BackupProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .documented_series = "backup_last_success_timestamp_seconds",
};
}  // namespace kinds

}  // namespace vitalsd
