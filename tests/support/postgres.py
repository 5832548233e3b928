"""A PostgreSQL 15 server for tests: TLS, SCRAM, pg_stat_statements, roles with and without
permissions.

The superuser connects over the Unix socket without a password. Over TCP every role needs a
password, and the role `encrypted_only` needs TLS as well.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
import psycopg2.extensions

from support.certificates import Authority
from support.process import Server, account, free_port

BINARIES = Path("/usr/lib/postgresql/15/bin")

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{directory}'
max_connections = {max_connections}
superuser_reserved_connections = 3
ssl = on
ssl_cert_file = '{directory}/server.pem'
ssl_key_file = '{directory}/server.key'
ssl_ca_file = '{authority}'
password_encryption = scram-sha-256
shared_preload_libraries = 'pg_stat_statements'
track_io_timing = on
wal_level = replica
archive_mode = on
archive_command = 'test ! -e {directory}/refuse-archiving && cp %p {directory}/archive/%f'
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
fsync = off
synchronous_commit = off
full_page_writes = off
"""

ACCESS = """
local all all trust
hostnossl all encrypted_only 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


class Standby(Server):
    """A standby of another server, created from a copy of it. `link` is a port that forwards to the
    primary; by default it connects directly. `settings` are those of the server."""

    name = "standby"
    stop_signal = signal.SIGINT

    def __init__(self, primary: Postgres, link: int | None = None, **settings: str | int) -> None:
        super().__init__()
        self.primary, self.port = primary, free_port()
        self.data = self.directory / "data"
        primary.execute("ALTER ROLE app REPLICATION")
        user = account("postgres")
        who = {"user": user.pw_uid, "group": user.pw_gid} if user else {}
        if user:
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        done = subprocess.run(
            [
                *(BINARIES / "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast"),
                *("-h", "127.0.0.1", "-p", str(link or primary.port), "-U", "app"),
            ],
            env={"PGPASSWORD": primary.passwords["app"], "HOME": str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            **who,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.launch(
            [
                *(BINARIES / "postgres", "-D", self.data, "-p", str(self.port)),
                *("-c", f"unix_socket_directories={self.directory}", "-c", "archive_mode=off"),
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            self._answers,
            user=user,
            environment={"HOME": str(self.directory)},
        )

    def ask(self, expression: str) -> object:
        connection = psycopg2.connect(
            host=str(self.directory), port=self.port, user="postgres", dbname="postgres"
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(f"SELECT {expression}")
            row = cursor.fetchone()
        assert row is not None
        return row[0]

    def has_replayed(self) -> bool:
        """Returns whether it has replayed a transaction since it started."""
        return self.ask("pg_last_xact_replay_timestamp()") is not None

    def _answers(self) -> bool:
        try:
            return self.ask("true") is True
        except psycopg2.OperationalError:
            return False

    def url(self, role: str = "monitor") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{self.primary.database}"


class Postgres(Server):
    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions instead of waiting for them
    database = "vcci_production"

    def __init__(self, authority: Authority, max_connections: int = 30) -> None:
        super().__init__()
        self.authority = authority
        self.max_connections = max_connections
        self.port = free_port()
        self.account = account("postgres")
        # monitor is a member of pg_monitor, viewer is not. app is the application's role.
        self.passwords = {
            role: f"{role}-{secrets.token_hex(8)}"
            for role in ("monitor", "viewer", "app", "encrypted_only")
        }
        self._held: list[psycopg2.extensions.connection] = []
        self._initialize()
        self.start()
        self._populate()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def _initialize(self) -> None:
        shutil.copy(self.authority.path, self.directory / "ca.pem")
        self.use_certificate()
        (self.directory / "archive").mkdir()
        for path in (self.directory, *self.directory.iterdir()):
            self._give_away(path)
        options = "-A trust -U postgres -E UTF8 --locale=C -N --no-instructions"
        command = [str(BINARIES / "initdb"), "-D", str(self.data), *options.split()]
        who = {"user": self.account.pw_uid, "group": self.account.pw_gid} if self.account else {}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.directory, **who
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.configure()
        access = self.data / "pg_hba.conf"
        access.write_text(ACCESS)

    def configure(self, **settings: str | int) -> None:
        """Writes the configuration with the additional `settings`. It takes effect at the next
        start."""
        (self.data / "postgresql.conf").write_text(
            CONFIGURATION.format(
                directory=self.directory,
                authority=self.directory / "ca.pem",
                max_connections=self.max_connections,
            )
            + "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        )

    def use_certificate(self, **options: Any) -> None:
        """Installs a new server certificate. It takes effect after reload() or start()."""
        certificate, key = self.directory / "server.pem", self.directory / "server.key"
        self.certificate = self.authority.issue("postgres.test", **options)
        self.certificate.install(certificate, key)
        key.chmod(0o600)
        self._give_away(certificate)
        self._give_away(key)

    def _give_away(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _populate(self) -> None:
        self.create_database(self.database)
        self.execute("CREATE EXTENSION pg_stat_statements")
        for role, password in self.passwords.items():
            self.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        self.execute("GRANT pg_monitor TO monitor")

    def start(self) -> None:
        self.launch(
            [BINARIES / "postgres", "-D", self.data, "-p", str(self.port)],
            self._answers,
            user=self.account,
            environment={"HOME": str(self.directory)},
        )

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def restart(self) -> None:
        self.stop()
        self.start()

    def reload(self) -> None:
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs one statement as the superuser on a separate connection and returns the rows."""
        connection = psycopg2.connect(
            host=str(self.directory), port=self.port, user="postgres", dbname=database
        )
        with closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def execute_bytes(self, statement: bytes, database: str) -> None:
        """Runs a statement as bytes without an encoding."""
        connection = psycopg2.connect(
            host=str(self.directory), port=self.port, user="postgres", dbname=database
        )
        with closing(connection):
            connection.autocommit = True
            connection.set_client_encoding("SQL_ASCII")
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def create_database(self, name: str) -> None:
        self.execute(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def connect(
        self, role: str = "app", database: str = "", **options: Any
    ) -> psycopg2.extensions.connection:
        """Opens a separate TCP connection, by default with verified TLS."""
        return psycopg2.connect(
            **{
                "host": "127.0.0.1",
                "port": self.port,
                "user": role,
                "password": self.passwords[role],
                "dbname": database or self.database,
                "sslmode": "verify-full",
                "sslrootcert": str(self.authority.path),
                "connect_timeout": 10,
                **options,
            }
        )

    def hold(self, count: int, database: str = "", role: str = "app") -> None:
        """Opens `count` additional connections and keeps them open until release()."""
        for _ in range(count):
            self._held.append(self.connect(role, database))

    def release(self) -> None:
        """Closes the connections of hold(). When this returns, the server no longer counts them."""
        for connection in self._held:
            connection.close()
        self._held.clear()

    @contextmanager
    def held(self, count: int, database: str = "", role: str = "app") -> Iterator[None]:
        self.hold(count, database, role)
        try:
            yield
        finally:
            self.release()

    def change_password(self, role: str, password: str) -> None:
        """Changes the password and terminates the role's connections, so it must connect again."""
        self.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        )
        self.passwords[role] = password

    def refuse_archiving(self, refuse: bool = True) -> None:
        """Makes archive_command fail or succeed."""
        flag = self.directory / "refuse-archiving"
        flag.touch() if refuse else flag.unlink(missing_ok=True)

    def url(self, role: str = "monitor", database: str = "", **parameters: str) -> str:
        """Returns the URL for the configuration, without the password."""
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database or self.database}{query}"

    def restore(self) -> None:
        """Reverts the changes of a test, because other tests use this server too."""
        if self.running:
            self.thaw()
        else:
            self.kill()
            self.start()
        self.release()
        self.refuse_archiving(False)

    def close(self) -> None:
        self.release()
        super().close()
