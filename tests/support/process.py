"""Processes of the tests: started without privileges if a server requires it, frozen, ended by pid.

Three mechanisms end processes that a failing test leaves running. Orphaned descendants become
children of the session (PR_SET_CHILD_SUBREAPER), so `end_all` finds them when the session ends. If
the session is killed, its children get a signal (PR_SET_PDEATHSIG). The children of a frozen
process do not notice its end, so a separate shell waits for the end of the session and kills frozen
processes.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from support.waiting import PATIENCE, wait_until

PR_SET_CHILD_SUBREAPER = 36
# Below the kernel's range of ports for outgoing connections.
FIRST_PORT, LAST_PORT = 20_000, 32_000
# A lock on the byte at the offset PORT reserves the port among all test sessions of this machine.
# The kernel releases the locks of a session when the session ends, in any way.
RESERVATIONS = Path(tempfile.gettempdir()) / "vitalsd-test-ports"

# Reads one line with the ids of all frozen processes after each change, until standard input ends.
KEEPER = 'while read -r line; do frozen=$line; done; [ -z "$frozen" ] || kill -KILL $frozen'


class Place(Protocol):
    """Another place where servers can run, for example a network namespace."""

    enter: Sequence[str]  # command prefix that runs a command there in the same process

    def forward(self, port: int) -> None:
        """Forwards a local loopback port to the same loopback port of the place."""

    def listener(self, port: int) -> socket.socket:
        """Returns a socket that listens on a loopback port of the place and is served from here."""


_place: Place | None = None
_reserved: set[int] = set()
_reservations: int | None = None
_frozen: set[int] = set()
_keeper: subprocess.Popen[str] | None = None


def begin() -> None:
    """Sets up the three mechanisms, once per session."""
    global _keeper
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _keeper = subprocess.Popen(
        ["sh", "-c", KEEPER], stdin=subprocess.PIPE, text=True, start_new_session=True
    )


def _tell_keeper() -> None:
    if _keeper and _keeper.stdin:
        print(*sorted(_frozen), file=_keeper.stdin, flush=True)


@contextmanager
def inside(place: Place) -> Iterator[None]:
    """Servers that are created in this context run there, also after a restart. Their ports are
    reachable from here like local ports."""
    global _place
    _place, before = place, _place
    try:
        yield
    finally:
        _place = before


def free_port() -> int:
    """Returns a loopback port that is free for TCP and UDP. No other caller gets the same port."""
    port = unused_port()
    if _place:
        _place.forward(port)
    return port


def unused_port() -> int:
    """Like free_port(), but always a local port."""
    while True:
        port = random.randint(FIRST_PORT, LAST_PORT)
        if not _reserve(port):
            continue
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _reserve(port: int) -> bool:
    """Reserves the port. Returns false if this or another session has reserved it."""
    global _reservations
    if port in _reserved:
        return False
    if _reservations is None:
        _reservations = os.open(RESERVATIONS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.lockf(_reservations, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _reserved.add(port)
    return True


def listener(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Returns a listening socket on a loopback port, for a peer in a thread of the tests."""
    if _place:
        return _place.listener(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def account(name: str) -> pwd.struct_passwd | None:
    """Returns the user for servers that refuse to run as root. None if the tests do not run as
    root."""
    return pwd.getpwnam(name) if os.geteuid() == 0 else None


def server_directory(name: str) -> Path:
    """Returns a scratch directory that other users can enter. pytest's directories have the mode
    0700."""
    directory = Path(tempfile.mkdtemp(prefix=f"vitalsd-{name}-"))
    directory.chmod(0o711)
    return directory


def children(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
        if int(parent) == pid and state != "Z":
            found.append(int(entry))
    return found


def family(pid: int) -> list[int]:
    """Returns the process and its descendants, parents first."""
    pids = [pid]
    for each in pids:  # grows during the iteration
        pids += children(each)
    return pids


def is_gone(pid: int) -> bool:
    try:
        # An orphan that became a child of the session. Its first thread may end before its other
        # threads.
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        pass
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat[stat.rindex(")") + 2] == "Z"


def wait_gone(pids: Sequence[int]) -> None:
    wait_until(lambda: all(is_gone(pid) for pid in pids), what=f"end of {pids}")


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end_all() -> list[str]:
    """Kills all descendants of this process and returns their command lines."""
    global _keeper
    if _keeper:
        _keeper.communicate()
        _keeper = None
    left = []
    for pid in family(os.getpid())[1:]:
        try:
            left.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
        except OSError:
            continue
        send(pid, signal.SIGKILL)
        wait_gone([pid])
    return left


class Server:
    """A process with its log. Subclasses define how it starts and when it is ready."""

    name = "server"
    stop_signal = signal.SIGTERM
    death_signal = "KILL"  # the signal it gets when the test session is killed

    def __init__(self) -> None:
        self.directory = server_directory(self.name)
        self.log_file = self.directory / f"{self.name}.log"
        self.enter: Sequence[str] = _place.enter if _place else ()
        self.process: subprocess.Popen[bytes] | None = None
        self._stopped: set[int] = set()

    def launch(
        self,
        command: Sequence[str | Path],
        ready: Callable[[], object],
        *,
        user: pwd.struct_passwd | None = None,
        environment: Mapping[str, str] | None = None,
        deadline: float = 60,
    ) -> None:
        """Starts it and waits until it is ready. A failure includes the log."""
        assert self.process is None, f"{self.name} runs already"
        # setpriv, because preexec_fn runs Python in a forked child of a process with threads.
        mortal = ["setpriv", "--pdeathsig", self.death_signal]
        start = [*mortal, "--", *self.enter]
        if user:  # the user could not enter it, and a change of the user clears the signal
            start += [*mortal, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*start, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(environment or {})},
            )

        def is_ready() -> object:
            if self.process and self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {self.process.returncode}\n{self.tail()}")
            return ready()

        try:
            wait_until(is_ready, deadline=deadline, what=f"{self.name} is ready")
        except BaseException as error:
            error.add_note(self.tail())
            self.kill()
            raise

    @property
    def pid(self) -> int:
        assert self.process, f"{self.name} does not run"
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def tail(self, lines: int = 30) -> str:
        return "\n".join([f"--- {self.log_file}", *self.log().splitlines()[-lines:]])

    def freeze(self) -> None:
        """Sends SIGSTOP to it and its descendants. Open and new connections then hang."""
        while new := [pid for pid in family(self.pid) if pid not in self._stopped]:
            _frozen.update(new)
            _tell_keeper()
            for pid in new:
                send(pid, signal.SIGSTOP)
                self._stopped.add(pid)

    def thaw(self) -> None:
        for pid in family(self.pid):
            send(pid, signal.SIGCONT)
        self._forget_frozen()

    def _forget_frozen(self) -> None:
        """Forgets the processes that it froze, even if they have ended, before their ids are
        reused."""
        _frozen.difference_update(self._stopped)
        self._stopped.clear()
        _tell_keeper()

    def stop(self, deadline: float = 60) -> int:
        """Stops it and returns its exit code."""
        assert self.process
        pids = family(self.pid)
        send(self.pid, self.stop_signal)
        try:
            code = self.process.wait(deadline * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end\n{self.tail()}") from None
        self.process = None
        wait_gone(pids[1:])
        return code

    def kill(self) -> None:
        """Sends SIGKILL to it and its descendants."""
        if self.process is None:
            return
        pids = family(self.process.pid)
        for pid in pids:
            send(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        self._forget_frozen()
        wait_gone(pids[1:])

    def close(self) -> None:
        """Stops it, with SIGKILL if it hangs, and removes its directory."""
        try:
            if self.running:
                self.thaw()
                self.stop()
        finally:
            self.kill()
            if "VITALSD_TEST_KEEP" not in os.environ:
                shutil.rmtree(self.directory, ignore_errors=True)
