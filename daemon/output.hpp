// Output of the commands.
#pragma once

#include "config/problems.hpp"

namespace vitalsd {

/// Writes what is buffered for standard output. Returns `code`, or 3 and an error on standard error
/// if the output could not be written, for example because the disk is full.
int finish_output(int code);

/// Prints the problems of a configuration to standard error, without bytes of the file that are not
/// UTF-8 or that control a terminal.
void print_problems(const config::Problems& problems);

}  // namespace vitalsd
