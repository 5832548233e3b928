// The contract between a kind of probe and the rest of vitalsd.
//
// A probe observes one configured target. It owns what lasts between runs (a connection, a window
// of readings) and nothing else. Interval, deadline, cancellation, retries by the next run, outcome
// series, labels, publishing, logging and reload belong to the framework. The file of a kind has,
// from top to bottom: metrics, checks, options (the constructor that reads them is their schema and
// their reference), observe(), and the ProbeKind, which registry.cpp lists in one row.
//
// observe() ends in one of three ways:
//   it returns                        observed, and healthy
//   it called out.fail() and returns  observed, and not healthy; all samples are kept
//   it throws ProbeError              not observed; the samples that were added before are kept
// It needs no timeouts: at the deadline, the operation that it awaits is cancelled.
#pragma once

#include "config/node.hpp"
#include "exporter/model/check.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/permission.hpp"
#include "probes/shard.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd {

namespace asio = boost::asio;

class ForeignFamilies;
class Receiver;

namespace net {
class ConfiguredFiles;
class HttpClient;
class KeptConnections;
class Offload;
class Resolver;
class TimerWheel;
class TlsContexts;
namespace kubernetes {
class Client;
}
}  // namespace net

/// The services that probes use, on the probe loop. They outlive every probe.
struct Environment {
  asio::io_context& loop;
  net::TimerWheel& wheel;
  net::Offload& offload;        ///< threads for files that probes observe
  net::Offload& connecting;     ///< threads for libraries that compute or read without a limit
  net::Offload& computing;      ///< a thread for parsing and matching what targets sent
  net::ConfiguredFiles& files;  ///< secrets and certificates
  net::Resolver& resolver;
  net::TlsContexts& tls;
  net::HttpClient& http;
  net::kubernetes::Client& kubernetes;
  net::KeptConnections& kept;
  ForeignFamilies& foreign;  ///< families whose names are known at run time only
  Shard shard;               ///< the objects of this process, for kinds that divide them
};

/// Data of a kind that must survive a restart and is not a fact: counts, read positions. Probe loop
/// only.
class Notes {
 public:
  Notes() = default;
  virtual ~Notes() = default;
  Notes(const Notes&) = delete;
  Notes& operator=(const Notes&) = delete;

  /// All data, as text in a format of the kind.
  virtual std::string serialize() = 0;
  /// The text of the last serialize() is saved, or there is no state file. If the kind withholds
  /// data that a crash would revert, it publishes this data now.
  virtual void saved() = 0;
  /// The text of the last serialize() could not be saved.
  virtual void save_failed() { saved(); }
  /// Restores the text of an earlier process, before the first run. An invalid text is ignored.
  virtual void restore(std::string_view text) = 0;
  /// Changes when there is new data to save.
  [[nodiscard]] virtual std::uint64_t version() const = 0;
};

class Probe {
 public:
  Probe() = default;
  virtual ~Probe() = default;
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  /// One run. The framework never starts a run before the previous one has ended.
  virtual asio::awaitable<void> observe(SampleSet& out) = 0;

  /// The target as the status page shows it, without secrets and default values.
  [[nodiscard]] virtual std::string target() const = 0;

  /// The host:port to which the probe connects. The number of concurrent runs with the same
  /// endpoint is limited. Empty: no limit.
  [[nodiscard]] virtual std::string endpoint() const { return {}; }

  /// Takes over the connection and other state of the probe that this one replaces after a reload.
  /// `predecessor` has the same class and target, and does not run.
  virtual void inherit(Probe& /*predecessor*/) {}

  /// The data that is saved in addition to facts. Null: none.
  virtual Notes* notes() { return nullptr; }

  /// Receives the requests to the probe's route. Null: the probe has no route.
  virtual Receiver* receiver() { return nullptr; }
};

/// Properties of kinds that observe many objects.
struct WatchingKind {
  /// The first run, which starts the watch, begins at once. First runs of other probes are spread
  /// over time.
  bool first_run_at_once = true;
  /// Whether two probes of the kind may publish the same object, which is a configuration error.
  bool (*overlaps)(const Probe& one, const Probe& other) = nullptr;
};

/// One row of the registry.
struct ProbeKind {
  std::string_view name;
  std::string_view help;  ///< one sentence for the reference

  /// Reads the options of the kind and records problems in the node. No I/O.
  std::unique_ptr<Probe> (*make)(config::Node& options, const Environment& environment);

  std::span<const MetricInfo* const> metrics;
  std::span<const Check* const> checks = {};

  /// The ecosystem's name for "the target is up" (`pg_up`), which the framework publishes.
  const MetricInfo* up = nullptr;

  /// PromQL for a series that the documented rules read and that every probe of the kind publishes.
  /// The documented rules never fire if the series is missing.
  std::string_view documented_series = {};

  /// The permissions that the kind needs from the Kubernetes API.
  std::span<const Permission> permissions = {};

  /// Used if neither the probe nor `defaults` sets the interval.
  std::optional<config::Duration> default_interval = std::nullopt;

  /// Set for kinds that observe many objects. Several processes divide the objects of such a probe
  /// (Environment::shard). A probe of any other kind runs in one process.
  const WatchingKind* watching = nullptr;
};

/// Shorthand for WatchingKind::overlaps of a class with `overlaps(const P&)`.
template <class P>
bool probes_overlap(const Probe& one, const Probe& other) {
  return dynamic_cast<const P&>(one).overlaps(dynamic_cast<const P&>(other));
}

/// Shorthand for a kind whose probe is constructible from its options.
template <class P>
std::unique_ptr<Probe> make_probe(config::Node& options, const Environment& environment) {
  return std::make_unique<P>(options, environment);
}

}  // namespace vitalsd
