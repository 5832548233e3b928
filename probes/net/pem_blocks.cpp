#include "probes/net/pem_blocks.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace vitalsd::net {
namespace {

constexpr std::string_view kDashes = "-----";

// A line that begins or ends a block.
struct Marker {
  bool begins;
  std::string_view name;
  bool is_exact;  // otherwise, it has wrong dashes or spaces
};

std::optional<Marker> read_marker(std::string_view line) {
  constexpr std::string_view kBegin = "BEGIN ";
  constexpr std::string_view kEnd = "END ";
  constexpr std::string_view kAround = "- \t\r";
  const std::size_t first = line.find_first_not_of(kAround);
  if (first == std::string_view::npos || !line.substr(0, first).contains('-')) return std::nullopt;
  const std::size_t end = line.find_last_not_of(kAround) + 1;
  const std::string_view text = line.substr(first, end - first);
  const bool begins = text.starts_with(kBegin);
  if (!begins && !text.starts_with(kEnd)) return std::nullopt;
  std::string_view after = line.substr(end);
  after = after.substr(0, after.find_last_not_of(" \t\r") + 1);
  return Marker{.begins = begins,
                .name = text.substr(begins ? kBegin.size() : kEnd.size()),
                .is_exact = line.substr(0, first) == kDashes && after == kDashes};
}

std::string problem(std::string_view what, std::string_view marker, std::string_view name) {
  std::string text(what);
  return text.append(" ").append(kDashes).append(marker).append(name).append(kDashes);
}

}  // namespace

std::vector<PemBlock> split_pem(std::string_view text) {
  std::vector<PemBlock> blocks;
  std::size_t begin = 0;  // of the last block
  bool is_open = false;   // whether its last line is still to come
  const auto close = [&](std::string_view what) {
    PemBlock& block = blocks.back();
    if (block.problem.empty()) block.problem = problem(what, "END ", block.name);
    is_open = false;
  };
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::optional<Marker> marker = read_marker(text.substr(at, end - at));
    ++number;
    if (marker && marker->begins) {
      if (is_open) close("no line");
      blocks.push_back({.name = marker->name, .line = number});
      if (!marker->is_exact)
        blocks.back().problem = problem("the line is not exactly", "BEGIN ", marker->name);
      begin = at;
      is_open = true;
    } else if (marker && !is_open) {
      blocks.push_back({.name = marker->name,
                        .line = number,
                        .problem = problem("no line", "BEGIN ", marker->name)});
    } else if (marker) {
      PemBlock& block = blocks.back();
      if (!marker->is_exact || marker->name != block.name) close("its last line is not exactly");
      if (block.problem.empty()) block.text = text.substr(begin, end - begin);
      is_open = false;
    }
    at = end + 1;
  }
  if (is_open) close("no line");
  return blocks;
}

}  // namespace vitalsd::net
