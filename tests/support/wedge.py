"""Stops one thread of a process with ptrace, while its other threads continue. This simulates a
deadlock or an endless loop. SIGSTOP would stop all threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_FOR_THREADS = 0x40000000  # __WALL


@contextmanager
def wedged(thread: int) -> Iterator[None]:
    """Stops a thread while the block runs. The first thread of a process has the id of the process.
    In vitalsd this thread runs the probe loop."""
    _ptrace(PTRACE_SEIZE, thread)
    _ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WAIT_FOR_THREADS)
    try:
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)


def _ptrace(request: int, thread: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_void_p(0)
    if libc.ptrace(ctypes.c_long(request), ctypes.c_int(thread), none, none) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
