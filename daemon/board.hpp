// The last state of every probe, for the page: written by the jobs, read by the web thread. A row
// changes with every run, so it holds plain values and the lock is held for a copy at most.
#pragma once

#include "exporter/web/view.hpp"

#include <list>
#include <mutex>
#include <vector>

namespace vitalsd {

class Board {
 public:
  /// One probe's row; destroying it takes the row off the board.
  class Row {
   public:
    Row(Board& board, ProbeView view);
    ~Row();
    Row(const Row&) = delete;
    Row& operator=(const Row&) = delete;

    /// `change(ProbeView&)` under the lock.
    template <class Change>
    void update(Change&& change) {
      const std::lock_guard lock(board_.mutex_);
      change(*place_);
    }
    /// For the thread that updates it: no other one writes.
    [[nodiscard]] const ProbeView& view() const { return *place_; }

   private:
    Board& board_;
    std::list<ProbeView>::iterator place_;
  };

  /// All rows, by name.
  [[nodiscard]] std::vector<ProbeView> views() const;

 private:
  mutable std::mutex mutex_;
  std::list<ProbeView> rows_;
};

}  // namespace vitalsd
