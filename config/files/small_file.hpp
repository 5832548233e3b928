// Reads the configuration and the small files that it names: secrets, keys, certificates. It is a
// separate module because the web server reads such files too but must not include config/.
#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace vitalsd::config {

/// The content of the regular file at `path`, through symbolic links, or an error such as "No such
/// file or directory". Refuses anything but a regular file: reading a FIFO or a device may never
/// end.
std::expected<std::string, std::string> read_small_file(const std::string& path,
                                                        std::size_t max_bytes);

/// Standard input up to its end, or an error. It may be any kind of file.
std::expected<std::string, std::string> read_standard_input(std::size_t max_bytes);

}  // namespace vitalsd::config
