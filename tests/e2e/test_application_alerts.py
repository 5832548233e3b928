"""The documented alert rules about an API (1, 2, 11, 13, 18 and 22) with live data: an instrumented
application that really fails and is really slow, relayed by vitalsd, and a Prometheus with the
shipped files.

Expressions are as shipped; `for` is shortened. Ratios and quantiles over five minutes resolve when
enough good requests follow. Rule 11, a rate, resolves five minutes after the last error; the
promtool tests show that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

import shorten_rules
from support.application import MAX_FAILURES, Application
from support.prometheus import SHIPPED, Prometheus, shipped_configuration
from support.vitalsd import Vitalsd

RULE_FILES = tuple(
    SHIPPED / f"{name}.yaml" for name in ("documented", "vitalsd", "recommended")
)
LABELS = {"namespace": "vcci-production", "pod": "api-0"}  # as kind relay attaches them to pods
WORK = '{endpoint="/work"}'


@dataclass
class Watch:
    application: Application
    daemon: Vitalsd
    prometheus: Prometheus

    def is_silent(self, *names: str) -> None:
        self.prometheus.wait_evaluated()
        for name in names:
            assert self.prometheus.alerts(name) == []


@pytest.fixture
def watch() -> Iterator[Watch]:
    """An API with some good requests, and no alert."""
    with ExitStack() as closing:
        application = Application()
        closing.callback(application.close)
        daemon = Vitalsd(
            [{"name": "api-metrics", "kind": "relay", "url": application.url, "labels": LABELS}],
            interval="500ms",
            timeout="500ms",
        )
        closing.callback(daemon.close)
        attached = {"namespace": "monitoring", "pod": "vitalsd-0"}
        prometheus = Prometheus(
            shipped_configuration([daemon.address], labels=attached),
            [shorten_rules.shorten(file.read_text(), at_most="1s") for file in RULE_FILES],
        )
        closing.callback(prometheus.close)
        application.request()
        prometheus.wait_for(f"http_requests_total{WORK} >= 1")
        application.request(20)
        prometheus.wait_for(f"rate(http_requests_total{WORK}[5m]) > 0")
        yield Watch(application, daemon, prometheus)


def test_an_api_that_fails(watch: Watch) -> None:
    """Rules 1, 11 and 22, and the objective of errors."""
    watch.is_silent("HighErrorRate", "APIHighErrorRate", "ErrorBudgetBurnsFast")
    with watch.application.failing():
        watch.application.request()  # Prometheus needs a value before it sees an increase
        watch.prometheus.wait_for('http_requests_total{status="500"} >= 1')
        watch.application.request(9)
    for document in ("guide", "runbook"):
        alert = watch.prometheus.wait_firing("HighErrorRate", document=document)
        assert alert["annotations"]["summary"].startswith("vcci-production responds to ")
        assert alert["labels"]["severity"] == "critical"
    alert = watch.prometheus.wait_firing("APIHighErrorRate", pod="api-0", status="500")
    assert alert["annotations"]["summary"].startswith("Pod vcci-production/api-0 responds to ")
    alert = watch.prometheus.wait_firing("ErrorBudgetBurnsFast", objective="errors")
    assert alert["labels"]["probe"] == "api-metrics"
    assert alert["annotations"]["summary"].startswith("vcci-production spends its error budget")
    # The API answers its health checks, and vitalsd works.
    watch.is_silent("APIDown", "VitalsdDown", "ProbeFailing")
    watch.application.request(2000)
    watch.prometheus.wait_silent("HighErrorRate")


def test_an_api_that_is_slow(watch: Watch) -> None:
    """Rules 2 and 13, and the objective of p99."""
    watch.is_silent("HighResponseTime", "APIHighLatency", "ErrorBudgetBurnsFast")
    watch.application.duration = 1.2
    watch.application.request(4)  # of 25 in all
    watch.application.duration = 0
    alert = watch.prometheus.wait_firing("HighResponseTime")
    assert "to vcci-production takes longer than" in alert["annotations"]["summary"]
    alert = watch.prometheus.wait_firing("APIHighLatency", endpoint="/work", **LABELS)
    assert alert["labels"]["severity"] == "critical"
    watch.application.request(200)
    watch.prometheus.wait_silent("HighResponseTime")
    watch.prometheus.wait_silent("APIHighLatency")


def test_a_circuit_that_opens(watch: Watch) -> None:
    """Rule 18."""
    watch.is_silent("CircuitBreakerOpen")
    watch.application.dependency_works = False
    watch.application.request(MAX_FAILURES, "/payments")
    alert = watch.prometheus.wait_firing("CircuitBreakerOpen", circuit="payments", **LABELS)
    assert alert["annotations"]["summary"] == "Circuit payments of pod vcci-production/api-0 is open"
    watch.application.dependency_works = True
    watch.application.request(1, "/payments")
    watch.prometheus.wait_silent("CircuitBreakerOpen")
