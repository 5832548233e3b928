// Errors and help of the command line.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace vitalsd {

/// The error of a command line that could not be parsed, with the help to read. Names the first
/// argument that was not expected, and a similar command or option.
std::string usage_error(const CLI::App& cli, const CLI::ParseError& error);

/// Throws CLI::ParseError if an option of the daemon comes before a command that does not use it.
void refuse_daemon_options(const CLI::App& cli);

/// The help of a command such as {"config", "check"}. Throws CLI::ParseError if there is no such
/// command.
std::string help_of(const CLI::App& cli, const std::vector<std::string>& command);

}  // namespace vitalsd
