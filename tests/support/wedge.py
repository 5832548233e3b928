"""Stops one thread of a process, as a lost lock or an endless loop would: the kernel holds it by
ptrace, while the other threads go on. SIGSTOP would stop them all."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_FOR_THREADS = 0x40000000  # __WALL


@contextmanager
def wedged(thread: int) -> Iterator[None]:
    """Holds a thread for as long as the block runs. A process's first thread, which is where
    vitalsd's probe loop turns, has the id of the process."""
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
