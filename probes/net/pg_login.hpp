// Logs in to a PostgreSQL server with libpq. During a login libpq may compute and read for as long
// as the server wants. Therefore each step runs on a thread (Environment::connecting) under a
// watchdog, and requests on an unencrypted connection are checked before libpq reads them.
#pragma once

#include "probes/net/pg_options.hpp"
#include "probes/net/resolver.hpp"
#include "probes/probe.hpp"

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

struct PgSession;

/// A session that is ready for queries and in non-blocking mode. The arguments must outlive the
/// call. Sets the step of `out`. Probe loop only. Throws ProbeError, see pg_login_error().
asio::awaitable<std::unique_ptr<PgSession>> pg_log_in(const Environment& environment,
                                                      const PgOptions& options,
                                                      const std::string& password,
                                                      const Addresses& addresses, SampleSet& out);

}  // namespace vitalsd::net
