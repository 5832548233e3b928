#!/usr/bin/python3
"""Makes docs/images: the pages in headless Chromium (Debian's package `chromium`), at the widths of
a screen, a tablet and a phone. Fails if a page scrolls sideways. Needs the release build."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from support import REPOSITORY, process
from support.http_peer import HttpPeer, answer
from support.process import free_port
from support.vitalsd import Vitalsd
from support.waiting import wait_until

IMAGES = REPOSITORY / "docs" / "images"
WIDTHS = (1400, 800, 360)
PAGES = {"status": "/", "probe": "/probes/checkout", "events": "/events", "other": "/probes/x"}
KEPT = {("status", 1400), ("probe", 1400), ("probe", 360), ("events", 800)}


class Browser:
    """Chromium's DevTools protocol over two pipes: JSON messages that end with a zero byte."""

    def __init__(self, profile: str) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4.
        script = f'exec chromium "$@" 3<&{commands} 4>&{answers}'
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", *options, f"--user-data-dir={profile}"],
            pass_fds=(commands, answers),
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._count = 0
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._answers, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (received := self._receive()).get("id") != self._count:
            pass
        assert "error" not in received, received
        return received["result"]

    def show(self, url: str, width: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=600,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=url)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression)["result"]["value"]

    def picture(self) -> bytes:
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(picture["data"])

    def close(self) -> None:
        self.call("Browser.close")
        self._process.wait(30)


def main() -> None:
    process.begin()
    IMAGES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        peer = stack.enter_context(closing(HttpPeer({"/health": answer("ok")})))
        here, nowhere = f"http://127.0.0.1:{peer.port}", f"127.0.0.1:{free_port()}"
        shop, data = {"team": "shop", "site": "north"}, {"team": "data"}
        checkout = {"kind": "http", "url": f"{here}/health", "labels": shop}
        daemon = stack.enter_context(
            closing(
                Vitalsd(
                    [
                        {"name": "checkout", **checkout, "headers": {"X-Token": "hunter2"}},
                        {"name": "search", "kind": "http", "url": f"{here}/search", "labels": shop},
                        {"name": "sessions", "kind": "redis", "url": f"redis://{nowhere}"},
                        {"name": "disk", "kind": "filesystem", "mounts": ["/"], "labels": data}
                        | {"checks": {"used": {"warn": "1%"}}},
                        {"name": "login", "kind": "tcp", "endpoint": f"127.0.0.1:{peer.port}"},
                        {"name": "name-server", "kind": "dns", "query": "shop.test"}
                        | {"server": nowhere},
                    ],
                    interval="1s",
                    secrets=["hunter2"],
                )
            )
        )
        daemon.wait_ok("checkout")
        peer.answers["/health"] = answer("starting", 503)
        daemon.check_reason("checkout", "mismatch")
        peer.answers["/health"] = answer("ok")
        daemon.wait_ok("checkout")
        peer.answers["/health"] = answer("starting", 503)
        wait_until(lambda: daemon.value("probe_success", probe="checkout") == 0, what="it fails")
        profile = stack.enter_context(tempfile.TemporaryDirectory())
        browser = stack.enter_context(closing(Browser(profile)))
        sideways = []
        for scheme in ("dark", "light"):
            browser.call(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": scheme}],
            )
            for name, path in PAGES.items():
                for width in WIDTHS:
                    browser.show(f"http://{daemon.address}{path}", width)
                    if browser.value("document.documentElement.scrollWidth") > width:
                        sideways.append((path, width))
                    if scheme == "light" and (name, width) in KEPT:
                        (IMAGES / f"{name}-{width}.png").write_bytes(browser.picture())
    if sideways:
        sys.exit(f"pages scroll sideways: {sideways}")


if __name__ == "__main__":
    main()
