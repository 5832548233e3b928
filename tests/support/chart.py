"""The Helm chart, rendered by a real Helm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

from support import REPOSITORY
from support.kubernetes import built
from support.kubernetes_client import Object

CHART = REPOSITORY / "deploy" / "kubernetes" / "chart"


def helm(*arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Helm. `values` are passed as a values file."""
    return subprocess.run(
        [built("helm", "helm"), *arguments, *(["--values=-"] if values else [])],
        input=json.dumps(values) if values else None,
        capture_output=True,
        text=True,
        check=False,
    )


def rendered(
    values: Mapping[str, Any] | None = None, *, release: str = "vitalsd", namespace: str = "vitalsd"
) -> list[Object]:
    """Returns the objects of a release."""
    done = helm("template", release, str(CHART), f"--namespace={namespace}", values=values)
    assert done.returncode == 0, done.stderr
    return [thing for thing in yaml.safe_load_all(done.stdout) if thing]


def one(things: list[Object], kind: str) -> Object:
    (found,) = (thing for thing in things if thing["kind"] == kind)
    return found
