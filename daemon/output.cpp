#include "daemon/output.hpp"

#include "exporter/model/text_format.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

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

void print_problems(const config::Problems& problems) {
  std::fputs(shown_lines(problems.text(), std::string::npos).c_str(), stderr);
}

}  // namespace vitalsd
