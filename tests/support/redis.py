"""A Redis server for tests: plain and TLS ports, a password, ACL users with and without
permissions."""

from __future__ import annotations

import secrets
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.certificates import Authority
from support.process import Server, free_port
from support.waiting import wait_until

CONFIGURATION = """
bind 127.0.0.1
port {port}
unixsocket {directory}/redis.sock
dir {directory}
save ""
appendonly no
user monitor on >{monitor_password} ~* &* -@all +ping +info +config|get +hello +auth +select \
+llen +type +client|setname +client|getname
"""

TLS = """
tls-port {tls_port}
tls-cert-file {directory}/server.pem
tls-key-file {directory}/server.key
tls-ca-cert-file {authority}
tls-auth-clients no
"""

# The permissions that reading INFO needs. Without INFO, the user can log in but read nothing.
BLIND = "user blind on >{blind_password} ~* -@all +ping\n"


class Redis(Server):
    name = "redis"
    stop_signal = signal.SIGTERM

    def __init__(
        self,
        authority: Authority,
        *,
        password: bool = True,
        options: Sequence[str] = (),
        program: str | Path = "redis-server",
    ) -> None:
        """`options` are further options of redis-server, for each start. Another `program` has no
        TLS."""
        super().__init__()
        self.options = tuple(options)
        self.authority = authority
        self.program = program
        self.port, self.tls_port = free_port(), free_port()
        self.password = f"redis-{secrets.token_hex(8)}" if password else ""
        self.monitor_password = f"monitor-{secrets.token_hex(8)}"
        self.blind_password = f"blind-{secrets.token_hex(8)}"
        certificate = authority.issue("redis.test")
        certificate.install(self.directory / "server.pem", self.directory / "server.key")
        self.configuration = self.directory / "redis.conf"
        # Redis 6.2 does not know the option, and permits the command.
        debug = "" if "redis-6" in str(program) else "enable-debug-command local\n"
        text = CONFIGURATION + debug + (TLS if program == "redis-server" else "") + BLIND + (f"requirepass {self.password}\n" if password else "")
        self.configuration.write_text(
            text.format(
                directory=self.directory,
                authority=authority.path,
                port=self.port,
                tls_port=self.tls_port,
                monitor_password=self.monitor_password,
                blind_password=self.blind_password,
            )
        )
        self.start()

    @property
    def dump(self) -> Path:
        return self.directory / "dump.rdb"

    def start(self, *options: str) -> None:
        """Starts it with additional `options`, and waits until it responds to PING."""
        command = [self.program, self.configuration, *self.options, *options]
        self.launch(command, self._answers)

    def restart(self, *options: str) -> None:
        """Restarts it. Keys that were not saved are lost."""
        self.stop()
        self.start(*options)

    def _answers(self) -> bool:
        # LOADING is also a response. A caller that needs more must wait for it.
        return self.ask("PING").split()[0] in ("PONG", "LOADING")

    def ask(self, *command: str | int, lines: str = "") -> str:
        """Returns the output of redis-cli for a command, or for the commands in `lines`, with
        errors."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *map(str, command)],
            input=lines,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={"REDISCLI_AUTH": self.password} if self.password else {},
        )
        if done.returncode != 0:
            raise ConnectionError(done.stdout + done.stderr)
        return done.stdout.strip()

    def command(self, *command: str | int) -> str:
        """Like ask(), but fails the test if the server reports an error."""
        answer = self.ask(*command)
        refused = answer.split(" ")[0]
        assert not (refused.isupper() and refused in ("ERR", "OOM", "NOAUTH", "NOPERM", "LOADING"))
        return answer

    def info(self, field: str) -> str:
        """Returns one field of INFO everything."""
        fields = dict(
            line.split(":", 1) for line in self.ask("INFO", "all").splitlines() if ":" in line
        )
        return fields[field].strip()

    @property
    def used_memory(self) -> int:
        return int(self.info("used_memory"))

    def fill(self, size: int) -> None:
        """Adds keys until memory usage has grown by `size` bytes."""
        value = 98_000  # with its header slightly less than 96 KiB, a size class of the allocator
        goal = self.used_memory + size
        while (missing := goal - self.used_memory) > 0:
            prefix = secrets.token_hex(4)
            self.command("DEBUG", "POPULATE", missing // value + 1, prefix, value)

    def fill_over(self, size: int) -> None:
        """Writes keys of this size in total. A full server evicts others for them."""
        value = "x" * 98_000
        keys = (f"SET {secrets.token_hex(4)} {value}" for _ in range(size // len(value) + 1))
        self.ask(lines="\n".join(keys) + "\n")

    def empty(self) -> None:
        self.command("FLUSHALL", "SYNC")

    def set_max_memory(self, size: int) -> None:
        """Sets the limit in bytes. 0 means no limit."""
        self.command("CONFIG", "SET", "maxmemory", size)

    def look_up(self, hits: int, misses: int) -> None:
        """Sends GET commands that find a key, and that do not."""
        commands = ["SET present 1", *["GET present"] * hits, *["GET absent"] * misses]
        self.ask(lines="\n".join(commands) + "\n")

    def start_loading(self, keys: int = 100_000) -> None:
        """Restarts it with a dump that takes minutes to load. It reports LOADING until
        finish_loading()."""
        self.command("DEBUG", "POPULATE", keys)
        self.command("SAVE")
        self.stop()
        # The delay per key in microseconds. The server handles its clients after each KiB that it
        # has loaded.
        slowly = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        self.start(*slowly)
        wait_until(self.is_loading, what="Redis reports LOADING")

    def is_loading(self) -> bool:
        return self.ask("PING").startswith("LOADING")

    def finish_loading(self) -> None:
        self.command("CONFIG", "SET", "key-load-delay", "0")
        wait_until(lambda: not self.is_loading(), what="Redis has loaded its dump")
        self.dump.unlink(missing_ok=True)

    def url(self, *, tls: bool = False, user: str = "") -> str:
        """Returns the URL for the configuration, without the password."""
        scheme, port = ("rediss", self.tls_port) if tls else ("redis", self.port)
        return f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{port}"

    def restore(self) -> None:
        """Reverts the changes of a test, because other tests use this server too."""
        if self.running:
            self.thaw()
            if self.is_loading():
                self.finish_loading()
        else:
            self.kill()
            self.dump.unlink(missing_ok=True)
            self.start()
        self.set_max_memory(0)
        self.empty()


class Sentinel(Server):
    """A sentinel that monitors `master` as "main"."""

    name = "redis-sentinel"

    def __init__(
        self,
        master: Redis,
        *,
        quorum: int = 1,
        down_after: int = 300,
        tls: bool = False,
        lines: str = "",
    ) -> None:
        """`down_after`: milliseconds without a response of the master. With `tls`, it also has a TLS
        port, and uses the one of the master. `lines` are appended to its configuration."""
        super().__init__()
        self.port, self.tls_port = free_port(), free_port()
        text = (
            f"port {self.port}\n"
            f"sentinel monitor main 127.0.0.1 {master.tls_port if tls else master.port} {quorum}\n"
            f"sentinel down-after-milliseconds main {down_after}\n"
            f"sentinel failover-timeout main {10 * down_after}\n"
        )
        if tls:
            text += f"tls-port {self.tls_port}\ntls-replication yes\ntls-auth-clients no\n"
            text += f"tls-ca-cert-file {master.authority.path}\n"
            text += f"tls-cert-file {master.directory}/server.pem\n"
            text += f"tls-key-file {master.directory}/server.key\n"
        configuration = self.directory / "sentinel.conf"
        configuration.write_text(text + lines)
        self.launch([master.program, configuration, "--sentinel"], lambda: self.ask("PING"))

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if done.returncode != 0:
            raise ConnectionError(done.stdout + done.stderr)
        return done.stdout.strip()
