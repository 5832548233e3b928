// Kind `redis`: memory, clients, look-ups, persistence and replication of one server, from one INFO
// a run on a connection that is kept. Names are redis_exporter's where it has one.
#include "probes/net/options.hpp"
#include "probes/net/redis_connection.hpp"
#include "probes/probe.hpp"
#include "probes/redis/hit_rate.hpp"
#include "probes/redis/info.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace vitalsd {
namespace {

constexpr Metric kUp({.name = "redis_up", .help = "Whether the server serves (1) or not (0)."});
constexpr Metric kLoading(
    {.name = "redis_loading_dump_file",
     .help = "Whether the server is loading its data and does not serve yet."});
constexpr Metric kMemoryUsed({.name = "redis_memory_used_bytes",
                              .unit = Unit::bytes,
                              .help = "Memory that the server has allocated."});
constexpr Metric kMemoryMax({.name = "redis_memory_max_bytes",
                             .unit = Unit::bytes,
                             .help = "The limit maxmemory; absent where there is none."});
constexpr Metric kMemoryLimited({.name = "redis_memory_limited",
                                 .help = "Whether the server has a memory limit (maxmemory)."});
constexpr Metric kMemoryPeak({.name = "redis_memory_used_peak_bytes",
                              .unit = Unit::bytes,
                              .help = "The most memory that the server has had allocated."});
constexpr Metric kMemoryRss({.name = "redis_memory_used_rss_bytes",
                             .unit = Unit::bytes,
                             .help = "Resident memory of the server."});
constexpr Metric kFragmentation({.name = "redis_mem_fragmentation_ratio",
                                 .unit = Unit::ratio,
                                 .help = "Resident memory over allocated memory."});
constexpr Metric kHitRate({.name = "redis_cache_hit_rate",
                           .help = "Share of look-ups that hit, over the last 5 minutes; absent if "
                                   "there were fewer than 10."});
constexpr Metric kHits({.name = "redis_keyspace_hits_total",
                        .type = Type::counter,
                        .help = "Look-ups that found their key."});
constexpr Metric kMisses({.name = "redis_keyspace_misses_total",
                          .type = Type::counter,
                          .help = "Look-ups that did not find their key."});
constexpr Metric kEvicted({.name = "redis_evicted_keys_total",
                           .type = Type::counter,
                           .help = "Keys that were removed for want of memory."});
constexpr Metric kExpired({.name = "redis_expired_keys_total",
                           .type = Type::counter,
                           .help = "Keys whose time was up."});
constexpr Metric kClients({.name = "redis_connected_clients",
                           .help = "Clients that are connected."});
constexpr Metric kBlocked({.name = "redis_blocked_clients",
                           .help = "Clients that wait in a blocking call."});
constexpr Metric kMaxClients({.name = "redis_max_clients", .help = "The limit maxclients."});
constexpr Metric kRejected({.name = "redis_rejected_connections_total",
                            .type = Type::counter,
                            .help = "Connections refused because of maxclients."});
constexpr Metric kCommands({.name = "redis_commands_processed_total",
                            .type = Type::counter,
                            .help = "Commands that the server has processed."});
constexpr Metric kBytesIn({.name = "redis_net_input_bytes_total",
                           .type = Type::counter,
                           .unit = Unit::bytes,
                           .help = "Bytes that the server has received."});
constexpr Metric kBytesOut({.name = "redis_net_output_bytes_total",
                            .type = Type::counter,
                            .unit = Unit::bytes,
                            .help = "Bytes that the server has sent."});
constexpr Metric kUptime({.name = "redis_uptime_in_seconds",
                          .unit = Unit::seconds,
                          .help = "Time since the server started."});
constexpr Metric kKeys({.name = "redis_db_keys", .help = "Keys in a database."}, "db");
constexpr Metric kKeysExpiring({.name = "redis_db_keys_expiring",
                                .help = "Keys in a database that have a time to live."},
                               "db");
constexpr Metric kLastSave({.name = "redis_rdb_last_save_timestamp_seconds",
                            .unit = Unit::seconds,
                            .help = "When the last snapshot was saved, in Unix time.",
                            .keep = Keep::fact});
constexpr Metric kLastSaveOk({.name = "redis_rdb_last_bgsave_status",
                              .help = "Whether the last attempt to save a snapshot worked."});
constexpr Metric kChanges({.name = "redis_rdb_changes_since_last_save",
                           .help = "Writes since the last snapshot."});
constexpr Metric kAofEnabled({.name = "redis_aof_enabled",
                              .help = "Whether the append-only file is in use."});
constexpr Metric kAofWriteOk({.name = "redis_aof_last_write_status",
                              .help = "Whether the last write to the append-only file worked."});
constexpr Metric kAofRewriteOk(
    {.name = "redis_aof_last_bgrewrite_status",
     .help = "Whether the last rewrite of the append-only file worked."});
constexpr Metric kReplicas({.name = "redis_connected_slaves",
                            .help = "Replicas that are connected."});
constexpr Metric kMasterLink({.name = "redis_master_link_up",
                              .help = "Whether this replica is connected to its master."});
constexpr Metric kInfo({.name = "redis_instance_info",
                        .help = "Always 1; the labels describe the server."},
                       "role", "redis_version", "redis_mode", "maxmemory_policy");
constexpr Metric kListLength({.name = "redis_key_size", .help = "Length of a watched list."}, "db",
                             "key");

constexpr Check kMemoryCheck{.name = "memory",
                             .unit = Unit::ratio,
                             .warn = 0.85,
                             .critical = 0.90,
                             .help = "memory used over maxmemory"};
constexpr Check kHitRateCheck{.name = "hit_rate",
                              .unit = Unit::ratio,
                              .worse = Worse::below,
                              .warn = 0.80,
                              .critical = {},
                              .help = "share of look-ups that hit, over 5 minutes"};
constexpr Check kListCheck{.name = "list_length",
                           .worse = Worse::above,
                           .warn = 1000,
                           .critical = {},
                           .help = "entries of a watched list"};

// Fields that are published as they stand.
struct Plain {
  const Metric<0>& metric;
  std::string_view field;
};
constexpr std::array kPlain = {
    Plain{kMemoryUsed, "used_memory"},
    Plain{kMemoryPeak, "used_memory_peak"},
    Plain{kMemoryRss, "used_memory_rss"},
    Plain{kFragmentation, "mem_fragmentation_ratio"},
    Plain{kHits, "keyspace_hits"},
    Plain{kMisses, "keyspace_misses"},
    Plain{kEvicted, "evicted_keys"},
    Plain{kExpired, "expired_keys"},
    Plain{kClients, "connected_clients"},
    Plain{kBlocked, "blocked_clients"},
    Plain{kMaxClients, "maxclients"},
    Plain{kRejected, "rejected_connections"},
    Plain{kCommands, "total_commands_processed"},
    Plain{kBytesIn, "total_net_input_bytes"},
    Plain{kBytesOut, "total_net_output_bytes"},
    Plain{kUptime, "uptime_in_seconds"},
    Plain{kChanges, "rdb_changes_since_last_save"},
    Plain{kAofEnabled, "aof_enabled"},
    Plain{kReplicas, "connected_slaves"},
};

net::RedisOptions read_options(config::Node& options) {
  constexpr std::uint16_t kDefaultPort = 6379;
  constexpr std::int64_t kMaxDatabase = INT32_MAX;
  net::RedisOptions redis;
  const auto url =
      options.required<config::Url>("url", "redis://USER@HOST:PORT/DB, or rediss:// for TLS");
  redis.password = net::read_password(options, url);
  const net::TlsOptions tls = net::TlsOptions::read(options);
  if (url.scheme == "rediss") {
    redis.tls = tls;
  } else if (url.scheme != "redis" && !url.host.empty()) {
    options.error("url", "the scheme is redis or rediss, not " + config::quoted(url.scheme));
  } else if (options.has("tls")) {
    options.error("tls", "needs a URL that begins with rediss://");
  }
  redis.endpoint = {url.host, url.port == 0 ? kDefaultPort : url.port};
  redis.user = url.user;
  if (url.path.size() > 1) {
    const auto database = config::Scalar<std::int64_t>::parse(std::string_view(url.path).substr(1));
    if (database && *database >= 0 && *database <= kMaxDatabase) {
      redis.database = *database;
    } else {
      // Not repeated: it may be a piece of a password with a '/'.
      options.error("url", "the path is not the number of a database");
    }
  }
  return redis;
}

class RedisProbe final : public Probe {
 public:
  RedisProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        redis_(read_options(options)),
        lists_(
            options.list<std::string>("lists", "lists whose lengths are read (Celery's queues)")) {}

