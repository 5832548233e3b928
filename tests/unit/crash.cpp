// Prints the call stack when a unit test crashes. With sanitizers it is not needed, because they
// print the call stack themselves.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <array>
#include <csignal>

#include <execinfo.h>
#include <unistd.h>

namespace {

std::array<void*, 64> frames;

void report(int signal) {
  const int count = backtrace(frames.data(), static_cast<int>(frames.size()));
  backtrace_symbols_fd(frames.data(), count, STDERR_FILENO);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

[[maybe_unused]] const bool installed = [] {
  backtrace(frames.data(), 1);  // loads its dependencies here, not in the signal handler
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(signal, report);
  return true;
}();

}  // namespace

#endif
