// The contract between a kind of probe and the rest of vitalsd, on one page.
//
// A probe observes one configured target. It owns what lasts between runs (a connection, a window
// of readings) and nothing else: interval, deadline, cancellation, retries by the next run, outcome
// series, labels, publishing, logging and reload belong to the framework. Its file holds, from top
// to bottom: its metrics, its checks, its options (the constructor that reads them is their schema
// and their reference), observe(), and the ProbeKind that registry.cpp lists in one row.
//
// observe() ends in one of three ways:
//   it returns                        observed, all is well
//   it called out.fail() and returns  observed, but not as it should be; all samples are kept
//   it throws ProbeError              could not observe; what was added until then is kept
// It needs no time-out: at the deadline it is cancelled in whatever it awaits.
#pragma once

#include "config/node.hpp"
#include "exporter/model/check.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/shard.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd {

namespace asio = boost::asio;

namespace net {
class HttpClient;
class Offload;
class Resolver;
class TimerWheel;
class TlsContexts;
namespace kubernetes {
class Client;
}
}  // namespace net

/// What probes may use. All of it lives on the probe loop and outlives every probe.
struct Environment {
  asio::io_context& loop;
  net::TimerWheel& wheel;
  net::Offload& offload;     ///< for files
  net::Offload& connecting;  ///< for libraries that compute or read without a bound
  net::Resolver& resolver;
  net::TlsContexts& tls;
  net::HttpClient& http;
  net::kubernetes::Client& kubernetes;
  Shard shard;  ///< which objects are ours, for kinds that divide theirs
};

/// What a kind has to remember over a restart beside its facts: what it has counted, how far it has
/// read. Probe loop only.
class Notes {
 public:
  Notes() = default;
  virtual ~Notes() = default;
  Notes(const Notes&) = delete;
  Notes& operator=(const Notes&) = delete;

  /// All of it, in a text of the kind's own.
  virtual std::string serialize() = 0;
  /// What serialize() returned last is on the disk, or there is none that it could be put on: what
  /// is published only from now on is never taken back by a crash.
  virtual void saved() = 0;
  /// What an earlier process took, before the first run; a text that makes no sense is ignored.
  virtual void restore(std::string_view text) = 0;
  /// Changes when there is something new that is worth being saved.
  [[nodiscard]] virtual std::uint64_t version() const = 0;
};

class Probe {
 public:
  Probe() = default;
  virtual ~Probe() = default;
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  /// One run. Never called while an earlier call is still going on.
  virtual asio::awaitable<void> observe(SampleSet& out) = 0;

  /// What it watches, as the status page shows it: no secrets, no defaults spelt out.
  [[nodiscard]] virtual std::string target() const = 0;

  /// The host:port that it connects to, whose concurrent runs are capped; empty: none.
  [[nodiscard]] virtual std::string endpoint() const { return {}; }

  /// Whether there may be an object of which both publish, which is an error: for kinds that watch
  /// many (`divides`). `other` is of the same class.
  [[nodiscard]] virtual bool overlaps(const Probe& /*other*/) const { return false; }

  /// After a reload that left kind and target as they were: take over the connection, or whatever
  /// else is worth keeping, from the probe that this one replaces. `predecessor` is of the same
  /// class and does not run.
  virtual void inherit(Probe& /*predecessor*/) {}

  /// Null for those whose facts are all that they remember.
  virtual Notes* notes() { return nullptr; }
};

/// One row of the registry.
struct ProbeKind {
  std::string_view name;
  std::string_view help;  ///< one sentence for the reference

  /// Reads the kind's own options; problems are recorded in the node. Does no I/O.
  std::unique_ptr<Probe> (*make)(config::Node& options, const Environment& environment);

  std::span<const MetricInfo* const> metrics;
  std::span<const Check* const> checks = {};

  /// It follows a watch: its first run, which begins it, need not be spread with all the others.
  bool first_at_once = false;

  /// It watches many objects and, in each of several processes that divide the work, its share of
  /// them (Environment::shard). Of other kinds each probe runs in one of the processes.
  bool divides = false;

  /// The ecosystem's name for "the target is up" (`pg_up`); the framework publishes it.
  const MetricInfo* up = nullptr;

  /// A series that documented rules read and that any probe of the kind publishes, as PromQL: where
  /// it is missing, those rules are silent for want of data.
  std::string_view documented_series = {};
};

/// Shorthand for a kind whose probe is constructible from its options.
template <class P>
std::unique_ptr<Probe> make_probe(config::Node& options, const Environment& environment) {
  return std::make_unique<P>(options, environment);
}

}  // namespace vitalsd
