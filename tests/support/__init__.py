"""Real servers, hostile peers and the daemon itself, for tests.

Every process listens on free loopback ports and has its own directory. The session stops it by its
process id when the session ends, in any way. Tests never wait with a fixed sleep: see `wait_until`.
"""

from __future__ import annotations

from pathlib import Path

from support.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]

__all__ = ["REPOSITORY", "wait_until"]
