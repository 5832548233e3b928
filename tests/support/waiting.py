"""Waiting for a condition. Only this file of the tests sleeps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Sanitizer builds and loaded machines are slower: VITALSD_TEST_PATIENCE stretches every deadline.
PATIENCE = float(os.environ.get("VITALSD_TEST_PATIENCE", "1"))


def wait_until(
    condition: Callable[[], T],
    *,
    deadline: float = 60,
    what: str | Callable[[], str] = "",
    every: float = 0.02,
) -> T:
    """Polls until `condition` returns a true value, and returns that value.

    An AssertionError, LookupError or OSError (for example a server that has not started) means not
    yet. After `deadline` seconds it fails with a message that contains `what` and the last result.
    If `what` is a function, it is called at that moment, so that it can include the end of a log.
    """
    begin = time.monotonic()
    end = begin + deadline * PATIENCE
    while True:
        error: Exception | None = None
        value = None
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, LookupError, OSError) as caught:
            error = caught
        now = time.monotonic()
        if now > end:
            awaited = what() if callable(what) else what or "the condition"
            seen = f"{type(error).__name__}: {error}" if error else f"{value!r}"
            raise AssertionError(
                f"not within {deadline * PATIENCE:g} s: {awaited}; seen last: {seen}"
            ) from error
        # A long wait polls less often, so that it leaves the processor to other tests.
        time.sleep(every if now < begin + 1 else max(every, 0.06))


def stays(condition: Callable[[], object], *, for_seconds: float, what: str = "") -> None:
    """Fails as soon as `condition` returns a false value within the time."""
    end = time.monotonic() + for_seconds
    while time.monotonic() < end:
        assert condition(), f"did not stay for {for_seconds:g} s: {what or condition}"
        time.sleep(0.02)
