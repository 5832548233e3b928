"""Real servers, hostile peers and the daemon itself, for tests.

Whatever is started here listens on free loopback ports, lives in a directory of its own and is
ended by its process id when the session ends, however it ends. Nothing sleeps to wait: see
`wait_until`.
"""

from __future__ import annotations

from pathlib import Path

from support.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]

__all__ = ["REPOSITORY", "wait_until"]
