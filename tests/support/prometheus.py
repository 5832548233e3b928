"""A Prometheus with the configuration and the rules of a test. By default Debian's Prometheus
2.42."""

from __future__ import annotations

import copy
import itertools
import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from support import REPOSITORY
from support.http_request import request
from support.process import Server, free_port
from support.waiting import wait_until

Labels = dict[str, str]
SHIPPED = REPOSITORY / "deploy" / "prometheus"
# The rules of all kinds. `vitalsd rules absent` and the chart output the rules of the configured
# kinds.
ABSENCE_RULES = REPOSITORY / "deploy" / "kubernetes" / "chart" / "files" / "absent.yaml"


def shipped_configuration(
    targets: Sequence[str],
    *,
    labels: Mapping[str, str] | None = None,
    interval: str = "200ms",
    rules: Sequence[Path] = (),
    alertmanagers: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns the shipped configuration with these `targets`, with the `labels` that a service
    discovery would attach, and with shorter intervals. Everything else is unchanged."""
    configuration = yaml.safe_load((SHIPPED / "prometheus.yaml").read_text())
    configuration["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    [alerting] = configuration["alerting"]["alertmanagers"]
    alerting["static_configs"] = [{"targets": list(alertmanagers)}]
    configuration["rule_files"] = [str(rule) for rule in rules]
    for scrape in configuration["scrape_configs"]:
        scrape["static_configs"] = [{"targets": list(targets), "labels": dict(labels or {})}]
    return configuration


def cluster_configuration(
    api: str, credentials: Path, *, interval: str, alertmanagers: Sequence[str]
) -> dict[str, Any]:
    """Returns the shipped configuration for a Prometheus in a cluster, changed for a Prometheus
    outside: it has the address of the API server and the files of a service account."""
    configuration = yaml.safe_load((SHIPPED / "kubernetes.yaml").read_text())
    configuration["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    [alerting] = configuration["alerting"]["alertmanagers"]
    alerting["static_configs"] = [{"targets": list(alertmanagers)}]
    configuration["rule_files"] = []
    for scrape in configuration["scrape_configs"]:
        [discovery] = scrape["kubernetes_sd_configs"]
        discovery["api_server"] = api
        discovery["authorization"] = {"credentials_file": str(credentials / "token")}
        discovery["tls_config"] = {"ca_file": str(credentials / "ca.crt")}
    return configuration


class Prometheus(Server):
    name = "prometheus"

    def __init__(
        self,
        configuration: Mapping[str, Any],
        rules: Sequence[str] = (),
        *,
        program: str | Path = "prometheus",
        arguments: Sequence[str] = (),
    ) -> None:
        """`rules` are the contents of additional rule files. `program` replaces Debian's
        Prometheus. `arguments` are additional ones."""
        super().__init__()
        self.program = program
        self.arguments = list(arguments)
        self.port = free_port()
        written = copy.deepcopy(dict(configuration))
        for number, text in enumerate(rules):
            file = self.directory / f"rules-{number}.yaml"
            file.write_text(text)
            written.setdefault("rule_files", []).append(str(file))
        (self.directory / "prometheus.yaml").write_text(yaml.safe_dump(written))
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.launch(
            [
                self.program,
                f"--config.file={self.directory}/prometheus.yaml",
                f"--storage.tsdb.path={self.directory}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=warn",
                *self.arguments,
            ],
            lambda: self._get("/-/ready")[0] == 200,
        )

    def _get(self, path: str) -> tuple[int, bytes]:
        return request(self.port, "GET", path)

    def api(self, path: str, **parameters: str) -> Any:
        query = f"?{urlencode(parameters)}" if parameters else ""
        status, body = self._get(f"/api/v1/{path}{query}")
        answer = json.loads(body)
        assert status == 200 and answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """Returns an instant vector as labels and value of each element. A scalar has no labels."""
        answer = self.api("query", query=expression)
        if answer["resultType"] == "scalar":
            return [({}, float(answer["result"][1]))]
        return [
            (element["metric"], float(element["value"][1])) for element in answer["result"]
        ]

    def value(self, expression: str) -> float | None:
        """Returns the value of the only element, or None. Fails if there are several elements."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def wait_for(self, expression: str, *, deadline: float = 60) -> list[tuple[Labels, float]]:
        """Waits until an expression returns a result. A comparison returns a result when it is
        true."""
        return wait_until(lambda: self.query(expression), deadline=deadline, what=expression)

    def alerts(self, name: str | None = None, /, **labels: str) -> list[dict[str, Any]]:
        """Returns pending and firing alerts, each with `labels`, `state` and `annotations`."""
        wanted = {**labels, **({"alertname": name} if name else {})}
        return [
            alert
            for alert in self.api("alerts")["alerts"]
            if wanted.items() <= alert["labels"].items()
        ]

    def firing(self, name: str | None = None, /, **labels: str) -> list[dict[str, Any]]:
        return [alert for alert in self.alerts(name, **labels) if alert["state"] == "firing"]

    def wait_firing(self, name: str, /, *, deadline: float = 60, **labels: str) -> dict[str, Any]:
        """Waits until exactly one such alert fires, and returns it."""

        def one() -> dict[str, Any]:
            firing = self.firing(name, **labels)
            assert len(firing) == 1, firing
            return firing[0]

        def what() -> str:
            operands = {
                operand: self.query(operand)
                for expression in self._expressions(name)
                for operand in re.split(r"\s(?:/|\*|-|and|[<>=!]=?)\s", expression)
            }
            return f"{name} {labels or ''} fires; alerts: {self.alerts(name)}; of {operands}"

        return wait_until(one, deadline=deadline, what=what)

    def _expressions(self, name: str) -> list[str]:
        rules = [rule for group in self.api("rules")["groups"] for rule in group["rules"]]
        return [rule["query"] for rule in rules if rule["name"] == name]

    def wait_silent(self, name: str, /, *, deadline: float = 60, **labels: str) -> None:
        """Waits until no such alert is pending or firing."""
        wait_until(
            lambda: not self.alerts(name, **labels),
            deadline=deadline,
            what=f"{name} {labels or ''} is silent",
        )

    def has_alerted(self, name: str, /, *, since: float, **labels: str) -> bool:
        """Returns whether such an alert was pending or firing in any evaluation since that Unix
        time."""
        wanted = {"alertname": name, **labels}.items()
        selector = ",".join(f'{label}="{value}"' for label, value in wanted)
        window = max(1, round((time.time() - since) * 1000))
        return bool(self.query(f"present_over_time(ALERTS{{{selector}}}[{window}ms])"))

    def has_fired(self, *, since: float) -> set[str]:
        """Returns the alerts that fired in any evaluation since that Unix time."""
        window = max(1, round((time.time() - since) * 1000))
        found = self.query(f'present_over_time(ALERTS{{alertstate="firing"}}[{window}ms])')
        return {labels["alertname"] for labels, _ in found}

    def history(self, series: str, *, since: float) -> list[tuple[float, float]]:
        """Returns the samples since that Unix time from all targets, as time and value."""
        window = round((time.time() - since) * 1000)
        found = self.api("query", query=f"{series}[{window}ms]")["result"]
        return sorted((float(when), float(what)) for each in found for when, what in each["values"])

    def longest_gap(self, series: str, *, since: float) -> float:
        """Returns the longest time in seconds between two samples, or between the last one and
        now."""
        moments = [when for when, _ in self.history(series, since=since)]
        return max(b - a for a, b in itertools.pairwise([*moments, time.time()]))

    def evaluations(self) -> dict[str, str]:
        """Returns the time of the last evaluation of each rule group."""
        return {group["name"]: group["lastEvaluation"] for group in self.api("rules")["groups"]}

    def wait_evaluated(self, times: int = 2, deadline: float = 60) -> None:
        """Waits until each group has been evaluated again. A silent alert is meaningful only after
        that."""
        for _ in range(times):
            before = self.evaluations()

            def evaluated(before: dict[str, str] = before) -> bool:
                return all(self.evaluations()[name] != moment for name, moment in before.items())

            wait_until(evaluated, deadline=deadline, what="all rules are evaluated")

    def wait_scraped(self, job: str = "vitalsd", deadline: float = 60) -> None:
        wait_until(
            lambda: self.query(f'up{{job="{job}"}} == 1'),
            deadline=deadline,
            what=f"a scrape of {job}",
        )
