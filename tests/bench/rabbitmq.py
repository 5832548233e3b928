#!/usr/bin/python3
"""Measures the cost of 10,000 queues of RabbitMQ: of one pass of kind `rabbitmq` for vitalsd and for the
broker, beside an exporter that requests the whole list of queues, as rabbitmq_exporter (kbudde) does.
Prints rows for the table of bench.py. CPU of the broker is what the kernel reports for its Erlang node,
less what it uses without any observer in the same time.

    rabbitmq.py [QUEUES [PASSES]]     use smaller numbers for trials
"""

from __future__ import annotations

import base64
import http.client
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import Row, cpu_seconds, memory_mb, running  # noqa: E402
from support import process, wait_until  # noqa: E402
from support.process import family  # noqa: E402
from support.rabbitmq import Rabbitmq  # noqa: E402
from support.vitalsd import Vitalsd  # noqa: E402

QUEUES = 10_000
PASSES = 4
INTERVAL = 10  # seconds; a pass of the peer takes some
# What rabbitmq_exporter requests in one pass with its default modules.
PEER_PATHS = ("/api/overview", "/api/nodes", "/api/queues", "/api/exchanges")


def fill(broker: Rabbitmq, queues: int) -> None:
    """Declares the queues, with a message in every tenth of them."""
    names = [f"customer-{number:05}.events.incoming" for number in range(queues)]
    options = {"vhost": "/", "durable": False, "auto_delete": False, "arguments": {}}
    for first in range(0, queues, 500):
        some = [{"name": name, **options} for name in names[first : first + 500]]
        broker.call("POST", "/api/definitions", queues=some)
    with broker.connect() as connection:
        channel = connection.channel()
        for name in names[::10]:
            channel.basic_publish("", name, b"message")
    wait_until(lambda: broker.call("GET", "/api/overview")["object_totals"]["queues"] == queues, deadline=60)


def broker_cpu(broker: Rabbitmq) -> float:
    return sum(
        cpu_seconds(pid)
        for pid in family(broker.pid)
        if Path(f"/proc/{pid}/comm").read_text().strip() == "beam.smp"
    )


def probe(broker: Rabbitmq, **options: Any) -> dict[str, Any]:
    return {"name": "mq", "kind": "rabbitmq", "user": "monitor", "password": {"env": "MQ"}, **options}


def daemon(broker: Rabbitmq, options: dict[str, Any]) -> Callable[[], Vitalsd]:
    return lambda: Vitalsd(
        [probe(broker, **options)],
        interval=f"{INTERVAL}s",
        timeout=f"{INTERVAL}s",
        log={"level": "error"},
        environment={"MQ": broker.passwords["monitor"]},
    )


def poll(broker: Rabbitmq) -> None:
    login = base64.b64encode(f"monitor:{broker.passwords['monitor']}".encode()).decode()
    for path in PEER_PATHS:
        connection = http.client.HTTPConnection("127.0.0.1", broker.management_port, timeout=60)
        connection.request("GET", path, headers={"Authorization": f"Basic {login}"})
        response = connection.getresponse()
        assert response.status == 200, path
        response.read()
        connection.close()


def bench() -> Iterator[Row]:
    sources: dict[str, Callable[[Rabbitmq], dict[str, Any]]] = {
        "counts from the plug-in": lambda b: {"urls": [b.metrics]},
        "the same and attributes from the management API": lambda b: {
            "urls": [b.metrics],
            "management": b.management,
            "management_interval": "0s",
        },
        "everything from the management API": lambda b: {"url": b.management},
    }
    with running(lambda: Rabbitmq(quick_statistics=False)) as broker:
        idle: dict[str, float] = {}
        for name, options in sources.items():
            with running(daemon(broker, options(broker))) as ours:
                ours.wait_runs("mq", 2, deadline=3 * INTERVAL)
                idle[name] = memory_mb(ours.pid)
        fill(broker, QUEUES)
        time.sleep(3 * INTERVAL)  # the broker stores the messages and collects statistics
        def alone() -> float:
            """Returns the CPU seconds of the broker without an observer, for one interval."""
            before = broker_cpu(broker)
            time.sleep(PASSES * INTERVAL)
            return (broker_cpu(broker) - before) / PASSES

        unobserved = alone()
        before = broker_cpu(broker)
        next_pass = time.monotonic()
        for _ in range(PASSES):
            poll(broker)
            next_pass += INTERVAL
            time.sleep(max(0.0, next_pass - time.monotonic()))
        peer = (broker_cpu(broker) - before) / PASSES - unobserved

        for name, options in sources.items():
            unobserved = alone()
            with running(daemon(broker, {**options(broker), "max_queues": QUEUES})) as ours:
                ours.wait_for("rabbitmq_queues", QUEUES, deadline=9 * INTERVAL)
                ours.wait_runs("mq", deadline=3 * INTERVAL)
                runs, cpu, theirs = ours.runs("mq"), cpu_seconds(ours.pid), broker_cpu(broker)
                time.sleep(PASSES * INTERVAL)
                cpu, theirs = cpu_seconds(ours.pid) - cpu, broker_cpu(broker) - theirs
                runs = ours.runs("mq") - runs
                what = f"{QUEUES:,} queues of RabbitMQ, {name}: one pass"
                yield Row(what, cpu / runs * 1e3, "ms", 50)
                yield Row("... memory above idle", memory_mb(ours.pid) - idle[name], "MB", 16)
                yield Row(
                    "... CPU of the broker for a pass",
                    (theirs / runs - unobserved) * 1e3,
                    "ms",
                    None,
                    peer * 1e3,
                    "the whole list, as rabbitmq_exporter",
                )


def main() -> None:
    global QUEUES, PASSES
    if len(sys.argv) > 1:
        QUEUES = int(sys.argv[1])
    if len(sys.argv) > 2:
        PASSES = int(sys.argv[2])
    process.begin()
    for row in bench():
        print(row.line(), flush=True)


if __name__ == "__main__":
    main()
