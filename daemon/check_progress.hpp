// Shows on a terminal which probes `vitalsd check` waits for. Probe loop only.
#pragma once

#include "daemon/board.hpp"
#include "exporter/web/view.hpp"
#include "probes/net/timer_wheel.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace vitalsd {

/// "waiting for 3 of 75 probes: a, b, c", with at most `width` bytes. Empty if all have run.
std::string progress_text(const std::vector<ProbeView>& probes, std::size_t width);

/// Whether the file descriptor is a terminal that understands escape sequences.
bool understands_escapes(int descriptor);

class CheckProgress {
 public:
  CheckProgress(net::TimerWheel& wheel, const Board& board);

  /// Shows a line that is replaced every second, if standard error is a terminal.
  void start();
  /// Removes the line.
  void stop();

 private:
  void show();

  net::TimerWheel& wheel_;
  const Board& board_;
  net::Timer timer_;
  bool is_shown_ = false;
};

}  // namespace vitalsd
