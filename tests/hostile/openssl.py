"""TLS servers that use libssl directly, for messages that Python's module ssl cannot send."""

from __future__ import annotations

import ctypes
import ctypes.util
import select
import socket
from functools import cache
from pathlib import Path

TLS_1_2 = 0x0303

_SET_MAX_PROTO_VERSION = 124  # of SSL_CTX_ctrl (openssl/ssl.h)
_PEM = 1
_UPDATE_REQUESTED = 1
_WANT_READ, _WANT_WRITE = 2, 3


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("ssl"))
    for name in ("TLS_server_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


class Connection:
    """The server side of one connection. OSError if the client rejects a message."""

    def __init__(self, on: socket.socket, certificate: Path, key: Path, newest: int = 0) -> None:
        ssl, self._on = _library(), on
        context = ctypes.c_void_p(ssl.SSL_CTX_new(ctypes.c_void_p(ssl.TLS_server_method())))
        ssl.SSL_CTX_use_certificate_chain_file(context, str(certificate).encode())
        ssl.SSL_CTX_use_PrivateKey_file(context, str(key).encode(), _PEM)
        ssl.SSL_CTX_ctrl(context, _SET_MAX_PROTO_VERSION, ctypes.c_long(newest), None)
        self._ssl = ctypes.c_void_p(ssl.SSL_new(context))
        ssl.SSL_CTX_free(context)
        ssl.SSL_set_fd(self._ssl, on.fileno())

    def __enter__(self) -> Connection:
        try:
            self._do("SSL_accept")
        except OSError:
            self._free()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._free()

    def _free(self) -> None:
        _library().SSL_free(self._ssl)

    def _do(self, name: str, *arguments: object) -> None:
        if getattr(_library(), name)(self._ssl, *arguments) <= 0:
            raise OSError(name)

    def read(self) -> None:
        self._do("SSL_read", ctypes.create_string_buffer(4096), 4096)

    def update_keys(self) -> None:
        """TLS 1.3: updates the keys and requests a key update from the client."""
        self._do("SSL_key_update", _UPDATE_REQUESTED)
        self._do("SSL_do_handshake")

    def send_ticket(self) -> None:
        """TLS 1.3: sends another session ticket."""
        self._do("SSL_new_session_ticket")
        self._do("SSL_do_handshake")

    def negotiate_again(self) -> None:
        """TLS 1.2: renegotiates with a full handshake."""
        library = _library()
        self._on.setblocking(False)  # SSL_read performs the handshake and then continues to read
        self._do("SSL_renegotiate")
        self._do("SSL_do_handshake")  # requests it
        while library.SSL_renegotiate_pending(self._ssl):
            select.select([self._on], [], [], 1)
            code = library.SSL_read(self._ssl, ctypes.create_string_buffer(4096), 4096)
            if library.SSL_get_error(self._ssl, code) not in (0, _WANT_READ, _WANT_WRITE):
                raise OSError("SSL_read")
