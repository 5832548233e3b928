#include "probes/net/tcp.hpp"

#include "probes/net/pending.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace vitalsd::net {
namespace {

using asio::ip::tcp;

// Concurrent connection attempts to several addresses of one host. Owned by its attempts and by the
// waiting coroutine. Ends with the first connection, the last failure or a cancellation.
class Race : public std::enable_shared_from_this<Race> {
 public:
  using Result = std::shared_ptr<tcp::socket>;

  Race(asio::io_context& loop, TimerWheel& wheel, Addresses addresses, std::uint16_t port,
       std::shared_ptr<Pending<Result>> pending)
      : loop_(loop),
        wheel_(wheel),
        addresses_(std::move(addresses)),
        port_(port),
        pending_(std::move(pending)),
        next_attempt_([this] { attempt(); }),
        end_([this] { time_out(); }) {}

  void start(std::chrono::milliseconds limit) {
    if (limit.count() > 0) wheel_.arm_after(end_, limit);
    attempt();
  }

  void stop() {
    next_attempt_.disarm();
    end_.disarm();
    sockets_.clear();
  }

 private:
  void attempt() {
    if (pending_->done() || next_ == addresses_.size()) return;
    const tcp::endpoint to(addresses_[next_++], port_);
    const auto socket = sockets_.insert(sockets_.end(), std::make_shared<tcp::socket>(loop_));
    (*socket)->async_connect(
        to, [self = shared_from_this(), socket, to](const boost::system::error_code& error) {
          self->attempted(socket, to, error);
        });
    if (next_ < addresses_.size()) wheel_.arm_after(next_attempt_, kNextAddressDelay);
  }

  void time_out() {
    pending_->fail_with(
        ProbeError(Reason::timeout, failures_.empty() ? "no address responded" : failures_));
    stop();
  }

  void attempted(std::list<Result>::iterator socket, const tcp::endpoint& to,
                 const boost::system::error_code& error) {
    if (pending_->done()) return;  // stop() has cleared the list
    const Result finished = std::move(*socket);
    sockets_.erase(socket);
    if (!error) {
      pending_->succeed(finished);
      stop();
      return;
    }
    const config::Endpoint at{to.address().to_string(), to.port()};
    failures_ += (failures_.empty() ? "" : "; ") + at.text() + ": " + error_text(error);
    if (!is_local_shortage(error.value())) reason_ = Reason::connect;
    if (next_ < addresses_.size()) {
      attempt();
    } else if (sockets_.empty()) {
      pending_->fail_with(ProbeError(reason_, failures_));
    }
  }

  asio::io_context& loop_;
  TimerWheel& wheel_;
  Addresses addresses_;
  std::uint16_t port_;
  std::shared_ptr<Pending<Result>> pending_;
  Timer next_attempt_;
  Timer end_;
  std::list<Result> sockets_;
  std::size_t next_ = 0;
  std::string failures_;
  Reason reason_ = Reason::internal;  // if all failures are due to a lack of local resources
};

}  // namespace

asio::awaitable<tcp::socket> connect(const Environment& environment,
                                     const config::Endpoint& endpoint, IpVersion ip,
                                     SampleSet& out) {
  out.doing("resolving " + endpoint.host);
  Addresses addresses = co_await environment.resolver.resolve(endpoint.host, ip);
  out.doing("connecting to " + endpoint.text());
  co_return co_await connect(environment.loop, environment.wheel, std::move(addresses),
                             endpoint.port);
}

asio::awaitable<tcp::socket> connect(asio::io_context& loop, TimerWheel& wheel, Addresses addresses,
                                     std::uint16_t port, std::chrono::milliseconds limit) {
  if (addresses.size() == 1 && limit.count() == 0) {  // the common case
    tcp::socket socket(loop);
    const tcp::endpoint to(addresses.front(), port);
    const auto [error] = co_await socket.async_connect(to, asio::as_tuple(asio::use_awaitable));
    if (error) {
      const config::Endpoint at{to.address().to_string(), to.port()};
      fail_with(Reason::connect, at.text(), error);
    }
    co_return socket;
  }
  const auto start = [&](const std::shared_ptr<Pending<Race::Result>>& pending) {
    auto race = std::make_shared<Race>(loop, wheel, std::move(addresses), port, pending);
    pending->on_cancel = [race] { race->stop(); };
    race->start(limit);
  };
  const Race::Result socket = co_await Pending<Race::Result>::wait(start);
  co_return std::move(*socket);
}

}  // namespace vitalsd::net
