"""config/examples/platform.yaml with real servers on a Kubernetes node: `vitalsd check` prints a line
for each of the 22 checks of the operations documents, as docs/documented-checks.md lists them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import yaml

from support import REPOSITORY
from support.certificates import Authority
from support.kubernetes_node import Node
from support.platform import EXAMPLE, Platform
from support.waiting import wait_until

OK, WAITS = "✓", "?"
WAITING = "nightly-dump"  # for reports, which only the daemon receives


@dataclass
class Documented:
    """A row of the table."""

    probes: list[str]
    lines: list[str]


def documented() -> dict[int, Documented]:
    page = (REPOSITORY / "docs" / "documented-checks.md").read_text()
    rows = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|([^|]*)\|[^|]*\|$", page, re.MULTILINE)
    names = lambda cell: re.findall(r"`([^`]+)`", cell)  # noqa: E731
    return {int(number): Documented(names(probes), names(lines)) for number, probes, lines in rows}


CHECKS = documented()


@dataclass
class Printed:
    """The lines of `vitalsd check` about a probe: its mark, the reason of a failed run, and the
    mark of each line below."""

    mark: str
    reason: str = ""
    lines: dict[str, str] = field(default_factory=dict)

    def fails(self, names: list[str]) -> bool:
        """Returns whether the run failed, or one of the lines with these names is not ok."""
        return bool(self.reason) or any(self.lines.get(name, OK) != OK for name in names)


def parse(text: str) -> dict[str, Printed]:
    probes: dict[str, Printed] = {}
    for line in text.splitlines():
        if found := re.match(r"([✓!✗?]) (\S+)  ", line):
            latest = probes[found[2]] = Printed(found[1])
        elif found := re.match(r"    ([✓!✗?]) (\S+) ", line):
            latest.lines[found[2]] = found[1]
        elif found := re.match(r"    ([a-z]+): ", line):
            latest.reason = found[1]
    return probes


@pytest.fixture(scope="module")
def platform(_kubernetes_node: Node, certificates: Authority) -> Iterator[Platform]:
    made = Platform(_kubernetes_node, certificates)
    try:
        yield made
    finally:
        made.close()


def run(platform: Platform) -> tuple[str, dict[str, Printed]]:
    done = platform.vitalsd("check")
    return done.stdout + done.stderr, parse(done.stdout)


def failing(printed: dict[str, Printed]) -> set[int]:
    """Returns the documented checks of which a line is not ok."""
    return {
        number
        for number, check in CHECKS.items()
        for probe in check.probes
        if printed[probe].fails(check.lines)
    }


def test_the_table_has_all_checks_and_all_probes() -> None:
    assert list(CHECKS) == list(range(1, 23))
    configured = [probe["name"] for probe in yaml.safe_load(EXAMPLE.read_text())["probes"]]
    assert {probe for check in CHECKS.values() for probe in check.probes} == set(configured)


def test_a_line_for_each_documented_check(platform: Platform) -> None:
    text, printed = run(platform)
    for number, check in CHECKS.items():
        found = [name for probe in check.probes for name in printed[probe].lines]
        assert set(check.lines) - set(found) == set(), f"{number}\n{text}"
    marks = {probe: each.mark for probe, each in printed.items()}
    assert marks == dict.fromkeys(printed, OK) | {WAITING: WAITS}, text


# The faults that need no clock, all at once. Each is in the table.
FAULTS = {4, 6, 7, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22}


def test_each_line_shows_its_fault(platform: Platform) -> None:
    platform.break_all()

    def all_fail() -> bool:
        text, printed = run(platform)
        assert FAULTS - failing(printed) == set(), text
        return True

    wait_until(all_fail, deadline=60, every=1, what="all faults")


@pytest.mark.long
def test_a_node_and_servers_that_hang(platform: Platform) -> None:
    platform.node.kubelet.freeze()
    platform.database.stop()
    try:

        def they_fail() -> bool:
            text, printed = run(platform)
            assert {2, 3, 5, 8, 11} - failing(printed) == set(), text
            return True

        wait_until(they_fail, deadline=60, every=1, what="a node that is not Ready")
        platform.node.api.freeze()
        text, printed = run(platform)
        assert 1 in failing(printed), text
    finally:
        platform.node.api.thaw()
        platform.node.kubelet.thaw()
        platform.database.start()