  asio::awaitable<void> observe(SampleSet& out) override {
    // Out of the member while in use: a run that ends half-way must not leave it to the next.
    std::optional<net::RedisConnection> connection = std::exchange(connection_, std::nullopt);
    if (!connection || connection->hung_up()) {
      connection = co_await net::RedisConnection::open(environment_, redis_, out);
    }
    connection->conceal_secrets(out);
    out.doing("waiting for INFO");
    std::vector<std::string> question = {"INFO"};
    net::RedisReply reply =
        co_await connection->expect(std::move(question), net::RedisReply::Kind::text);
    const RedisInfo info(std::move(reply.text));
    if (info.text("redis_mode") == "sentinel") {
      throw ProbeError(Reason::mismatch,
                       "this is a sentinel, which has no data: probe the servers that it watches");
    }
    if (!info.number("used_memory")) throw ProbeError(Reason::protocol, "INFO has no used_memory");
    add_info(info, out);
    const bool loading = info.number("loading").value_or(0) != 0;
    out.add(kLoading, loading ? 1 : 0);
    if (loading) {
      out.fail(Reason::unready,
               "loading its data, " + std::string(info.text("loading_loaded_perc")) + "% done");
    } else {
      co_await read_lists(*connection, out);
    }
    connection_ = std::move(connection);
  }

