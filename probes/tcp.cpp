// Kind `tcp`: a TCP connection can be established. It is closed immediately.
#include "probes/net/tcp.hpp"

#include "probes/net/options.hpp"
#include "probes/probe.hpp"

#include <chrono>

namespace vitalsd {
namespace {

constexpr Metric kConnectSeconds({.name = "probe_tcp_connect_duration_seconds",
                                  .unit = Unit::seconds,
                                  .help = "Time to resolve the name and connect."});

class TcpProbe final : public Probe {
 public:
  TcpProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        endpoint_(options.required<config::Endpoint>("endpoint", "where to connect")),
        ip_(net::read_ip(options, "endpoint", endpoint_.host)) {}

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto start = std::chrono::steady_clock::now();
    const auto socket = co_await net::connect(environment_, endpoint_, ip_, out);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    out.add(kConnectSeconds, took.count());
  }

  [[nodiscard]] std::string target() const override { return endpoint_.text(); }
  [[nodiscard]] std::string endpoint() const override { return endpoint_.text(); }

 private:
  const Environment& environment_;
  config::Endpoint endpoint_;
  net::IpVersion ip_;
};

constexpr auto kMetrics = metric_list(kConnectSeconds);

}  // namespace

namespace kinds {
extern const ProbeKind tcp;
const ProbeKind tcp = {
    .name = "tcp",
    .help = "A TCP connection can be made.",
    .make = make_probe<TcpProbe>,
    .metrics = kMetrics,
};
}  // namespace kinds

}  // namespace vitalsd
