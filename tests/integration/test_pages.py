"""The page of each probe, the changes of state, and their JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from support.nginx import Nginx
from support.process import free_port
from support.vitalsd import Vitalsd
from support.waiting import wait_until

Daemon = Callable[..., Vitalsd]


def test_the_page_of_a_probe(vitalsd: Daemon, nginx: Nginx) -> None:
    """It has the error, the rules that fire for it, and the options without secrets. The changes
    are those of the log."""
    nobody = {"name": "nobody", "kind": "tcp", "endpoint": f"127.0.0.1:{free_port()}"}
    api: dict[str, Any] = {
        "name": "api.v1_x-2",
        "kind": "http",
        "url": nginx.url("/?key=hunter2"),
        "headers": {"X-Token": "hunter2"},
        "labels": {"team": "web"},
    }
    daemon = vitalsd([nobody, api], secrets=["hunter2"])
    daemon.check_reason("nobody", "connect")

    def document(name: str) -> dict[str, Any]:
        return json.loads(daemon.page(f"/api/v1/probes/{name}"))

    def refused() -> dict[str, Any]:
        found = document("nobody")
        assert found["probe"].get("reason") == "connect"
        return found

    failing = wait_until(refused, what="it is refused")
    probe = failing["probe"]
    assert probe["state"] == "critical"
    assert "Connection refused" in probe["error"]
    assert [rule["name"] for rule in probe["rules"]] == ["ProbeFailing"]
    assert probe["options"] == {"endpoint": nobody["endpoint"]}
    assert probe["down_since"] <= failing["time"] and "last_success" not in probe
    first = failing["events"][-1]
    (line, *_) = daemon.log_lines("probe failed", probe="nobody")
    assert (first["event"], first["reason"], first["error"]) == (
        "failed",
        line["reason"],
        line["error"],
    )
    wait_until(lambda: "Connection refused" in daemon.page("/probes/nobody"), what="the error")
    assert "runbooks/ProbeFailing.md" in daemon.page("/probes/nobody")

    page = daemon.page("/probes/api.v1_x%2D2")
    assert re.search(r"<dt>headers.X-Token</dt><dd>\(not shown\)</dd>", page)
    assert 'href="../?label.team=web"' in page
    assert "/?…" in document("api.v1_x-2")["probe"]["options"]["url"]
    assert 'href="probes/api.v1_x-2"' in daemon.page("/")

    status, body = daemon.get("/api/v1/probes/unknown")
    assert status == 404
    assert json.loads(body)["probes"] == ["api.v1_x-2", "nobody"]
    status, body = daemon.get("/probes/unknown")
    assert status == 404 and b'<a href="nobody">nobody</a>' in body


def test_the_changes_of_state(vitalsd: Daemon, nginx: Nginx) -> None:
    """A probe fails and recovers. A reload that changes the target of a probe removes its
    changes, as it removes its results."""
    port = free_port()
    web = {"name": "web", "kind": "tcp", "endpoint": f"127.0.0.1:{port}"}
    other = {"name": "other", "kind": "tcp", "endpoint": f"127.0.0.1:{free_port()}"}
    daemon = vitalsd([web, other])

    def changes(query: str = "") -> list[tuple[str, str]]:
        events = json.loads(daemon.page("/api/v1/events" + query))["events"]
        times = [event["time"] for event in events]
        assert times == sorted(times, reverse=True)
        return [(event["probe"], event["event"]) for event in events]

    wait_until(lambda: {("web", "failed"), ("other", "failed")} <= {*changes()}, what="both fail")
    assert {probe for probe, _ in changes("?name=web&state=failed")} == {"web"}
    assert daemon.get("/api/v1/events?stat=x")[0] == 400
    assert "failed: connect: " in daemon.page("/events?kind=tcp&q=other")
    # The address is the same, so the changes stay.
    web["labels"] = {"team": "web"}  # type: ignore[assignment]
    daemon.configuration["probes"] = [web, other]
    daemon.reload()
    wait_until(lambda: ("web", "failed") in changes("?label.team=web"), what="the label is known")
    web["endpoint"] = f"127.0.0.1:{nginx.port}"
    daemon.reload()
    daemon.wait_ok("web")
    # On a busy machine, the run may have timed out before.
    assert changes("?name=web")[-1:] in ([], [("web", "failed")])
    daemon.configuration["probes"] = [web]
    daemon.reload()
    wait_until(lambda: changes("?name=other") == [], what="the probe is removed")
