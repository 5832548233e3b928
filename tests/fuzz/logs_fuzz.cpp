// A container's log: the result must not depend on the chunks. When reading resumes at the saved
// position, each line is counted once.
#include "probes/kubernetes/logs/log_lines.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace vitalsd;
using kubernetes::LogPosition;
using kubernetes::LogReader;

namespace {

using Lines = std::vector<std::pair<std::int64_t, std::string>>;

Lines read(std::string_view text, std::size_t piece) {
  Lines lines;
  LogReader reader([&](std::int64_t at, std::string_view line, bool /*is_truncated*/) {
    if (at < 0 || line.size() > LogReader::kMaxLine || line.contains('\n')) std::abort();
    lines.emplace_back(at, std::string(line));
  });
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    reader.feed(text.substr(0, piece));
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Lines lines = read(text, std::max<std::size_t>(size, 1));
  if (lines != read(text, size % 7 + 1)) std::abort();
  // Read up to a line, restart, and read again: no line is counted twice, even if timestamps are
  // not in order.
  LogPosition first(0);
  const std::size_t some = lines.empty() ? 0 : size % lines.size();
  for (std::size_t i = 0; i < some; ++i) first.take(lines[i].first);
  LogPosition second(0, first.state());
  second.rewind();
  const std::int64_t since = second.since();
  for (std::size_t i = 0; i < some; ++i) {
    const std::int64_t at = lines[i].first;
    if (at >= since * LogPosition::kSecond && second.take(at)) std::abort();
  }
  return 0;
}
