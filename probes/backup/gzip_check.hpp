// Verifies that a file is a complete and valid gzip stream by decompressing it completely. The
// output is discarded. Verifying a large backup takes longer than a run, so the work is done in
// steps and continues in the next run. Blocks on the file: must run on a thread of the pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace vitalsd {

class GzipCheck {
 public:
  enum class State : unsigned char { working, valid, broken };

  explicit GzipCheck(std::string path);
  ~GzipCheck();
  GzipCheck(const GzipCheck&) = delete;
  GzipCheck& operator=(const GzipCheck&) = delete;

  /// Works until `deadline`, the end of the file, or `stopped()`. Call it again while the state is
  /// `working`.
  template <class Stopped>
  State step(std::chrono::steady_clock::time_point deadline, const Stopped& stopped) {
    while (state_ == State::working && std::chrono::steady_clock::now() < deadline && !stopped()) {
      read_piece();
    }
    return state_;
  }

  [[nodiscard]] State state() const { return state_; }
  /// Why the file is broken, such as "is truncated"; empty if it is not.
  [[nodiscard]] const std::string& fault() const { return fault_; }
  /// Compressed bytes that have been read.
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  struct Stream;
  void read_piece();
  void end(State state, std::string fault);

  std::string path_;
  std::unique_ptr<Stream> stream_;
  State state_ = State::working;
  std::string fault_;
  std::uint64_t position_ = 0;
};

}  // namespace vitalsd
