"""Pushes of the largest permitted body to many jobs at once, together with a probe that must still
run every 200 ms."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from hostile.servers import Hostile
from hostile.test_hostile import canary_of, runs
from hostile.trick import Tls, Trick
from support.certificates import Authority
from support.vitalsd import Vitalsd, sanitized
from support.waiting import wait_until

JOBS = 8
PUSHES = 5  # of each job, below the limit of its rate


def largest_body(value: int) -> bytes:
    """Returns a body whose lines, with their labels, have almost 1 MiB; each is a family."""
    lines = [f'family_{number:04}{{text="{"x" * 30}"}} {value}\n' for number in range(9_000)]
    return "".join(lines).encode()


def push(address: str, job: str, body: bytes) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("POST", f"/metrics/job/{job}", body)
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("Retry-After", "")


@pytest.mark.serial
def test_large_pushes_do_not_delay_other_probes(
    vitalsd: Callable[..., Vitalsd], certificates: Authority, tmp_path: Path
) -> None:
    interval, timeout = (1000, 1000) if sanitized() else (200, 150)
    names = [f"job-{number}" for number in range(JOBS)]
    peer = Hostile(Trick("tcp", lambda _connection, _tls: None), Tls(certificates))
    with closing(peer) as closes:
        daemon = vitalsd(
            [
                canary_of(closes, interval, timeout),
                *(
                    {
                        "name": name,
                        "kind": "job",
                        "schedule": "0 2 * * *",
                        "token": "none",
                        "push": {"ttl": "1h"},
                    }
                    for name in names
                ),
            ],
            state={"directory": str(tmp_path)},
        )
        daemon.wait_runs("canary", 1)
        before, began = runs(daemon), time.monotonic()

        def push_all(name: str) -> list[tuple[int, str]]:
            return [push(daemon.address, name, largest_body(value)) for value in range(PUSHES)]

        with ThreadPoolExecutor(JOBS) as clients:
            answers = [answer for each in clients.map(push_all, names) for answer in each]
        due = (time.monotonic() - began) * 1000 / interval
        served = runs(daemon)["canary"] - before["canary"]
        print(f"{served} of {due:.0f} runs")
        # Every client may retry what was not processed.
        assert set(answers) <= {(200, ""), (503, "5")}
        assert served >= 0.9 * due - 1, f"{served} of {due:.0f} runs"
        assert daemon.failures("canary") == {}
        for name in names:
            last = re.compile(rf"^family_0000\{{.*\}} {PUSHES - 1}$", re.MULTILINE)
            wait_until(
                lambda page=f"/probes/{name}/metrics": last.search(daemon.page(page)),
                what=f"the last push of {name}",
            )