  [[nodiscard]] std::string target() const override {
    return redis_.endpoint.text() +
           (redis_.database == 0 ? "" : '/' + std::to_string(redis_.database));
  }
  [[nodiscard]] std::string endpoint() const override { return redis_.endpoint.text(); }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<RedisProbe&>(predecessor);
    hit_rate_ = std::move(old.hit_rate_);
    // It was made under the old options, which may have trusted another server.
    if (old.redis_ == redis_) connection_ = std::move(old.connection_);
  }

 private:
  void add_info(const RedisInfo& info, SampleSet& out) {
    for (const Plain& plain : kPlain) out.add(plain.metric, info.number(plain.field));
    out.add(kLastSave, info.number("rdb_last_save_time"));
    out.add(kLastSaveOk, info.is("rdb_last_bgsave_status", "ok"));
    out.add(kAofWriteOk, info.is("aof_last_write_status", "ok"));
    out.add(kAofRewriteOk, info.is("aof_last_bgrewrite_status", "ok"));
    out.add(kMasterLink, info.is("master_link_status", "up"));
    out.add(kInfo, 1, info.text("role"), info.text("redis_version"), info.text("redis_mode"),
            info.text("maxmemory_policy"));
    for (const auto& [db, value] : info.numbered("db")) {
      out.add(kKeys, to_number(sub_field(value, "keys")), db);
      out.add(kKeysExpiring, to_number(sub_field(value, "expires")), db);
    }
    // Without a limit there is nothing that memory could come near: no series, no ratio, no alert.
    if (const auto limit = info.number("maxmemory")) {
      out.add(kMemoryLimited, *limit > 0 ? 1 : 0);
      if (*limit > 0) {
        out.add(kMemoryMax, *limit);
        out.check(kMemoryCheck, *info.number("used_memory") / *limit);
      }
    }
    const auto hits = info.number("keyspace_hits");
    const auto misses = info.number("keyspace_misses");
    if (!hits || !misses) return;
    hit_rate_.add(std::chrono::steady_clock::now(), info.text("run_id"), *hits, *misses);
    const std::optional<double> rate = hit_rate_.rate();
    out.add(kHitRate, rate);
    if (rate) out.check(kHitRateCheck, *rate);
  }

  asio::awaitable<void> read_lists(net::RedisConnection& connection, SampleSet& out) {
    const std::string db = "db" + std::to_string(redis_.database);
    for (const std::string& key : lists_) {
      out.doing("waiting for LLEN " + key);
      std::vector<std::string> question = {"LLEN", key};
      const net::RedisReply reply = co_await connection.ask(std::move(question));
      Part& part = out.part(key);
      if (reply.kind == net::RedisReply::Kind::integer) {
        part.add(kListLength, static_cast<double>(reply.integer), db, key);
        part.check(kListCheck, static_cast<double>(reply.integer), key);
        hit_rate_.exclude(reply.integer > 0 ? 1 : 0, reply.integer > 0 ? 0 : 1);
      } else {
        const ProbeError error = net::redis_error(reply.text);
        part.fail(error.reason(), error.what());
      }
      part.complete();
    }
  }

  const Environment& environment_;
  net::RedisOptions redis_;
  std::vector<std::string> lists_;
  std::optional<net::RedisConnection> connection_;
  HitRateWindow hit_rate_;
};

constexpr auto kMetrics = metric_list(
    kLoading, kMemoryUsed, kMemoryMax, kMemoryLimited, kMemoryPeak, kMemoryRss, kFragmentation,
    kHitRate, kHits, kMisses, kEvicted, kExpired, kClients, kBlocked, kMaxClients, kRejected,
    kCommands, kBytesIn, kBytesOut, kUptime, kKeys, kKeysExpiring, kLastSave, kLastSaveOk, kChanges,
    kAofEnabled, kAofWriteOk, kAofRewriteOk, kReplicas, kMasterLink, kInfo, kListLength);
constexpr std::array<const Check*, 3> kChecks = {&kMemoryCheck, &kHitRateCheck, &kListCheck};

}  // namespace

namespace kinds {
extern const ProbeKind redis;
const ProbeKind redis = {
    .name = "redis",
    .help = "A Redis server serves; its memory, look-ups, clients and persistence.",
    .make = make_probe<RedisProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .up = &kUp,
    .documented_series = "redis_up",
};
}  // namespace kinds

}  // namespace vitalsd
