#include "daemon/board.hpp"

#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace vitalsd {

Board::Row::Row(Board& board, ProbeView view) : board_(board) {
  auto slot = std::make_shared<Slot>();
  slot->view = std::move(view);
  const std::lock_guard lock(board_.mutex_);
  position_ = board_.rows_.insert(board_.rows_.end(), std::move(slot));
}

Board::Row::~Row() {
  remove_events();
  const std::lock_guard lock(board_.mutex_);
  board_.rows_.erase(position_);
}

std::vector<std::shared_ptr<Board::Slot>> Board::slots() const {
  const std::lock_guard lock(mutex_);
  return {rows_.begin(), rows_.end()};
}

std::optional<ProbeView> Board::view(std::string_view name) const {
  for (const std::shared_ptr<Slot>& slot : slots()) {
    const std::lock_guard lock(slot->mutex);
    if (slot->view.name == name) return slot->view;
  }
  return std::nullopt;
}

std::vector<ProbeView> Board::views() const {
  const std::vector<std::shared_ptr<Slot>> all = slots();
  std::vector<ProbeView> views;
  views.reserve(all.size());
  for (const std::shared_ptr<Slot>& slot : all) {
    const std::lock_guard lock(slot->mutex);
    views.push_back(slot->view);
  }
  std::ranges::sort(views, {}, &ProbeView::name);
  return views;
}

void Board::set_absent(Absent reasons) {
  const std::lock_guard lock(mutex_);
  absent_ = std::move(reasons);
}

std::string Board::why_absent(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = absent_.find(name);
  return found == absent_.end() ? "" : found->second;
}

void Board::set_notices(const std::string& about, std::vector<std::string> texts) {
  // A notice may quote the configuration, whose bytes may be any.
  for (std::string& text : texts) text = shown_lines(text, std::string::npos);
  const std::lock_guard lock(mutex_);
  notices_[about] = std::move(texts);
}

std::vector<std::string> Board::notices() const {
  std::vector<std::string> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [about, texts] : notices_) {
    for (const std::string& text : texts) all.push_back(about + ": " + text);
  }
  return all;
}

}  // namespace vitalsd
