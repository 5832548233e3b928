// Fault injection at each step of a client's input and output: fail_each_step() runs a client's
// conversation with a Peer once for each step. The peer works normally after the fault.
#pragma once

#include "probes/error.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "unit/support/faulty_peer.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/open_descriptors.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

namespace vitalsd::test {

// ---- the conversations --------------------------------------------------------------------------

/// A client's exchange with the peer at a port. Returns the received data as text.
using Conversation = std::function<asio::awaitable<std::string>(std::uint16_t port, SampleSet&)>;

/// The allowed reasons for a failure; std::nullopt if the conversation may succeed.
using Endings = std::set<std::optional<Reason>>;
using Expected = std::function<Endings(Fault fault, TlsPhase phase)>;

namespace detail {

struct Ending {
  std::string result;
  std::optional<Reason> reason;
  std::string detail;  // text of the error, or the client's step when it was cancelled
  bool cancelled = false;
};

// Runs the conversation. `fault` is the one that the peer is armed with, if any.
inline Ending converse(Peer& peer, const Conversation& conversation,
                       std::optional<Fault> fault = std::nullopt) {
  SampleSet out;
  Task<std::string> client(peer.loop, conversation(peer.port(), out));
  peer.on_cancel = [&] { client.cancel_on_loop(); };
  if (fault == Fault::stall) {
    EXPECT_TRUE(run_until(peer.loop, [&] { return peer.struck() || client.done(); }));
    settle(peer.loop);  // until the client waits
    if (!client.done()) client.cancel();
  }
  Ending ending;
  try {
    ending.result = client.get();
  } catch (const ProbeError& error) {
    ending.reason = error.reason();
    ending.detail = error.what();
  } catch (const boost::system::system_error& error) {
    ending.cancelled = error.code() == asio::error::operation_aborted;
    ending.detail = ending.cancelled ? out.step() : error.what();
  }
  peer.on_cancel = nullptr;
  return ending;
}

}  // namespace detail

/// Runs the conversation with the fault at each of the peer's steps (Fault::cut: after each
/// `stride` bytes). Expects an allowed ending with a detail, no leaked descriptor, and a successful
/// conversation afterwards. Returns the number of steps.
inline std::size_t fail_each_step(Peer& peer, Fault fault, const Conversation& conversation,
                                  const Expected& expected, std::size_t stride = 1) {
  using detail::Ending;
  if (fault != Fault::refuse) peer.listen();
  const auto quiet = [&] { return !peer.connected(); };
  std::string whole;
  if (fault != Fault::refuse) {
    const Ending first = detail::converse(peer, conversation);
    EXPECT_NE(first.result, "") << first.detail;
    EXPECT_TRUE(run_until(peer.loop, quiet));
    whole = first.result;
  }
  const std::ptrdiff_t descriptors = open_descriptors();
  for (std::size_t step = 0;; ++step) {
    SCOPED_TRACE(std::string(fault_name(fault)) + " at step " + std::to_string(step));
    if (fault != Fault::refuse) peer.arm(step * stride, fault);
    const Ending ending = detail::converse(peer, conversation, fault);
    if (fault != Fault::refuse && !peer.struck()) {
      // The conversation has no more steps, so it succeeded.
      EXPECT_EQ(ending.result, whole) << ending.detail;
      peer.disarm();
      return step;
    }
    if (fault == Fault::trickle) {
      EXPECT_EQ(ending.result, whole) << ending.detail;
    } else if (fault == Fault::stall || fault == Fault::cancel) {
      // The client may have received everything when it is cancelled.
      EXPECT_TRUE(ending.cancelled || (fault == Fault::cancel && ending.result == whole))
          << ending.result << ending.detail;
      EXPECT_EQ(ending.detail.empty(), !ending.cancelled);
    } else {
      const Endings endings = expected(fault, peer.phase());
      EXPECT_TRUE(endings.contains(ending.reason))
          << (ending.reason ? reason_name(*ending.reason) : "ok") << ": " << ending.detail;
      EXPECT_EQ(ending.detail.empty(), !ending.reason);
      EXPECT_EQ(ending.result, ending.reason ? "" : whole);
    }
    EXPECT_TRUE(run_until(peer.loop, quiet)) << "the client has not closed the connection";
    EXPECT_TRUE(run_until(peer.loop, [&] { return open_descriptors() == descriptors; }))
        << open_descriptors() << " descriptors instead of " << descriptors;
    if (fault == Fault::refuse) peer.listen();
    const Ending next = detail::converse(peer, conversation);
    EXPECT_NE(next.result, "") << next.detail;
    if (fault == Fault::refuse) return 1;
    EXPECT_EQ(next.result, whole);
    EXPECT_TRUE(run_until(peer.loop, quiet));
    if (testing::Test::HasFailure()) return step;  // the other steps would fail in the same way
  }
}

}  // namespace vitalsd::test
