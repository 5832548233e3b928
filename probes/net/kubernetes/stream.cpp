#include "probes/net/kubernetes/stream.hpp"

#include <string>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd::net::kubernetes {

// The request in progress. If the stream is stopped, this object exists until its coroutine has
// unwound.
struct Stream::Attempt {
  Attempt(ClientContext& client_context, OnData data, OnEnd end)
      : context(client_context), on_data(std::move(data)), on_end(std::move(end)) {
    ++context.running;
  }
  ~Attempt() { --context.running; }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  ClientContext& context;
  OnData on_data;
  OnEnd on_end;
  bool stopped = false;
  asio::cancellation_signal cancel;
  SampleSet steps;  // receives the steps and secrets of HttpClient
};

Stream::Stream(Client& client, Api::Call call, OnData on_data, OnEnd on_end)
    : client_(client),
      attempt_(std::make_shared<Attempt>(client.context_, std::move(on_data), std::move(on_end))) {
  client_.streams_.insert(this);
  call.on_data = [attempt = attempt_](std::string_view piece) {
    if (!attempt->stopped) attempt->on_data(piece);
    return !attempt->stopped;
  };
  asio::co_spawn(
      client.context_.loop, run(attempt_, std::move(call)),
      asio::bind_cancellation_slot(attempt_->cancel.slot(),
                                   [attempt = attempt_](const std::exception_ptr& error) {
                                     if (!attempt->stopped) ended(*attempt, error);
                                   }));
}

Stream::~Stream() {
  stop();
  client_.streams_.erase(this);
}

void Stream::stop() {
  const auto attempt = attempt_;
  if (std::exchange(attempt->stopped, true)) return;
  attempt->cancel.emit(asio::cancellation_type::terminal);
}

const std::string& Stream::step() const { return attempt_->steps.step(); }

asio::awaitable<void> Stream::run(std::shared_ptr<Attempt> attempt, Api::Call call) {
  co_await attempt->context.api.call(std::move(call), attempt->steps);
}

void Stream::ended(Attempt& attempt, const std::exception_ptr& error) {
  attempt.stopped = true;  // there is nothing left to cancel
  End end;
  try {
    if (error) std::rethrow_exception(error);
  } catch (const ApiError& refusal) {
    end = {.failure = Failure{refusal.reason(), refusal.what()},
           .status = refusal.status().code,
           .retry_after = refusal.status().retry_after};
  } catch (const ProbeError& failure) {
    end.failure = {failure.reason(), failure.what()};
  } catch (const boost::system::system_error& failure) {
    end.failure = {Reason::connect, error_text(failure.code())};
  } catch (const std::exception& failure) {
    end.failure = {Reason::internal, failure.what()};
  }
  end.failure = attempt.steps.overall(end.failure);
  const OnEnd on_end = std::move(attempt.on_end);  // the callback may destroy the stream
  on_end(end);
}

}  // namespace vitalsd::net::kubernetes
