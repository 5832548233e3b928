#include "probes/certificate/files.hpp"

#include "probes/error.hpp"
#include "probes/net/certificate_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <glob.h>

namespace vitalsd {
namespace {

FileResult read_file(const std::string& path) {
  constexpr std::size_t kMaxBytes = std::size_t{4} << 20;
  FileResult result{path, {}, {}};
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string bytes;
  std::array<char, 16 * 1024> piece;
  while (in && bytes.size() <= kMaxBytes) {
    in.read(piece.data(), piece.size());
    bytes.append(piece.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (!in.is_open() || in.bad()) {
    const int error = errno;
    result.failure =
        Failure{error == EACCES ? Reason::permission : Reason::mismatch, std::strerror(error)};
    return result;
  }
  if (bytes.size() > kMaxBytes) {
    result.failure =
        Failure{Reason::protocol, "is larger than 4 MiB, the limit for files of certificates"};
    return result;
  }
  try {
    net::CertificateList list = net::read_certificates(bytes);
    result.certificates = std::move(list.certificates);
    if (!list.fault.empty()) result.failure = Failure{Reason::protocol, std::move(list.fault)};
  } catch (const ProbeError& error) {
    result.failure = Failure{error.reason(), error.what()};
    return result;
  }
  return result;
}

}  // namespace

Files read_files(const std::vector<std::string>& patterns, const net::StopFlag& stop) {
  Files files;
  for (const std::string& pattern : patterns) {
    glob_t found{};
    const int status = glob(pattern.c_str(), 0, nullptr, &found);
    for (std::size_t i = 0; status == 0 && i < found.gl_pathc && !stop.stopped(); ++i) {
      const std::string path = found.gl_pathv[i];
      if (std::ranges::find(files.results, path, &FileResult::path) != files.results.end())
        continue;
      files.results.push_back(read_file(path));
    }
    globfree(&found);
    if (status != 0) files.unmatched.push_back(pattern);
  }
  return files;
}

}  // namespace vitalsd
