#include "exporter/web/runbooks.hpp"

#include <algorithm>
#include <array>

namespace vitalsd {
namespace {

struct RuleOfCheck {
  std::string_view check;
  std::string_view rule;
  std::string_view kind{};  ///< if other kinds have a check with this name
};

constexpr std::array kRules = std::to_array<RuleOfCheck>({
    {"alarms", "RabbitmqAlarm"},
    {"alertmanagers", "PrometheusAlertsNotDelivered"},
    {"cluster_nodes", "RedisClusterNodeDown"},
    {"cluster_views", "RedisClusterViewsDiffer"},
    {"dropped", "SeriesNotPublished"},
    {"evictions", "RedisCacheTooSmall"},
    {"expires_in", "CertificateExpiringSoon"},
    {"idle_in_transaction", "TransactionLeftOpen"},
    {"invalid_indexes", "IndexInvalid"},
    {"lock_wait", "SessionsBlocked"},
    {"nodes_down", "RabbitmqNodeDown"},
    {"not_ready", "NodeNotReady", "node"},
    {"notifications_dropped", "PrometheusAlertsNotDelivered"},
    {"overdue", "JobOverdue"},
    {"permissions", "DatabaseMonitoringIncomplete"},
    {"prepared_transaction_age", "TransactionLeftOpen"},
    {"replay_paused", "StandbyBehind"},
    {"replication_lag", "StandbyBehind"},
    {"rules_failing", "PrometheusRulesFailing"},
    {"sentinels", "RedisSentinelsMissing"},
    {"sequence_usage", "SequenceNearEnd"},
    {"shards_on_one_host", "RedisShardUnprotected"},
    {"shards_without_replica", "RedisShardUnprotected"},
    {"slot_status", "ReplicationSlotHoldsWAL"},
    {"slot_wal", "ReplicationSlotHoldsWAL"},
    {"slow_commands", "RedisCommandsSlow"},
    {"snapshot_age", "RedisSnapshotOld"},
    {"stuck", "PodsStuck"},
    {"surplus_sentinels", "RedisSentinelsMissing"},
    {"targets_down", "PrometheusTargetsDown"},
    {"unconsumed", "QueueWithoutConsumers"},
    {"unmatched", "ProbeMatchesNothing"},
    {"unpublished", "SeriesNotPublished"},
    {"unreadable", "CertificateSecretUnreadable"},
    {"vacuum_overdue", "VacuumOverdue"},
    {"wal_archive_age", "WALNotArchived"},
    {"wal_receiver", "StandbyBehind"},
    {"weak", "CertificateWeak"},
    {"wraparound", "TransactionIdsRunOut"},
});

std::string_view rule_of_run(const ProbeView& probe) {
  switch (probe.state) {
    case ProbeView::State::ok:
    case ProbeView::State::pending:
      return "";
    case ProbeView::State::stuck:
    case ProbeView::State::stale:
      return "ProbeNotRunning";
    case ProbeView::State::failed:
      break;
  }
  return probe.kind == "relay" ? "RelayTargetDown" : "ProbeFailing";
}

}  // namespace

std::string_view rule_of(const ProbeView& probe, const CheckView& check) {
  if (check.status == Status::ok) return "";
  const auto found = std::ranges::find_if(kRules, [&](const RuleOfCheck& rule) {
    return rule.check == check.name && (rule.kind.empty() || rule.kind == probe.kind);
  });
  if (found != kRules.end()) return found->rule;
  return check.status == Status::critical ? "CheckCritical" : "";
}

std::vector<std::string_view> failing_rules(const ProbeView& probe) {
  std::vector<std::string_view> rules;
  const auto add = [&](std::string_view rule) {
    if (!rule.empty() && std::ranges::find(rules, rule) == rules.end()) rules.push_back(rule);
  };
  add(rule_of_run(probe));
  for (const CheckView& check : probe.checks) add(rule_of(probe, check));
  return rules;
}

std::string runbook_url(std::string_view rule) {
  return "https://github.com/vitalsd/vitalsd/blob/main/docs/runbooks/" + std::string(rule) + ".md";
}

}  // namespace vitalsd
