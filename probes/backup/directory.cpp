#include "probes/backup/directory.hpp"

#include "probes/backup/listing.hpp"
#include "probes/net/offload.hpp"

#include <chrono>
#include <utility>

namespace vitalsd::backup {
Directory::Directory(std::string path, config::Node& options)
    : path_(std::move(path)),
      verify_(options.choice("verify", {"none", "gzip"}, "format that the newest file must have") ==
              "gzip") {}

asio::awaitable<std::vector<Candidate>> Directory::list(const Environment& environment,
                                                        const Criteria& criteria, Tally& tally) {
  const auto read = [path = path_, criteria](const net::StopFlag& stop) {
    return list_backups(path, criteria, stop);
  };
  Listing listing = co_await environment.offload.run("directory " + path_, read);
  tally = std::move(listing.tally);
  // rsync --inplace changes the size but not the modification time while it writes.
  std::map<std::string, std::uint64_t> sizes;
  std::erase_if(listing.newest, [&](const Candidate& candidate) {
    const auto before = sizes_.find(candidate.name);
    const bool has_grown = before != sizes_.end() && before->second != candidate.size;
    sizes[candidate.name] = candidate.size;
    if (!has_grown) return false;
    --tally.good;
    ++tally.being_written;
    return true;
  });
  sizes_ = std::move(sizes);
  co_return std::move(listing.newest);
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
  std::map<Identity, std::shared_ptr<GzipCheck>> kept;
  for (const Candidate& file : files) kept.insert(checks_.extract(identity_of(file)));
  checks_ = std::move(kept);
}

asio::awaitable<GzipCheck::State> Directory::verify(const Environment& environment,
                                                    const Candidate& file, SampleSet& out) {
  std::shared_ptr<GzipCheck>& check = checks_[identity_of(file)];
  if (!check || check->state() == GzipCheck::State::working) {
    // A quarter of the run's time is left, so that the run can report before its deadline.
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
