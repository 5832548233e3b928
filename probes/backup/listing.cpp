#include "probes/backup/listing.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <boost/system/error_code.hpp>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vitalsd::backup {
namespace {

constexpr std::size_t kMaxFiles = 1'000'000;
constexpr int kMaxDepth = 32;  // each level has an open descriptor
// In the root of a volume, only root can read it.
constexpr std::string_view kLostAndFound = "lost+found";

double modified(const struct stat& status) {
  return static_cast<double>(status.st_mtim.tv_sec) +
         static_cast<double>(status.st_mtim.tv_nsec) / 1e9;
}

[[noreturn]] void fail(const std::string& path, int error) {
  fail_with(error == EACCES ? Reason::permission : Reason::mismatch, path,
            {error, boost::system::system_category()});
}

// Calls `take(entry, descriptor of the directory)` for each entry. Returns errno if the directory
// cannot be opened. Throws if reading it fails.
template <class Take>
int for_each_entry(int parent, const char* name, int flags, const std::string& path,
                   const net::StopFlag& stop, const Take& take) {
  const int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
  if (descriptor < 0) return errno;
  const std::unique_ptr<DIR, decltype([](DIR* open) { closedir(open); })> directory(
      fdopendir(descriptor));
  if (directory == nullptr) {
    const int error = errno;
    close(descriptor);
    fail(path, error);
  }
  errno = 0;
  while (const dirent* entry = stop.stopped() ? nullptr : readdir(directory.get())) {
    const std::string_view text = entry->d_name;
    if (text != "." && text != "..") take(entry->d_name, descriptor);
    errno = 0;
  }
  if (errno != 0) fail(path, errno);
  return 0;
}

class Walk {
 public:
  Walk(std::string path, const Criteria& criteria, const net::StopFlag& stop)
      : path_(std::move(path)), criteria_(criteria), stop_(stop) {}

  Listing list() {
    const auto take = [&](const char* name, int descriptor) {
      struct stat status{};
      // Follows links, because "latest" may be a link. Ignores entries that were deleted since they
      // were listed.
      if (fstatat(descriptor, name, &status, 0) != 0) return;
      const bool is_wanted =
          criteria_.of_directories() ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode);
      if (!is_wanted) {
        ++listing_.tally.of_other_layout;
        return;
      }
      if (!criteria_.matches(name) || (criteria_.of_directories() && name == kLostAndFound)) {
        ++listing_.tally.unmatched;
      } else if (!criteria_.of_directories()) {
        judge({.name = name,
               .size = static_cast<std::uint64_t>(status.st_size),
               .modified = modified(status),
               .inode = status.st_ino});
      } else {
        Candidate backup = criteria_.directory(name);
        try {
          if (add_files(backup, descriptor, name, "", 0)) judge(std::move(backup));
        } catch (const ProbeError& error) {
          if (error.reason() != Reason::permission && error.reason() != Reason::mismatch) throw;
          ++listing_.tally.unreadable;
          if (!first_error_) first_error_ = error;
        }
      }
    };
    const int error = for_each_entry(AT_FDCWD, path_.c_str(), 0, path_, stop_, take);
    if (error != 0) fail(path_, error);
    // An unreadable directory may be the only good backup.
    if (first_error_ && listing_.tally.good == 0) throw ProbeError(*first_error_);
    std::ranges::sort(listing_.newest, std::ranges::greater{}, &Candidate::modified);
    shorten();
    return std::move(listing_);
  }

 private:
  void judge(Candidate candidate) {
    if (!criteria_.accepts(candidate, now_, listing_.tally)) return;
    listing_.newest.push_back(std::move(candidate));
    if (listing_.newest.size() < 2 * Listing::kMaxNewest) return;
    std::ranges::nth_element(listing_.newest, listing_.newest.begin() + Listing::kMaxNewest,
                             std::ranges::greater{}, &Candidate::modified);
    shorten();
  }
  void shorten() {
    if (listing_.newest.size() > Listing::kMaxNewest) {
      listing_.newest.erase(listing_.newest.begin() + Listing::kMaxNewest, listing_.newest.end());
    }
  }

  // Adds the files of a directory and of all its subdirectories. `within` is the path inside the
  // backup; it is empty or ends with '/'. Does not follow links, so the recursion ends. Returns
  // false if the directory was deleted since it was listed.
  bool add_files(Candidate& backup, int parent, const char* name, const std::string& within,
                 int depth) {
    const std::string shown = path_ + '/' + backup.name + '/' + within;
    if (depth == kMaxDepth) {
      throw ProbeError(Reason::config,
                       shown + ": more than " + std::to_string(kMaxDepth) +
                           " levels of directories: set pattern to the names of the backups");
    }
    const auto take = [&](const char* entry, int descriptor) {
      struct stat status{};
      if (fstatat(descriptor, entry, &status, AT_SYMLINK_NOFOLLOW) != 0) return;
      if (S_ISDIR(status.st_mode)) {
        if (entry == kLostAndFound) return;
        add_files(backup, descriptor, entry, within + entry + '/', depth + 1);
      } else if (S_ISREG(status.st_mode)) {
        if (++files_ > kMaxFiles) {
          throw ProbeError(Reason::config, path_ +
                                               ": the directories that match pattern have more "
                                               "than a million files: use a narrower pattern");
        }
        criteria_.add_file(backup, within + entry, static_cast<std::uint64_t>(status.st_size),
                           modified(status));
      }
    };
    const int error = for_each_entry(parent, name, depth == 0 ? 0 : O_NOFOLLOW, shown, stop_, take);
    if (error == ENOENT || error == ENOTDIR) return false;  // was replaced since it was listed
    if (error != 0) fail(shown, error);
    return true;
  }

  std::string path_;
  const Criteria& criteria_;
  const net::StopFlag& stop_;
  double now_ = now_unix();
  std::size_t files_ = 0;
  std::optional<ProbeError> first_error_;  // for a directory that cannot be read
  Listing listing_;
};

}  // namespace

Listing list_backups(const std::string& path, const Criteria& criteria, const net::StopFlag& stop) {
  return Walk(path, criteria, stop).list();
}

}  // namespace vitalsd::backup
