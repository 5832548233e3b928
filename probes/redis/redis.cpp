// Kind `redis`: memory, clients, lookups, persistence, replication and cluster of one server, or
// the masters of a sentinel. Each run sends one INFO on a connection that is kept between runs.
#include "config/socket_url.hpp"
#include "probes/backlog.hpp"
#include "probes/net/kept_connections.hpp"
#include "probes/net/options.hpp"
#include "probes/net/redis_connection.hpp"
#include "probes/net/unix_socket.hpp"
#include "probes/probe.hpp"
#include "probes/redis/cache_window.hpp"
#include "probes/redis/cluster_walk.hpp"
#include "probes/redis/info.hpp"
#include "probes/redis/metrics.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

// Reads the path and the database from the URL of a Unix socket.
void read_path(config::Node& options, const config::Url& url, net::RedisOptions& redis) {
  const std::string path = config::percent_decode(url.path);
  if (path.contains('\0')) options.error("url", "%00 is not valid in a path");
  if (path.size() < 2 || !url.host.empty() || url.port != 0) {
    options.error("url", "must have the form unix:///PATH or unix://USER@/PATH");
  }
  net::check_unix(options, path);
  redis.endpoint = {path, 0};
}

net::RedisOptions read_options(config::Node& options) {
  constexpr std::uint16_t kDefaultPort = 6379;
  constexpr std::int64_t kMaxDatabase = INT32_MAX;
  net::RedisOptions redis;
  const auto url = options.required<config::SocketUrl>(
      "url", "redis://USER@HOST:PORT/DB, rediss:// for TLS, or unix://USER@/PATH?db=DB");
  redis.password = net::read_password(options, url);
  const net::TlsOptions tls = net::TlsOptions::read(options);
  const bool unix = url.scheme == "unix";
  if (url.scheme == "redis+unix") {
    options.error("url", "the scheme of a Unix socket is unix: write unix:///PATH");
    return redis;
  }
  if (unix) {
    read_path(options, url, redis);
  } else if (!url.scheme.empty()) {
    if (url.host.empty()) options.error("url", "the URL has no host");
    if (net::is_unix(url.host)) options.error("url", "write unix:///PATH for a Unix socket");
    redis.endpoint = {url.host, url.port == 0 ? kDefaultPort : url.port};
  }
  if (url.scheme == "rediss") {
    redis.tls = tls;
  } else if (url.scheme != "redis" && !unix && !url.scheme.empty()) {
    options.error("url",
                  "the scheme must be redis, rediss or unix, not " + config::quoted(url.scheme));
  } else if (options.has("tls") && !unix) {
    options.error("tls", "requires a URL with the scheme rediss");
  }
  redis.ip = net::read_ip(options, "url", redis.endpoint.host);
  redis.user = url.user;
  auto parameters = net::read_parameters(options, url.query, {"db"});
  std::string database = parameters["db"];
  if (database.empty() && !unix && url.path.size() > 1) database = url.path.substr(1);
  if (!database.empty()) {
    const auto number = config::Scalar<std::int64_t>::parse(database);
    if (number && *number >= 0 && *number <= kMaxDatabase) {
      redis.database = *number;
    } else {
      // The message omits the path, which may be a part of a password that contains '/'.
      options.error("url", "the path or db is not a valid database number");
    }
  }
  return redis;
}

