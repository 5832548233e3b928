"""The shipped routes: amtool checks them, and a real Alertmanager sends alerts of a real Prometheus
to stand-ins for PagerDuty, Slack and a heartbeat service."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

import shorten_rules
from support import wait_until
from support.alertmanager import ROUTING_KEY, SHIPPED, Alertmanager, Receivers, shortened
from support.postgres import Postgres
from support.prometheus import ABSENCE_RULES
from support.prometheus import SHIPPED as PROMETHEUS
from support.prometheus import Prometheus, shipped_configuration
from support.vitalsd import Vitalsd

RECOMMENDED = PROMETHEUS / "recommended.yaml"
RULE_FILES = [
    PROMETHEUS / "documented.yaml",
    PROMETHEUS / "vitalsd.yaml",
    RECOMMENDED,
    ABSENCE_RULES,
]
RULES = [
    rule
    for file in RULE_FILES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
RUNBOOKS = "https://github.com/vitalsd/vitalsd/blob/main/docs/runbooks/"

StartAlertmanager = Callable[..., Alertmanager]


def amtool(*arguments: str) -> str:
    run = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_amtool_finds_no_fault() -> None:
    said = amtool("check-config", str(SHIPPED))
    assert "SUCCESS" in said and "4 receivers" in said


@pytest.mark.parametrize(
    ("severity", "receiver"),
    [("critical", "pagerduty"), ("warning", "slack"), ("info", "slack-digest"), ("page", "slack")],
)
@pytest.mark.parametrize("more", [(), ("probe=main-db", "node=n1")])
def test_each_severity_has_its_receiver(severity: str, receiver: str, more: tuple[str, ...]) -> None:
    route = ["config", "routes", "test", f"--config.file={SHIPPED}"]
    assert amtool(*route, "alertname=A", f"severity={severity}", *more).strip() == receiver


def test_severities_of_the_rules_are_routed() -> None:
    severities = {rule["labels"]["severity"] for rule in RULES if rule["alert"] != "Watchdog"}
    assert severities == {"critical", "warning", "info"}


def test_only_the_watchdog_goes_to_the_heartbeat() -> None:
    route = ["config", "routes", "test", f"--config.file={SHIPPED}"]
    for rule in RULES:
        severity = f"severity={rule['labels']['severity']}"
        found = amtool(*route, f"alertname={rule['alert']}", severity).strip()
        assert (found == "heartbeat") == (rule["alert"] == "Watchdog"), rule["alert"]


def test_inhibition_names_rules_that_exist() -> None:
    names = {rule["alert"] for rule in RULES}
    for rule in yaml.safe_load(SHIPPED.read_text())["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, value = (part.strip(' "') for part in matcher.replace("!", "").split("=", 1))
            if label == "alertname":
                assert set(value.lstrip('~ "').split("|")) <= names, matcher


def test_what_explains_others_is_told_alone(
    alertmanager: StartAlertmanager, receivers: Receivers
) -> None:
    daemon = alertmanager(receivers)
    page = {"severity": "critical", "probe": "nodes"}
    warning = {"severity": "warning", "probe": "kubelets"}
    daemon.post({"alertname": "NodeNotReady", "node": "n1", **page})
    wait_until(lambda: receivers.paged("trigger", "NodeNotReady of n1"), what="a page")
    daemon.post(
        {"alertname": "PodMemoryHigh", "node": "n1", **warning},
        {"alertname": "PodMemoryHigh", "node": "n2", **warning},
        {"alertname": "DiskSpaceLow", "node": "n2", "mountpoint": "/", **warning},
    )
    wait_until(lambda: receivers.slack_messages("DiskSpaceLow of n2"), what="a message")
    assert daemon.states() == {
        "NodeNotReady n1": "active",
        "PodMemoryHigh n1": "suppressed",
        "PodMemoryHigh n2": "active",
        "DiskSpaceLow n2": "active",
    }
    assert not receivers.slack_messages("PodMemoryHigh of n1")
    # The two alerts of one node and probe are one message, once Alertmanager knows both.
    assert receivers.slack_messages("DiskSpaceLow of n2")[-1] in receivers.slack_messages("PodMemoryHigh of n2")


def test_windows_mute_warnings_and_no_page(
    alertmanager: StartAlertmanager, receivers: Receivers
) -> None:
    always = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
    windows = yaml.safe_load(SHIPPED.read_text())["time_intervals"]
    now = [
        {**window, "time_intervals": always} if window["name"] == "weekly-maintenance" else window
        for window in windows
    ]
    daemon = alertmanager(receivers, {"time_intervals": now})
    daemon.post({"alertname": "HighRedisMemory", "severity": "warning", "probe": "cache"})
    daemon.post({"alertname": "BackupFailed", "severity": "critical", "probe": "dumps"})
    wait_until(lambda: receivers.paged("trigger", "BackupFailed"), what="a page")
    wait_until(lambda: "route is within mute time" in daemon.log(), what="the mute in the log")
    assert not receivers.messages


def test_the_heartbeat_ends_with_prometheus(
    prometheus: Callable[..., Prometheus],
    alertmanager: StartAlertmanager,
    receivers: Receivers,
) -> None:
    route = shortened(yaml.safe_load(SHIPPED.read_text())["route"])
    (watchdog,) = (each for each in route["routes"] if each.get("receiver") == "heartbeat")
    watchdog["repeat_interval"] = "100ms"  # a minute becomes 100 ms
    daemon = alertmanager(receivers, {"route": route})
    watcher = prometheus(
        shipped_configuration([], alertmanagers=[f"127.0.0.1:{daemon.port}"]),
        [shorten_rules.shorten(RECOMMENDED.read_text())],
        # An alert ends 4 of these delays after Prometheus last sent it.
        arguments=["--rules.alert.resend-delay=1s"],
    )
    wait_until(lambda: len(receivers.heartbeats) > 3, what="heartbeats")
    assert {
        (alert["status"], alert["labels"]["alertname"])
        for heartbeat in receivers.heartbeats
        for alert in heartbeat["alerts"]
    } == {("firing", "Watchdog")}

    watcher.close()
    wait_until(lambda: "Watchdog" not in daemon.states(), what="the end of the alert")
    # Alertmanager works and notifies, and without the alert there is no heartbeat.
    daemon.post({"alertname": "DatabaseDown", "severity": "critical", "probe": "first"})
    wait_until(lambda: receivers.paged("trigger", "DatabaseDown"), what="a page")
    beaten = len(receivers.heartbeats)
    daemon.post({"alertname": "DatabaseDown", "severity": "critical", "probe": "second"})
    wait_until(lambda: receivers.paged("trigger", "second"), what="another page")
    assert len(receivers.heartbeats) == beaten
    assert not receivers.messages


def test_a_database_that_is_down(
    vitalsd: Callable[..., Vitalsd],
    prometheus: Callable[..., Prometheus],
    alertmanager: StartAlertmanager,
    receivers: Receivers,
    postgres: Postgres,
) -> None:
    probe: dict[str, Any] = {
        "name": "main-db",
        "kind": "postgres",
        "url": postgres.url(),
        "tls": {"ca": str(postgres.authority.path)},
        "password": {"env": "DB_PASSWORD"},
    }
    daemon = vitalsd([probe], environment={"DB_PASSWORD": postgres.passwords["monitor"]})
    told = alertmanager(receivers)
    configuration = shipped_configuration(
        [f"127.0.0.1:{daemon.port}"], alertmanagers=[f"127.0.0.1:{told.port}"]
    )
    # Minutes become seconds. The order of notifications stays the same.
    rules = [shorten_rules.shorten(file.read_text(), at_most="10s") for file in RULE_FILES]
    watcher = prometheus(configuration, rules)
    watcher.wait_for('up{job="postgres"} == 1')
    assert not receivers.paged("trigger", "main-db")

    postgres.stop()
    page = wait_until(lambda: receivers.paged("trigger", "main-db is down"), what="a page")[0]
    assert page["routing_key"] == ROUTING_KEY
    assert page["payload"]["severity"] == "critical" and page["payload"]["component"] == "main-db"
    assert page["links"] == [{"href": f"{RUNBOOKS}DatabaseDown.md", "text": "Runbook"}]
    # Its probe fails for the same reason, so ProbeFailing is inhibited.
    watcher.wait_firing("ProbeFailing", probe="main-db")
    wait_until(lambda: told.states().get("ProbeFailing") == "suppressed", what="inhibition")
    assert not receivers.slack_messages("ProbeFailing")

    postgres.start()
    wait_until(lambda: receivers.paged("resolve", page["dedup_key"]), what="the end of it")
    assert ROUTING_KEY not in told.log() and "webhook-secret" not in told.log()
    assert json.dumps(page).count("main-db") > 1
