"""Processes of the tests: started unprivileged where a server demands it, frozen, ended by pid.

Three nets catch what a failing test leaves behind. Orphans of our children become our own children
(PR_SET_CHILD_SUBREAPER), so that `end_all` finds them when the session ends. If the session itself
is killed, its children get a signal (PR_SET_PDEATHSIG), and what was frozen at that time, whose
children could not notice the death of their parent, is killed by a shell that waits for just that.
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
# Below the range from which the kernel takes the ports of outgoing connections.
FIRST_PORT, LAST_PORT = 20_000, 32_000
# A lock on the byte at the offset PORT reserves the port among all test sessions of this machine.
# The kernel releases the locks of a session when it ends, however it ends.
RESERVATIONS = Path(tempfile.gettempdir()) / "vitalsd-test-ports"

# Reads the ids of all frozen processes, a line at each change, until its standard input ends.
KEEPER = 'while read -r line; do frozen=$line; done; [ -z "$frozen" ] || kill -KILL $frozen'


class Place(Protocol):
    """Where servers can run other than beside the tests, as a network namespace."""

    enter: Sequence[str]  # a command that runs the one after it there, in the same process

    def forward(self, port: int) -> None:
        """Makes a loopback port of the place one of here."""

    def listener(self, port: int) -> socket.socket:
        """What listens at a loopback port of the place, to be served from here."""


_place: Place | None = None
_reserved: set[int] = set()
_reservations: int | None = None
_frozen: set[int] = set()
_keeper: subprocess.Popen[str] | None = None


def begin() -> None:
    """Spreads the nets; once a session."""
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
    """Servers that are made meanwhile run there, also when they are started again later; the ports
    that they listen on are reached from here as if they ran here."""
    global _place
    _place, before = place, _place
    try:
        yield
    finally:
        _place = before


def free_port() -> int:
    """A loopback port that is free for TCP and UDP and that no other caller gets."""
    port = unused_port()
    if _place:
        _place.forward(port)
    return port


def unused_port() -> int:
    """The same, and never one of another place."""
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
    """Whether no other caller has the port, in this session or in one beside it."""
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


def listener(port: int) -> socket.socket:
    """What listens at a loopback port, for a peer that is a thread of the tests."""
    return _place.listener(port) if _place else socket.create_server(("127.0.0.1", port))


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def account(name: str) -> pwd.struct_passwd | None:
    """Whom to run a server as that refuses to be root; None if we are not root anyway."""
    return pwd.getpwnam(name) if os.geteuid() == 0 else None


def server_directory(name: str) -> Path:
    """A scratch directory that other users may enter, unlike pytest's own, which end at 0700."""
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
    """The process and all that it has started, parents first."""
    pids = [pid]
    for each in pids:  # grows while it is walked
        pids += children(each)
    return pids


def is_gone(pid: int) -> bool:
    try:
        # An orphan that has become ours. Its first thread may end before the others do.
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
    """Kills whatever descends from this process; returns the command lines of what there was."""
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
    """One process with its log. Subclasses say how it starts and when it is ready."""

    name = "server"
    stop_signal = signal.SIGTERM
    death_signal = "KILL"  # sent to it when the test session dies

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
        deadline: float = 30,
    ) -> None:
        """Starts it and waits until it is ready; a log with the reason is part of any failure."""
        assert self.process is None, f"{self.name} runs already"
        # setpriv and not preexec_fn, which runs Python in a forked child of a threaded process.
        mortal = ["setpriv", "--pdeathsig", self.death_signal]
        start = [*mortal, "--", *self.enter]
        if user:  # who could not enter, and whose new identity takes the signal away
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
        """SIGSTOP for it and every process that it has started: connections hang, new ones too."""
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
        """Those that have ended since as well, before their ids are given to others."""
        _frozen.difference_update(self._stopped)
        self._stopped.clear()
        _tell_keeper()

    def stop(self, deadline: float = 20) -> int:
        """Ends it in good order; returns its exit code."""
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
        """SIGKILL for it and every process that it has started."""
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
        """Ends it, by force if it hangs, and removes its directory."""
        try:
            if self.running:
                self.thaw()
                self.stop()
        finally:
            self.kill()
            if "VITALSD_TEST_KEEP" not in os.environ:
                shutil.rmtree(self.directory, ignore_errors=True)
