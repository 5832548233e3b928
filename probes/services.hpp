// The long-lived things that probes share, in the order in which they depend on each other.
#pragma once

#include "probes/net/http_client.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/pg_connection.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace vitalsd {

struct ProbeServices {
  asio::io_context& loop;
  net::TimerWheel wheel;
  net::Offload offload;
  net::Resolver resolver;
  net::TlsContexts tls;
  net::HttpClient http;
  Environment environment;

  ProbeServices(asio::io_context& probe_loop, std::vector<std::string> dns_servers)
      : loop(probe_loop),
        wheel(loop),
        offload(loop),
        resolver(loop, wheel, std::move(dns_servers)),
        http(loop, wheel, resolver, tls),
        environment{loop, wheel, offload, resolver, tls, http} {
    net::ignore_pg_environment();
  }
};

}  // namespace vitalsd
