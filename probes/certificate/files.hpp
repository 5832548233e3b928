// Reads the certificates of files.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/offload.hpp"

#include <optional>
#include <string>
#include <vector>

namespace vitalsd {

struct FileResult {
  std::string path;
  std::vector<net::CertificateInfo> certificates;  ///< also those beside a damaged block
  std::optional<Failure> failure;
};

struct Files {
  std::vector<FileResult> results;
  std::vector<std::string> unmatched;  // patterns that match no file
};

/// Reads the files that match the patterns of glob(3), each once. Blocks: must run on a thread of
/// the pool.
Files read_files(const std::vector<std::string>& patterns, const net::StopFlag& stop);

}  // namespace vitalsd
