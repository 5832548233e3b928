"""The alert rules of a public collection that is not part of the repository. They are in
VITALSD_COMMUNITY_RULES, by default in ../shared/data/community-rules beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import REPOSITORY

DIRECTORY = Path(
    os.environ.get(
        "VITALSD_COMMUNITY_RULES", REPOSITORY.parent / "shared" / "data" / "community-rules"
    )
)


def community_rules(name: str) -> list[str]:
    """Returns the rule files of a system, for example "postgresql". Skips the test without them."""
    files = sorted((DIRECTORY / name).glob("*.y*ml"))
    if not files:
        pytest.skip(f"{DIRECTORY / name} has no rules: set VITALSD_COMMUNITY_RULES")
    return [file.read_text() for file in files]
