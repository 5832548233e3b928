"""Adds a kind of probe to a copy of the tree, as docs/architecture.md describes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import REPOSITORY

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_a_kind_is_one_file_and_one_row(tmp_path: Path) -> None:
    tree = tmp_path / "vitalsd"
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, files):
        source = REPOSITORY / name
        if source.exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tree / name)

    # The code on the page equals the file except for includes and outer namespaces.
    page = (tree / "docs/architecture.md").read_text()
    (code,) = re.findall(r"(?s)```cpp\n(.*?)```", page)
    code = code.replace("tcp", "example").replace("TcpProbe", "ExampleProbe")
    probe, begin, kind = code.partition("namespace kinds {")
    includes = re.findall(r"(?m)^#include .*$", (tree / "probes/tcp.cpp").read_text())
    example = "\n".join(
        [
            *includes,
            "namespace vitalsd {",
            "namespace {",
            probe,
            "}  // namespace",
            begin + kind,
            "}  // namespace vitalsd",
        ]
    )
    (tree / "probes/example.cpp").write_text(example)
    registry = tree / "probes/registry.cpp"
    registry.write_text(registry.read_text().replace("  X(dns) ", "  X(example) \\\n  X(dns) ", 1))

    environment = {**os.environ, "VITALSD_BINARY": str(tree / "build/release/vitalsd")}
    commands = f"""
        set -eu
        . deploy/compiler-cache.sh
        cmake --preset release >/dev/null
        cmake --build --preset release --target vitalsd
        docs/generate.sh
        echo '{{"probes": [{{"name": "a", "kind": "example", "endpoint": "a.example:1"}}]}}' >a.yaml
        "$VITALSD_BINARY" config check a.yaml
        /usr/bin/python3 tests/folders.py
    """
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    # Nothing else had to be written by hand.
    assert "probe_example_connect_duration_seconds" in (tree / "docs/metrics.md").read_text()
    assert "## Kind example" in (tree / "docs/configuration.md").read_text()
    assert "example: []" in (tree / "deploy/kubernetes/chart/files/permissions.yaml").read_text()
