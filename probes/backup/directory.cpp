#include "probes/backup/directory.hpp"

#include "probes/net/offload.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace vitalsd::backup {
namespace {

using namespace std::chrono_literals;

struct Listing {
  std::vector<Candidate> files;
  int error = 0;  // errno
};

// Blocks: runs on a thread of the pool.
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
    // Follows links, because "latest" may be one. Ignores files that were deleted meanwhile.
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

}  // namespace

Directory::Directory(std::string path, config::Node& options)
    : path_(std::move(path)),
      settle_(options.get<config::Duration>(
          "settle", 1min, "a file that changed more recently counts as being written")),
      verify_(options.choice("verify", {"none", "gzip"}, "format that the newest file must have") ==
              "gzip") {}

asio::awaitable<std::vector<Candidate>> Directory::list(const Environment& environment,
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
    if (!criteria.accepts(file.name, file.size, tally)) continue;
    if (is_from_future(file.name, file.modified, now, tally)) continue;
    // rsync --inplace changes the size but not the modification time while it writes.
    const auto before = sizes_.find(file.name);
    const bool has_grown = before != sizes_.end() && before->second != file.size;
    sizes[file.name] = file.size;
    if (file.modified > settled_before || has_grown) {
      ++tally.being_written;
    } else {
      good.push_back(std::move(file));
    }
  }
  sizes_ = std::move(sizes);
  std::ranges::sort(good, std::ranges::greater{}, &Candidate::modified);
  co_return good;
}

asio::awaitable<std::optional<Candidate>> Directory::find_newest(
    const Environment& environment, const std::vector<Candidate>& files, SampleSet& out,
    Tally& tally) {
  if (!verify_) co_return files.empty() ? std::nullopt : std::optional(files.front());
  forget_all_but(files);
  for (const Candidate& file : files) {
    const GzipCheck::State state = co_await verify(environment, file, out);
    if (state == GzipCheck::State::valid) co_return file;
    if (state == GzipCheck::State::broken) {
      ++tally.broken;
      continue;
    }
    throw ProbeError(Reason::unready, "verification of " + file.name + " is not finished");
  }
  co_return std::nullopt;
}

void Directory::inherit(Directory& old) {
  sizes_ = std::move(old.sizes_);
  checks_ = std::move(old.checks_);
}

std::string Directory::faults() const {
  std::string text;
  for (const auto& [identity, check] : checks_) {
    if (check->state() == GzipCheck::State::broken) {
      text += "; " + identity.name + ' ' + check->fault();
    }
  }
  return text;
}

void Directory::forget_all_but(const std::vector<Candidate>& files) {
  std::erase_if(checks_, [&](const auto& entry) {
    return std::ranges::none_of(
        files, [&](const Candidate& file) { return identity_of(file) == entry.first; });
  });
}

asio::awaitable<GzipCheck::State> Directory::verify(const Environment& environment,
                                                    const Candidate& file, SampleSet& out) {
  std::shared_ptr<GzipCheck>& check = checks_[identity_of(file)];
  if (!check || check->state() == GzipCheck::State::working) {
    // Leaves a quarter of the run's time, so that the run can report before its deadline.
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

}  // namespace vitalsd::backup