class RedisProbe final : public Probe {
 public:
  RedisProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        redis_(read_options(options)),
        lists_(options.list<std::string>(
            "lists", "lists whose lengths are published (such as the queues of Celery)")),
        replicas_(options.find<std::int64_t>(
            "replicas", "replicas that a master must have; fewer are critical")) {
    const bool is_sentinel = options.get<bool>(
        "sentinel", false, "the server is a sentinel: publish the masters that it monitors");
    const auto sentinels = options.find<std::int64_t>(
        "sentinels",
        "sentinels that must monitor each master, including this one; requires sentinel");
    if (sentinels && *sentinels < 1) options.error("sentinels", "must be at least 1");
    if (sentinels && !is_sentinel) options.error("sentinels", "requires sentinel: true");
    if (is_sentinel) sentinel_.emplace(sentinels);
    if (replicas_ && *replicas_ < 1) options.error("replicas", "must be at least 1");
    const bool walks = options.get<bool>(
        "cluster_nodes", false,
        "visit the other nodes of the cluster at the addresses that they announce, with the same "
        "user, password and TLS settings, and publish the cluster as each of them sees it");
    if (walks) walk_.emplace(environment_, redis_);
    if (sentinel_ && (replicas_ || !lists_.empty() || walks)) {
      options.error("sentinel", "a sentinel has no lists, no replicas and no cluster_nodes");
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    // The other nodes first, because the run may end while it waits for the server.
    const bool is_cluster_published = walk_ && std::exchange(is_lost_, true) &&
                                      co_await walk_->stand_in(replicas_.has_value(), out);
    std::optional<net::RedisConnection> connection = kept_.take();
    if (!connection || connection->hung_up()) {
      connection = co_await net::RedisConnection::open(environment_, redis_, out);
      saves_read_at_.reset();  // the new connection may be to another server
      permitted_.reset();
      slow_lane_.reset();
      if (sentinel_) sentinel_->reset();
    }
    connection->conceal_secrets(out);
    out.doing("waiting for INFO");
    std::vector<std::vector<std::string>> commands = {{"INFO"}};
    if (!sentinel_) commands.push_back({"INFO", "commandstats"});
    std::vector<net::RedisReply> replies = co_await connection->ask_all(std::move(commands));
    net::refuse_redis_reply(replies.front(), net::RedisReply::Kind::text, "INFO");
    const RedisInfo info(std::move(replies.front().text));
    if ((redis::mode_of(info) == "sentinel") != sentinel_.has_value()) {
      throw ProbeError(Reason::mismatch,
                       sentinel_ ? "the server is not a sentinel: remove the option sentinel"
                                 : "the server is a sentinel, which has no data: set sentinel: "
                                   "true, and probe the servers that it monitors");
    }
    if (sentinel_) {
      co_await sentinel_->add(*connection, info, out);
      kept_.keep(std::move(connection));
      co_return;
    }
    if (!info.number("used_memory")) throw ProbeError(Reason::protocol, "INFO has no used_memory");
    const bool has_commands = replies.back().kind == net::RedisReply::Kind::text;
    const RedisInfo commands_info(has_commands ? std::move(replies.back().text) : std::string());
    add_info(info, commands_info, out);
    const bool is_loading = info.number("loading").value_or(0) != 0;
    is_lost_ = is_loading;
    if (is_loading) {
      out.fail(Reason::unready,
               "loading its data, " + std::string(info.text("loading_loaded_perc")) + "% done");
    } else {
      co_await check_snapshots(*connection, info, out);
      co_await read_lists(*connection, out);
      const bool is_cluster = info.number("cluster_enabled") == 1;
      if (is_cluster && !is_cluster_published) co_await read_cluster(*connection, out);
      if (walk_ && !is_cluster) {
        out.fail(Reason::mismatch,
                 "the server is not a node of a cluster: remove the option cluster_nodes");
      }
      co_await slow_lane_.add(*connection, info, commands_info, out);
    }
    kept_.keep(std::move(connection));
  }

  [[nodiscard]] std::string target() const override {
    if (redis_.database == 0) return endpoint();
    const bool unix = net::is_unix(redis_.endpoint.host);
    return endpoint() + (unix ? "?db=" : "/") + std::to_string(redis_.database);
  }
  [[nodiscard]] std::string endpoint() const override {
    return net::is_unix(redis_.endpoint.host) ? redis_.endpoint.host : redis_.endpoint.text();
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<RedisProbe&>(predecessor);
    cache_ = std::move(old.cache_);
    unsaved_ = old.unsaved_;
    replication_ = old.replication_;
    // A connection that was made with other options may be one to a server that is no longer
    // trusted.
    if (old.redis_ != redis_) return;
    kept_.keep(old.kept_.take());
    is_lost_ = old.is_lost_;
    if (walk_ && old.walk_) walk_->inherit(*old.walk_);
  }

 private:
  static constexpr std::chrono::minutes kSavesInterval{5};

  void add_info(const RedisInfo& info, const RedisInfo& commands, SampleSet& out) {
    redis::kInfoTable.add(out, info);
    for (const auto& [db, compound] : info.numbered("db")) {
      redis::kDatabaseTable.add(out, compound, db);
    }
    // Without a limit there is no ratio, and therefore no reading that could fire an alert.
    const double limit = info.number("maxmemory").value_or(0);
    if (const auto used = info.number("used_memory"); used && limit > 0) {
      out.check(redis::kMemoryCheck, *used / limit);
    }
    replication_.add(info, replicas_, out);
    add_errors(info, out);
    check_clients(info, out);
    check_saving(info, out);
    add_cache(info, commands, out);
  }

  void add_cache(const RedisInfo& info, const RedisInfo& commands, SampleSet& out) {
    const auto hits = redis::Field("keyspace_hits")(info);
    const auto misses = redis::Field("keyspace_misses")(info);
    const std::string_view llen = commands.text("cmdstat_llen");
    cache_.add(std::chrono::steady_clock::now(), info.text("run_id"),
               {.hits = hits.value_or(0),
                .misses = misses.value_or(0),
                .list_lengths = to_number(sub_field(llen, "calls")).value_or(0),
                .evictions = info.number("evicted_keys").value_or(0)});
    const std::optional<double> rate = hits && misses ? cache_.hit_rate() : std::nullopt;
    out.add(redis::kHitRate, rate);
    if (rate) out.check(redis::kHitRateCheck, *rate);
    check_evictions(info, out);
  }

  // A cache is full and evicts keys all the time. It is too small if it evicts them before they can
  // be of use. Without a policy, the server refuses writes instead (RedisRefusesWrites).
  void check_evictions(const RedisInfo& info, SampleSet& out) const {
    const std::string_view policy = info.text("maxmemory_policy");
    if (policy.empty() || policy == "noeviction") return;
    if (info.number("maxmemory").value_or(0) <= 0) return;
    double keys = 0;
    for (const auto& [db, compound] : info.numbered("db")) {
      keys += to_number(sub_field(compound, "keys")).value_or(0);
    }
    const double evicted = cache_.evictions();
    out.check(redis::kEvictionsCheck, evicted > 0 ? evicted / (evicted + keys) : 0);
  }

  static void add_errors(const RedisInfo& info, SampleSet& out) {
    constexpr std::size_t kMaxCodes = 100;  // scripts can return any code
    double others = 0;
    std::size_t codes = 0;
    for (const auto& [code, counts] : info.prefixed("errorstat_")) {
      const std::optional<double> count = to_number(sub_field(counts, "count"));
      if (++codes <= kMaxCodes) {
        out.add(redis::kErrors, count, code);
      } else {
        others += count.value_or(0);
      }
    }
    if (codes > kMaxCodes) out.add(redis::kOtherErrors, others);
  }

  static void check_clients(const RedisInfo& info, SampleSet& out) {
    const auto clients = info.number("connected_clients");
    const auto limit = info.number("maxclients");
    if (clients && limit && *limit > 0) out.check(redis::kClientsCheck, *clients / *limit);
    // The ratio of a small server is high although little is lost.
    constexpr double kLoss = 100e6;
    const auto fragmentation = info.number("allocator_frag_ratio");
    if (fragmentation && info.number("allocator_frag_bytes").value_or(0) > kLoss) {
      out.check(redis::kFragmentationCheck, *fragmentation);
    }
  }

  static void check_saving(const RedisInfo& info, SampleSet& out) {
    std::string failed;
    double count = 0;
    for (const auto& [field, what] :
         {std::pair("rdb_last_bgsave_status", "snapshot"),
          std::pair("aof_last_write_status", "write of the append-only file"),
          std::pair("aof_last_bgrewrite_status", "rewrite of the append-only file")}) {
      if (info.is(field, "ok") != 0) continue;
      ++count;
      failed += (failed.empty() ? "" : ", ") + std::string(what);
    }
    out.check(redis::kSavingCheck, count, failed);
  }

  // A server that does not save snapshots (save "") has no snapshot that is too old.
  asio::awaitable<void> check_snapshots(net::RedisConnection& connection, const RedisInfo& info,
                                        SampleSet& out) {
    co_await read_saves(connection, out);
    permitted_.publish(out);
    out.add(redis::kSnapshots, saves_);
    const auto saved = info.number("rdb_last_save_time");
    const auto changes = info.number("rdb_changes_since_last_save");
    if (!saved || !changes) co_return;
    const double waiting =
        unsaved_.update(std::chrono::steady_clock::now(), *changes > 0, server_time(info) - *saved);
    if (saves_ == true) out.check(redis::kSnapshotCheck, waiting);
  }

  asio::awaitable<void> read_saves(net::RedisConnection& connection, SampleSet& out) {
    const auto now = std::chrono::steady_clock::now();
    if (saves_read_at_ && now - *saves_read_at_ < kSavesInterval) co_return;
    saves_read_at_ = now;
    saves_.reset();
    const auto reply = co_await permitted_.ask(connection, {"CONFIG", "GET", "save"}, out);
    if (reply && reply->items.size() == 2) saves_ = !reply->items[1].text.empty();
  }

  static double server_time(const RedisInfo& info) {
    if (const auto time = info.number("server_time_usec")) return *time / 1e6;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
  }

  asio::awaitable<void> read_cluster(net::RedisConnection& connection, SampleSet& out) {
    const auto replies = co_await redis::ask_cluster(connection, out);
    if (!replies) co_return;
    const redis::ClusterNodes nodes = redis::add_cluster(*replies, replicas_.has_value(), out);
    if (!walk_) co_return;
    walk_->learn(nodes, *replies);
    co_await walk_->visit(out);
  }

  asio::awaitable<void> read_lists(net::RedisConnection& connection, SampleSet& out) {
    const std::string db = "db" + std::to_string(redis_.database);
    for (const std::string& key : lists_) {
      out.doing("waiting for LLEN " + key);
      std::vector<std::string> command = {"LLEN", key};
      const net::RedisReply reply = co_await connection.ask(std::move(command));
      Part& part = out.part(key);
      if (reply.kind == net::RedisReply::Kind::integer) {
        part.add(redis::kListLength, static_cast<double>(reply.integer), db, key);
        part.check(redis::kListCheck, static_cast<double>(reply.integer), key);
        cache_.exclude(reply.integer > 0);
      } else {
        const ProbeError error = net::redis_error(reply.text);
        if (reply.text.starts_with("WRONGTYPE")) cache_.exclude(true);
        part.fail(error.reason(), error.what());
      }
      part.complete();
    }
  }

  const Environment& environment_;
  net::RedisOptions redis_;
  std::vector<std::string> lists_;
  std::optional<std::int64_t> replicas_;
  std::optional<redis::Sentinel> sentinel_;  // of the option sentinel
  net::KeptConnection<net::RedisConnection> kept_{environment_.kept};
  redis::Replication replication_;
  redis::SlowLane slow_lane_;
  std::optional<redis::ClusterWalk> walk_;  // of the option cluster_nodes
  bool is_lost_ = false;  // cluster_nodes: the last run did not read the cluster from the server
  CacheWindow cache_;
  Backlog unsaved_;
  redis::PermittedCommands permitted_;
  std::optional<bool> saves_;  // whether the server saves snapshots
  std::optional<std::chrono::steady_clock::time_point> saves_read_at_;
};

}  // namespace

namespace kinds {
extern const ProbeKind redis;
const ProbeKind redis = {
    .name = "redis",
    .help = "A Redis server is up; its memory, lookups, clients and persistence.",
    .make = make_probe<RedisProbe>,
    .metrics = redis::kMetrics,
    .checks = redis::kChecks,
    .up = &redis::kUp,
    .documented_series = "redis_up",
};
}  // namespace kinds

}  // namespace vitalsd
