// The last state of every probe, for the page: written by the jobs, read by the web thread. A row
// changes with every run, so it holds plain values and has a lock of its own: no job waits for a
// copy of all rows.
#pragma once

#include "exporter/web/view.hpp"

#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace vitalsd {

class Board {
  struct Slot {
    std::mutex mutex;
    ProbeView view;
  };
  using Slots = std::list<std::shared_ptr<Slot>>;

 public:
  /// One probe's row; destroying it takes the row off the board.
  class Row {
   public:
    Row(Board& board, ProbeView view);
    ~Row();
    Row(const Row&) = delete;
    Row& operator=(const Row&) = delete;

    /// `change(ProbeView&)` under the row's lock.
    template <class Change>
    void update(Change&& change) {
      const std::lock_guard lock((*place_)->mutex);
      change((*place_)->view);
    }
    /// For the thread that updates it: no other one writes.
    [[nodiscard]] const ProbeView& view() const { return (*place_)->view; }

   private:
    Board& board_;
    Slots::iterator place_;
  };

  /// All rows, by name, each as of one moment.
  [[nodiscard]] std::vector<ProbeView> views() const;

 private:
  mutable std::mutex mutex_;  // of the list, not of what it points to
  Slots rows_;
};

}  // namespace vitalsd
