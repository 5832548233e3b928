"""S3: hostile bucket lists."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator

from hostile.trick import Tls, Trick, answer

LARGE = 4 << 20  # bytes of a page, the maximum that is read


def entry(key: str = "k", size: str = "1", modified: str = "2020-01-01T00:00:00Z") -> str:
    return (
        f"<Contents><Key>{key}</Key><Size>{size}</Size>"
        f"<LastModified>{modified}</LastModified></Contents>"
    )


def page(entries: str, token: str = "") -> bytes:
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    return f"<ListBucketResult>{entries}{more if token else ''}</ListBucketResult>".encode()


def listing(pages: Callable[[], Iterator[bytes]]) -> Trick:
    """Responds to the requests of a connection with one page after the other."""

    def act(connection: socket.socket, _: Tls) -> None:
        for each in pages():
            if not connection.recv(8192):
                return
            connection.sendall(each)

    return Trick("backup", act)


def one(body: bytes, status: int = 200) -> Trick:
    return listing(lambda: iter([answer(body, status)]))


def same_token() -> Iterator[bytes]:
    return itertools.repeat(answer(page(entry(), "again")))


def new_tokens() -> Iterator[bytes]:
    """Sends far more objects per page than requested."""
    entries = entry() * ((LARGE - 1000) // len(entry()))
    return (answer(page(entries, str(number))) for number in itertools.count())


def without_end() -> Iterator[bytes]:
    """Sends endless text without a length, as fast as the client reads."""
    yield b"HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><Contents><Key>" + b"x" * (16 << 20)


def entities() -> bytes:
    names = "abcdefghij"
    definitions = [f'<!ENTITY {names[0]} "{"x" * 1000}">']
    definitions += [
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in itertools.pairwise(names)
    ]
    return f"<!DOCTYPE r [{''.join(definitions)}]>".encode() + page(entry(size=f"&{names[-1]};"))


# Used one after the other, one per connection. None of them is a backup.
ODD = [
    entry(modified="2999-12-31T23:59:59Z"),
    entry(modified="99999-01-01T00:00:00Z"),
    entry(modified="-1-01-01T00:00:00Z"),
    entry(modified="-1"),
    entry(size="99999999999999999999999999"),
    entry(size="-1"),
    entry(size=""),
    entry(key=""),
]
odd = itertools.cycle(answer(page(each)) for each in ODD)

TRICKS = {
    "s3-same-token": listing(same_token),
    "s3-new-tokens": listing(new_tokens),
    "s3-endless": listing(without_end),
    "s3-entities": one(entities()),
    "s3-deep": one(b"<ListBucketResult>" + b"<a>" * (LARGE // 3 - 10)),
    "s3-elements": one(page("<a/>" * (LARGE // 4 - 20))),
    "s3-odd-values": listing(lambda: iter([next(odd)])),
    "s3-error": one(b"<Error><Code>" + b"x" * (LARGE - 100) + b"</Code></Error>", 403),
}
