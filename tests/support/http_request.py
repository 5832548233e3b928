"""One HTTP request to a server on this machine."""

from __future__ import annotations

import http.client
from collections.abc import Mapping


def request(
    port: int,
    method: str,
    path: str,
    body: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10,
) -> tuple[int, bytes]:
    """Returns the status and the body of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
