"""An Alertmanager 0.25 with the shipped configuration, and stand-ins for PagerDuty, Slack and a
heartbeat service that receive its notifications."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

from support import REPOSITORY
from support.http_peer import HttpPeer, Request, answer
from support.http_request import request
from support.process import Server, free_port

SHIPPED = REPOSITORY / "deploy" / "alertmanager" / "alertmanager.yaml"
ROUTING_KEY, WEBHOOK_PATH = "0123456789abcdef0123456789abcdef", "/services/T0/B0/webhook-secret"
HEARTBEAT_PATH = "/heartbeat"
WAITS = ("group_wait", "group_interval")


@dataclass
class Receivers:
    """The notifications, in the order of arrival."""

    pages: list[dict[str, Any]] = field(default_factory=list)  # Events API v2
    messages: list[dict[str, Any]] = field(default_factory=list)  # payloads of Slack's webhook
    heartbeats: list[dict[str, Any]] = field(default_factory=list)  # Alertmanager's webhook format
    peer: HttpPeer = field(default_factory=HttpPeer)

    def __post_init__(self) -> None:
        self.peer.answers = {
            "/v2/enqueue": self._page,
            WEBHOOK_PATH: self._message,
            HEARTBEAT_PATH: self._heartbeat,
        }

    def close(self) -> None:
        self.peer.close()

    def _page(self, request: Request) -> bytes:
        self.pages.append(json.loads(request.body))
        return answer('{"status": "success"}', 202)

    def _message(self, request: Request) -> bytes:
        self.messages.append(json.loads(request.body))
        return answer("ok")

    def _heartbeat(self, request: Request) -> bytes:
        self.heartbeats.append(json.loads(request.body))
        return answer("ok")

    def paged(self, action: str, text: str = "") -> list[dict[str, Any]]:
        """Returns the PagerDuty events with this event_action that contain the text."""
        return [p for p in self.pages if p["event_action"] == action and text in json.dumps(p)]

    def slack_messages(self, text: str) -> list[dict[str, Any]]:
        """Returns the Slack messages that contain the text."""
        return [message for message in self.messages if text in json.dumps(message)]


def shortened(configuration: Any) -> Any:
    """Returns the configuration with intervals of minutes shortened, so that notifications follow
    at once."""
    if isinstance(configuration, dict):
        return {
            key: ("100ms" if key == "group_interval" else "0s") if key in WAITS else shortened(value)
            for key, value in configuration.items()
        }
    if isinstance(configuration, list):
        return [shortened(value) for value in configuration]
    return configuration


class Alertmanager(Server):
    name = "alertmanager"

    def __init__(self, receivers: Receivers, changes: Mapping[str, Any] | None = None) -> None:
        """`changes` replaces top-level keys of the shipped configuration. By default, no maintenance
        window is open: tests run at any time."""
        super().__init__()
        self.port = free_port()
        key, webhook = self.directory / "routing-key", self.directory / "webhook-url"
        key.write_text(ROUTING_KEY)
        webhook.write_text(receivers.peer.url(WEBHOOK_PATH))
        written = shortened(yaml.safe_load(SHIPPED.read_text()))
        for window in written["time_intervals"]:
            window["time_intervals"] = [{"years": ["1970"]}]
        written |= copy.deepcopy(dict(changes or {}))
        written["global"]["slack_api_url_file"] = str(webhook)
        written["global"]["pagerduty_url"] = receivers.peer.url("/v2/enqueue")
        for receiver in written["receivers"]:
            for pagerduty in receiver.get("pagerduty_configs", []):
                pagerduty["routing_key_file"] = str(key)
            for webhook_config in receiver.get("webhook_configs", []):
                webhook_config["url"] = receivers.peer.url(HEARTBEAT_PATH)
        (self.directory / "alertmanager.yaml").write_text(yaml.safe_dump(written))
        self.launch(
            [
                "prometheus-alertmanager",
                f"--config.file={self.directory}/alertmanager.yaml",
                f"--storage.path={self.directory}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
                f"--web.external-url=http://127.0.0.1:{self.port}",
                "--cluster.listen-address=",
                "--log.level=debug",  # logs notifications that it does not send
            ],
            lambda: self._request("GET", "/-/ready")[0] == 200,
        )

    def _request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        content = json.dumps(body) if body else None
        return request(self.port, method, path, content, headers=headers)

    def post(self, *alerts: Mapping[str, str], resolved: bool = False) -> None:
        """Sends alerts with these labels, as Prometheus does."""
        sent = [
            {
                "labels": dict(labels),
                "annotations": {
                    "summary": f"{labels['alertname']} of {labels.get('node', 'it')}",
                    "description": "More of it.",
                    "runbook_url": f"https://runbooks.example/{labels['alertname']}.md",
                },
                **({"endsAt": datetime.now(UTC).isoformat()} if resolved else {}),
            }
            for labels in alerts
        ]
        status, answered = self._request("POST", "/api/v2/alerts", sent)
        assert status == 200, answered

    def states(self) -> dict[str, str]:
        """Returns `active` or `suppressed` by the name and node of each alert."""
        status, body = self._request("GET", "/api/v2/alerts")
        assert status == 200, body
        return {
            " ".join(filter(None, (a["labels"]["alertname"], a["labels"].get("node")))): a["status"][
                "state"
            ]
            for a in json.loads(body)
        }
