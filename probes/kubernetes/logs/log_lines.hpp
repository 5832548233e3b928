// The lines of a container's log as the API server streams them, and the position up to which they
// have been read. Each line starts with the time at which the container runtime received it. The
// input is untrusted: memory is bounded for all input. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

/// Splits a stream that arrives in pieces of any size into lines.
class LogReader {
 public:
  /// Bytes, including the timestamp. Longer lines are truncated and reported as truncated.
  static constexpr std::size_t kMaxLine = std::size_t{16} << 10;

  /// `at` is in nanoseconds since 1970. The text is valid during the call.
  using OnLine = std::function<void(std::int64_t at, std::string_view text, bool is_truncated)>;
  explicit LogReader(OnLine on_line) : on_line_(std::move(on_line)) {}

  void feed(std::string_view bytes);
  /// Starts a new stream and discards an incomplete line.
  void reset();

  /// The beginning of the last line if that line has no timestamp. It is then a message of the
  /// kubelet that explains why there are no more lines. Otherwise empty.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

 private:
  void take(std::string_view line, bool is_truncated);

  OnLine on_line_;
  std::string buffer_;         // an incomplete line
  bool is_truncated_ = false;  // the line in buffer_
  std::string complaint_;
};

/// The position up to which a container's log has been read, over all instances of the container.
/// The API returns lines from the start of a whole second. It therefore returns lines of that
/// second again, in the same order, so the position counts them. The timestamp of the last line is
/// not sufficient: timestamps do not strictly increase, because the runtime writes standard output
/// and standard error concurrently.
class LogPosition {
 public:
  static constexpr std::int64_t kSecond = 1'000'000'000;

  /// A position before the first line. Lines before `from` (nanoseconds since 1970) are skipped.
  explicit LogPosition(std::int64_t from) : from_(from), last_(from) {}

  /// The time from which lines must be requested, in seconds since 1970.
  [[nodiscard]] std::int64_t since() const;

  /// Must be called when a new stream starts: its first line is the first one from since() on.
  void rewind() { repeated_ = in_second_ + in_second_before_; }

  /// Processes the next line, which has this timestamp. Returns whether the line has not been read
  /// before.
  bool take(std::int64_t at);

  /// The saved state.
  struct State {
    std::int64_t last = 0;               ///< the latest timestamp of a line
    std::uint64_t in_second = 0;         ///< lines read in the second of `last`
    std::uint64_t in_second_before = 0;  ///< lines read in the second before
    bool operator==(const State&) const = default;
  };
  [[nodiscard]] State state() const { return {last_, in_second_, in_second_before_}; }
  LogPosition(std::int64_t from, const State& state)
      : from_(from),
        last_(state.last),
        in_second_(state.in_second),
        in_second_before_(state.in_second_before) {}

 private:
  std::int64_t from_;
  std::int64_t last_;
  std::uint64_t in_second_ = 0;  // 0: no line has been read
  std::uint64_t in_second_before_ = 0;
  std::uint64_t repeated_ = 0;  // the number of lines that follow and have been read before
};

}  // namespace vitalsd::kubernetes
