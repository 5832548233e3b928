"""A pytest plugin that marks each test with its stream. tests/run.sh runs the streams in parallel,
each with its own servers."""

from __future__ import annotations

import re
import zlib

import pytest

# The fixtures of each stream, most expensive first. A test belongs to the first stream with a
# fixture that the test uses. All other tests belong to the stream "servers".
STREAMS = {
    "node": {"_kubernetes_node", "kubernetes_node_with"},
    "api": {"_api_server", "api_server_with"},
}


# Files that run in one process with --dist loadfile, because they share a server that is slow to
# start.
TOGETHER = {
    "integration/test_conventions.py": "integration/test_rabbitmq.py",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    from xdist.scheduler import LoadFileScheduling  # only if it is in use

    if config.getvalue("dist") != "loadfile":
        return None

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return TOGETHER.get(file, file)

    return Scheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        default="all",
        metavar="all|K/N",
        help="which tests marked long to run: all, or the K-th of N samples (default: all)",
    )


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(stream(item))
    sample = config.getoption("--long")
    if not re.fullmatch(r"all|\d+/[1-9]\d*", sample):
        raise pytest.UsageError(f"--long={sample}: give all, or K/N with N of 1 or more")
    left_out = [item for item in items if not in_sample(item, sample)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def stream(item: pytest.Item) -> str:
    """Returns the stream of a test. Tests that measure time run alone, after the others."""
    if item.get_closest_marker("serial"):
        return "serial"
    used = set(getattr(item, "fixturenames", ()))
    return next((name for name, fixtures in STREAMS.items() if fixtures & used), "servers")


def in_sample(item: pytest.Item, sample: str) -> bool:
    if sample == "all" or not item.get_closest_marker("long"):
        return True
    number, count = map(int, sample.split("/"))
    return zlib.crc32(item.nodeid.encode()) % count == number % count
