#include "daemon/output.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

namespace vitalsd {

int finish_output(int code) {
  constexpr int kNotWritten = 3;  // Nagios: unknown
  errno = 0;
  std::cout.flush();  // CLI11 prints the help
  const bool is_written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good();
  if (is_written) return code;
  // The error of an earlier write is not known any more.
  std::fprintf(stderr, "vitalsd: cannot write to standard output%s%s\n", errno != 0 ? ": " : "",
               errno != 0 ? std::strerror(errno) : "");
  return kNotWritten;
}

}  // namespace vitalsd
