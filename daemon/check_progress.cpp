#include "daemon/check_progress.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

namespace vitalsd {
namespace {

constexpr const char* kClearLine = "\r\x1b[K";

std::size_t terminal_width() {
  constexpr std::size_t kDefault = 80;
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefault;
}

}  // namespace

std::string progress_text(const std::vector<ProbeView>& probes, std::size_t width) {
  std::string names;
  std::size_t waiting = 0;
  for (const ProbeView& probe : probes) {
    if (probe.last_run) continue;
    ++waiting;
    if (names.size() < width) names += (names.empty() ? "" : ", ") + probe.name;
  }
  if (waiting == 0) return "";
  std::string text = "waiting for " + std::to_string(waiting) + " of " +
                     std::to_string(probes.size()) +
                     (probes.size() == 1 ? " probe: " : " probes: ") + names;
  if (text.size() > width) {
    constexpr std::size_t kDots = 3;
    text.resize(width > kDots ? width - kDots : 0);
    text += "...";
  }
  return text;
}

bool understands_escapes(int descriptor) {
  const char* const terminal = std::getenv("TERM");
  return isatty(descriptor) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

CheckProgress::CheckProgress(net::TimerWheel& wheel, const Board& board)
    : wheel_(wheel), board_(board), timer_([this] { show(); }) {}

void CheckProgress::start() {
  if (understands_escapes(STDERR_FILENO)) wheel_.arm_after(timer_, std::chrono::seconds(1));
}

void CheckProgress::show() {
  // A line as wide as the terminal would wrap.
  const std::string text = progress_text(board_.views(), terminal_width() - 1);
  std::fprintf(stderr, "%s%s", kClearLine, text.c_str());
  is_shown_ = true;
  wheel_.arm_after(timer_, std::chrono::seconds(1));
}

void CheckProgress::stop() {
  timer_.disarm();
  if (is_shown_) std::fputs(kClearLine, stderr);
  is_shown_ = false;
}

}  // namespace vitalsd
