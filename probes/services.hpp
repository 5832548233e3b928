// The services that probes share, in the order of their dependencies.
#pragma once

#include "exporter/model/foreign.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/kept_connections.hpp"
#include "probes/net/kubernetes/client.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/pg_connection.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"
#include "probes/registry.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace vitalsd {

struct ProbeServices {
  /// Threads for libraries that connect. Each step takes microseconds unless the peer is hostile.
  static constexpr std::size_t kMaxConnecting = 4;
  /// One computation at a time, because a parsed response needs more memory than its text. For the
  /// same reason, few threads may be abandoned.
  static constexpr std::size_t kMaxComputing = 1;
  static constexpr std::size_t kMaxAbandonedComputing = 4;
  /// If all threads are in calls that take longer than this, other targets fail with
  /// Reason::internal and not with a timeout.
  static constexpr std::chrono::seconds kMaxStall{1};

  asio::io_context& loop;
  net::TimerWheel wheel;
  net::Offload offload;
  net::Offload connecting;
  net::Offload computing;
  net::ConfiguredFiles files;
  net::Resolver resolver;
  net::TlsContexts tls;
  net::HttpClient http;
  net::kubernetes::Client kubernetes;
  net::KeptConnections kept;
  ForeignFamilies foreign;
  Environment environment;

  ProbeServices(asio::io_context& probe_loop, std::vector<std::string> dns_servers,
                Shard shard = {}, const net::kubernetes::Timeouts& timeouts = {})
      : loop(probe_loop),
        wheel(loop),
        offload(loop),
        connecting(loop, kMaxConnecting, net::Offload::kMaxHanging, kMaxStall),
        computing(loop, kMaxComputing, kMaxAbandonedComputing, kMaxStall, Reason::internal),
        files(loop, wheel),
        resolver(loop, wheel, std::move(dns_servers)),
        tls(files),
        http(loop, wheel, resolver, tls),
        kubernetes(loop, wheel, files, http, timeouts),
        environment{loop, wheel, offload,    connecting, computing, files, resolver,
                    tls,  http,  kubernetes, kept,       foreign,   shard} {
    net::ignore_pg_environment();
    for (const ProbeKind* kind : probe_kinds()) {
      for (const MetricInfo* metric : kind->metrics) foreign.declare(metric->name, metric->type);
      if (kind->up != nullptr) foreign.declare(kind->up->name, kind->up->type);
    }
  }

  /// Threads in an abandoned call that has not returned.
  [[nodiscard]] std::size_t hanging() const {
    return offload.hanging() + connecting.hanging() + computing.hanging() + files.hanging();
  }

  /// Lets cancelled operations unwind after the loop has stopped.
  void wind_down() {
    kubernetes.stop();
    loop.restart();
    constexpr std::chrono::milliseconds kAtOnce{100};  // everything is cancelled and posted
    while (kubernetes.running() > 0 && loop.run_one_for(kAtOnce) > 0) {
    }
  }
};

}  // namespace vitalsd
