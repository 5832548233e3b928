// Small files of the configuration and of what it names: secrets, keys, certificates. A module of
// its own, since the web server reads such files too and knows nothing else of the configuration.
#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace vitalsd::config {

/// The content of the regular file at `path`, through symbolic links; or why it cannot be had, as
/// "No such file or directory". Anything but a regular file is refused, for a FIFO without a writer
/// would never end and a device may never do so.
std::expected<std::string, std::string> read_small_file(const std::string& path,
                                                        std::size_t max_bytes);

/// Standard input to its end, whatever it is.
std::expected<std::string, std::string> read_standard_input(std::size_t max_bytes);

}  // namespace vitalsd::config
