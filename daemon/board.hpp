// The current state of every probe, its last changes, and notices about the process, for the pages.
// The probe loop writes them, the web thread reads them. Every row has its own lock, so that no job
// waits while all rows are copied.
#pragma once

#include "daemon/event_log.hpp"
#include "exporter/web/view.hpp"

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

class Board {
  struct Slot {
    std::mutex mutex;
    ProbeView view;
  };
  using Slots = std::list<std::shared_ptr<Slot>>;

 public:
  /// The row of one probe. Destroying it removes the row and its events from the board.
  class Row {
   public:
    Row(Board& board, ProbeView view);
    ~Row();
    Row(const Row&) = delete;
    Row& operator=(const Row&) = delete;

    /// Calls `change(ProbeView&)` under the lock of the row.
    template <class Change>
    void update(Change&& change) {
      const std::lock_guard lock((*position_)->mutex);
      change((*position_)->view);
    }
    /// Reads without the lock. Only the thread that calls update() may call this.
    [[nodiscard]] const ProbeView& view() const { return (*position_)->view; }

    void add_event(ProbeEvent event) { board_.events_.add(std::move(event)); }
    void remove_events() { board_.events_.remove(view().name); }

   private:
    Board& board_;
    Slots::iterator position_;
  };

  /// Returns a copy of all rows, sorted by name. Each row is consistent, but the rows may be of
  /// different times. Any thread.
  [[nodiscard]] std::vector<ProbeView> views() const;

  /// Returns a copy of the row with this name. Any thread.
  [[nodiscard]] std::optional<ProbeView> view(std::string_view name) const;
  /// The last changes of state of a probe, or of all if the name is empty. Any thread.
  [[nodiscard]] ProbeEvents events(std::string_view name) const { return events_.events(name); }
  /// The number of changes of a probe that events() lacks. Any thread.
  [[nodiscard]] std::size_t dropped_events(std::string_view name) const {
    return events_.dropped(name);
  }

  using Absent = std::map<std::string, std::string, std::less<>>;
  /// Replaces the reasons why configured probes have no row: "is disabled". Any thread.
  void set_absent(Absent reasons);
  /// Why a configured probe has no row; empty if it is not configured. Any thread.
  [[nodiscard]] std::string why_absent(std::string_view name) const;

  /// Replaces the notices about a part of the process ("state"). An empty list removes them. Any
  /// thread.
  void set_notices(const std::string& about, std::vector<std::string> texts);
  /// All notices as "ABOUT: TEXT". Any thread.
  [[nodiscard]] std::vector<std::string> notices() const;

 private:
  [[nodiscard]] std::vector<std::shared_ptr<Slot>> slots() const;

  mutable std::mutex mutex_;  // protects all members, not the slots
  Slots rows_;
  EventLog events_;
  Absent absent_;
  std::map<std::string, std::vector<std::string>> notices_;
};

}  // namespace vitalsd
