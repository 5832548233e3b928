#include "probes/kubernetes/logs/log_lines.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/kubernetes/objects/time.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace vitalsd::kubernetes {

void LogReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    const bool complete = end != std::string_view::npos;
    if (buffer_.empty() && complete) {  // the usual case needs no copy
      take(piece.substr(0, kMaxLine), piece.size() > kMaxLine);
    } else {
      is_truncated_ = is_truncated_ || piece.size() > kMaxLine - buffer_.size();
      buffer_ += piece.substr(0, kMaxLine - buffer_.size());
      if (complete) {
        take(buffer_, std::exchange(is_truncated_, false));
        buffer_.clear();
      }
    }
    bytes.remove_prefix(complete ? end + 1 : bytes.size());
  }
  if (buffer_.empty()) buffer_ = {};  // releases the memory, because there are many streams
}

void LogReader::reset() {
  buffer_ = {};
  is_truncated_ = false;
  complaint_.clear();
}

void LogReader::take(std::string_view line, bool is_truncated) {
  constexpr std::size_t kMaxComplaint = 300;
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::optional<std::int64_t> at = parse_nanoseconds(line.substr(0, end));
  if (!at) {
    complaint_ = shown_text(line, kMaxComplaint);
    return;
  }
  complaint_.clear();
  on_line_(*at, line.substr(std::min(end + 1, line.size())), is_truncated);
}

std::int64_t LogPosition::since() const {
  const std::int64_t from = from_ / kSecond;
  return in_second_ == 0 ? from : std::max(from, last_ / kSecond - 1);
}

bool LogPosition::take(std::int64_t at) {
  if (at < from_) return false;
  if (repeated_ > 0 && at <= last_) {
    --repeated_;
    return false;
  }
  // Repeated lines come first. If some of them are missing, they are in a file that has been
  // rotated.
  repeated_ = 0;
  const std::int64_t ahead = at / kSecond - last_ / kSecond;
  if (in_second_ == 0 || ahead > 1) {
    in_second_ = 1;
    in_second_before_ = 0;
  } else if (ahead == 1) {
    in_second_before_ = in_second_;
    in_second_ = 1;
  } else if (ahead == 0) {
    ++in_second_;
  } else if (ahead == -1) {
    ++in_second_before_;
  }
  last_ = std::max(last_, at);
  return true;
}

}  // namespace vitalsd::kubernetes
