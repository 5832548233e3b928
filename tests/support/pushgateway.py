"""Debian's Pushgateway, for comparing its responses with those of vitalsd."""

from __future__ import annotations

import urllib.request

from support.process import Server, free_port


class Pushgateway(Server):
    name = "prometheus-pushgateway"

    def __init__(self) -> None:
        super().__init__()
        self.address = f"127.0.0.1:{free_port()}"
        self.launch(
            ["prometheus-pushgateway", f"--web.listen-address={self.address}"],
            lambda: self.page() != "",
        )

    def page(self) -> str:
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=60) as response:
            return response.read().decode()
