#include "daemon/board.hpp"

#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

ProbeView named(std::string_view name) {
  ProbeView view;
  view.name = name;
  return view;
}

std::string names(const Board& board) {
  std::string out;
  for (const ProbeView& view : board.views()) out += view.name + ' ';
  return out;
}

TEST(Board, SortsRowsByName) {
  Board board;
  const Board::Row b(board, named("b"));
  auto c = std::make_unique<Board::Row>(board, named("c"));
  const Board::Row a(board, named("a"));
  EXPECT_EQ(names(board), "a b c ");
  c.reset();
  EXPECT_EQ(names(board), "a b ");
}

TEST(Board, ReturnsTheLastState) {
  Board board;
  Board::Row row(board, named("a"));
  row.update([](ProbeView& view) { view.state = ProbeView::State::failed; });
  EXPECT_EQ(row.view().state, ProbeView::State::failed);
  EXPECT_EQ(board.views()[0].state, ProbeView::State::failed);
}

TEST(Board, CanBeReadDuringUpdates) {
  Board board;
  Board::Row row(board, named("0"));
  constexpr int kRounds = 1'000;
  const std::jthread writer([&] {
    for (int i = 1; i <= kRounds; ++i) {
      row.update([&](ProbeView& view) { view.name = view.detail = std::to_string(i); });
    }
  });
  std::string last;
  while (last != std::to_string(kRounds)) {
    const ProbeView view = board.views().at(0);
    if (!view.detail.empty()) ASSERT_EQ(view.name, view.detail);
    last = view.name;
  }
}

TEST(Board, UpdatesDoNotWaitForACopyOfAllRows) {
  Board board;
  Board::Row first(board, named("first"));
  Board::Row other(board, named("other"));
  std::latch copying(1);
  std::latch finish(1);
  const auto writer = std::async(std::launch::async, [&] {
    first.update([&](ProbeView& /*view*/) {
      copying.count_down();
      finish.wait();
    });
  });
  copying.wait();
  auto reader = std::async(std::launch::async, [&] { return board.views().size(); });
  const auto update = std::async(
      std::launch::async, [&] { other.update([](ProbeView& view) { view.detail = "changed"; }); });
  // The reader waits for the first row. Other operations do not wait for the reader.
  EXPECT_EQ(update.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  const auto addition =
      std::async(std::launch::async, [&] { const Board::Row third(board, named("third")); });
  EXPECT_EQ(addition.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  finish.count_down();
  EXPECT_GE(reader.get(), 2U);
}

TEST(Board, ReplacesTheNoticesAboutEachPart) {
  using Texts = std::vector<std::string>;
  Board board;
  EXPECT_EQ(board.notices(), Texts());
  board.set_notices("state", {"locked"});
  board.set_notices("configuration", {"one", "two"});
  EXPECT_EQ(board.notices(), (Texts{"configuration: one", "configuration: two", "state: locked"}));
  board.set_notices("configuration", {"three"});
  board.set_notices("state", {});
  EXPECT_EQ(board.notices(), (Texts{"configuration: three"}));
}

}  // namespace
}  // namespace vitalsd
