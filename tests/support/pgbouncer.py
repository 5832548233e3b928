"""A PgBouncer in transaction mode, which shares one connection to a PostgreSQL server between all
its clients."""

from __future__ import annotations

from contextlib import closing

import psycopg2

from support.postgres import Postgres
from support.postgres_versions import VersionedPostgres
from support.process import Server, account, free_port

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = 1
"""


class PgBouncer(Server):
    name = "pgbouncer"

    def __init__(self, server: Postgres | VersionedPostgres, role: str) -> None:
        super().__init__()
        self.port = free_port()
        self.server, self.role, self.password = server, role, server.passwords[role]
        configuration = self.directory / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(server=server.port, port=self.port, directory=self.directory)
        )
        (self.directory / "users").write_text(f'"{role}" "{self.password}"\n')
        self.launch(["/usr/sbin/pgbouncer", configuration], self._answers, user=account("postgres"))

    def url(self) -> str:
        return (
            f"postgresql://{self.role}@127.0.0.1:{self.port}/{self.server.database}?sslmode=disable"
        )

    def ask(self, statement: str) -> str:
        """Returns the result of an application's query on the shared connection."""
        with closing(
            psycopg2.connect(
                host="127.0.0.1",
                port=self.port,
                user=self.role,
                password=self.password,
                dbname=self.server.database,
            )
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                row = cursor.fetchone()
        assert row is not None
        return str(row[0])

    def _answers(self) -> bool:
        try:
            return self.ask("SELECT 1") == "1"
        except psycopg2.OperationalError:
            return False
