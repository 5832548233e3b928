#include "daemon/board.hpp"

#include <algorithm>
#include <utility>

namespace vitalsd {

Board::Row::Row(Board& board, ProbeView view) : board_(board) {
  const std::lock_guard lock(board_.mutex_);
  place_ = board_.rows_.insert(board_.rows_.end(), std::move(view));
}

Board::Row::~Row() {
  const std::lock_guard lock(board_.mutex_);
  board_.rows_.erase(place_);
}

std::vector<ProbeView> Board::views() const {
  std::vector<ProbeView> views;
  {
    const std::lock_guard lock(mutex_);
    views.assign(rows_.begin(), rows_.end());
  }
  std::ranges::sort(views, {}, &ProbeView::name);
  return views;
}

}  // namespace vitalsd
