// Reads the configuration and the small files that it names: secrets, keys, certificates. It is a
// separate module because the web server reads such files too but must not include config/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

namespace vitalsd::config {

/// The content of the regular file at `path`, through symbolic links, or an error such as "No such
/// file or directory". Refuses anything but a regular file: reading a FIFO or a device may never
/// end.
std::expected<std::string, std::string> read_small_file(const std::string& path,
                                                        std::size_t max_bytes);

/// Identifies the content of a file: it changes when the file is written or replaced. The default
/// value means that there is no file.
struct FileVersion {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const FileVersion&) const = default;
};

/// The version of the file at `path`, through symbolic links.
FileVersion version_of(const std::string& path);

/// Like read_small_file(), but returns nothing if the file still has the version `known`. Sets
/// `known` to the version that was read.
std::expected<std::optional<std::string>, std::string> read_changed_file(const std::string& path,
                                                                         std::size_t max_bytes,
                                                                         FileVersion& known);

/// Reads standard input to its end, or returns an error. Unlike the functions above, accepts a
/// terminal or a pipe.
std::expected<std::string, std::string> read_standard_input(std::size_t max_bytes);

}  // namespace vitalsd::config
