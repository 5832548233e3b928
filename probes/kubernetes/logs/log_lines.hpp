// The lines of a container's log as the API server streams them, and how far they have been read.
// Each line begins with the moment at which the container runtime read it. Foreign bytes: whatever
// comes, memory is bounded. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

/// Takes a stream apart into lines, wherever its pieces end.
class LogReader {
 public:
  /// Of a longer line, time included, the rest is passed over.
  static constexpr std::size_t kLongestLine = std::size_t{16} << 10;

  /// `at`: nanoseconds since 1970. The text is valid during the call.
  using OnLine = std::function<void(std::int64_t at, std::string_view text)>;
  explicit LogReader(OnLine on_line) : on_line_(std::move(on_line)) {}

  void feed(std::string_view bytes);
  /// Begins anew: what was left of a line is no line.
  void reset();

  /// The last line, if that had no time: then it is the kubelet's own, about why there are no
  /// others. Its beginning.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

 private:
  void take(std::string_view line);

  OnLine on_line_;
  std::string buffer_;  // the beginning of a line
  std::string complaint_;
};

/// How far a container's log has been read, over all instances of the container. The API can be
/// asked for lines from a whole second on, so the lines seen since then are counted: those come
/// again, in the same order. The moments of a log do not quite grow (a container's two outputs are
/// written side by side), so that the moment of the last line alone would not do.
class LogPosition {
 public:
  static constexpr std::int64_t kSecond = 1'000'000'000;

  /// Nothing has been read yet, and lines before `from` (nanoseconds since 1970) are of no
  /// interest.
  explicit LogPosition(std::int64_t from) : from_(from), last_(from) {}

  /// The second, since 1970, from which lines are to be asked for.
  [[nodiscard]] std::int64_t since() const;

  /// The next line is the first one that there is from since() on.
  void rewind() { again_ = in_second_ + in_second_before_; }

  /// Whether a line of this moment is a new one; from then on it is not.
  bool take(std::int64_t at);

  /// What is to be remembered.
  struct State {
    std::int64_t last = 0;               ///< the latest moment of a line
    std::uint64_t in_second = 0;         ///< lines seen in its second
    std::uint64_t in_second_before = 0;  ///< and in the one before
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
  std::uint64_t again_ = 0;  // lines that come again
};

}  // namespace vitalsd::kubernetes
