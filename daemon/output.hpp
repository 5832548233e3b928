// Standard output of the commands.
#pragma once

namespace vitalsd {

/// Writes what is buffered for standard output. Returns `code`, or 3 and an error on standard error
/// if the output could not be written, for example because the disk is full.
int finish_output(int code);

}  // namespace vitalsd
