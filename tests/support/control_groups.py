"""The control groups of a Kubernetes node."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from support.waiting import wait_until

# ---- control groups -----------------------------------------------------------------------------


CONTROL_GROUPS = Path("/sys/fs/cgroup")


def control_group_hierarchies(mounts: str) -> list[Path]:
    """Returns the control group hierarchies that kubelet and runc use, from the text of
    /proc/self/mounts: one of version 2, or one per controller of version 1. Containers and chroots
    on this machine can mount the same hierarchies again elsewhere."""
    found = {}
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        path = Path(place)
        if kind in ("cgroup", "cgroup2") and CONTROL_GROUPS in (path, path.parent):
            found[path] = None  # a mount can be hidden by another one
    return list(found)


def _hierarchies() -> list[Path]:
    return control_group_hierarchies(Path("/proc/self/mounts").read_text())


def make_groups(name: str) -> None:
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir()
        controllers = hierarchy / "cgroup.controllers"
        if controllers.exists():  # version 2: enable the controllers for children
            wanted = " ".join(f"+{each}" for each in controllers.read_text().split())
            (hierarchy / "cgroup.subtree_control").write_text(wanted)
            (hierarchy / name / "cgroup.subtree_control").write_text(wanted)


def remove_groups(name: str) -> None:
    """Removes a group and its children when their processes have ended."""

    def removed() -> bool:
        for hierarchy in _hierarchies():
            for path, _, _ in os.walk(hierarchy / name, topdown=False):
                os.rmdir(path)
        return True

    wait_until(removed, what=f"the end of the control groups {name}")


def sweep_groups() -> None:
    """Removes the groups of killed sessions."""
    for hierarchy in _hierarchies():
        for group in hierarchy.glob("vitalsd-node-*"):
            owner = re.fullmatch(r"vitalsd-node-(\d+)-\w+", group.name)
            if owner and not Path(f"/proc/{owner[1]}").exists():
                with contextlib.suppress(AssertionError):
                    remove_groups(group.name)
