"""DNS: servers for probes of kind dns and for the name resolution of other probes."""

from __future__ import annotations

import itertools
import socket
import struct
import time

from hostile.trick import Answer, Asked, Trick

A, CNAME, MX = 1, 5, 15
LARGEST = 65_535
ASKED = b"\xc0\x0c"  # the name in the question, which follows the header
TRUNCATED = 0x0200
UDP_SEGMENT = 103  # linux/udp.h: the kernel splits one send into many datagrams


def reply(query: bytes, records: list[bytes], *, flags: int = 0, other: int = 0) -> bytes:
    """Returns a response to the question in `query`, with another id if `other` is set."""
    end = query.index(b"\0", 12) + 5
    number = int.from_bytes(query[:2], "big") ^ other
    head = struct.pack(">HHHHHH", number, 0x8180 | flags, 1, len(records), 0, 0)
    return head + query[12:end] + b"".join(records)


def record(data: bytes, kind: int, name: bytes = ASKED) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 0, len(data)) + data


def as_many(query: bytes, records: list[bytes]) -> list[bytes]:
    """Returns the records that fit into one response."""
    left = LARGEST - len(query)
    kept = []
    for each in records:
        left -= len(each)
        if left < 0:
            break
        kept.append(each)
    return kept


def kind_of(query: bytes) -> int:
    return int.from_bytes(query[query.index(b"\0", 12) + 1 :][:2], "big")


def whole_over_tcp(asked: Asked, records: list[bytes]) -> None:
    if asked.tcp:
        asked.send(reply(asked.query, as_many(asked.query, records)))
    else:
        asked.send(reply(asked.query, [], flags=TRUNCATED))


def silence(_: Asked) -> None:
    """Never responds."""


def pointers(asked: Asked) -> None:
    """A name that points to itself."""
    at = len(reply(asked.query, []))
    itself = struct.pack(">H", 0xC000 | at)
    asked.send(reply(asked.query, [record(itself, CNAME, itself)]))


def other_ids(asked: Asked) -> None:
    """Sends responses to other questions, faster than the client can read them."""
    other = reply(asked.query, [record(bytes(4), A)], other=1)
    if asked.tcp:
        many = (len(other).to_bytes(2, "big") + other) * 500
    else:
        asked.connection.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(other))
        many = other * min(64, 65_000 // len(other))
    while True:
        asked.connection.sendall(many)


def alias(number: int) -> bytes:
    text = b"%x" % number
    return bytes([len(text)]) + text + ASKED


def aliases(asked: Asked) -> None:
    """A chain of aliases that does not end within one response."""
    chain = itertools.pairwise([ASKED, *map(alias, range(5000))])
    whole_over_tcp(asked, [record(after, CNAME, before) for before, after in chain])


def addresses(asked: Asked) -> None:
    """As many different records as fit."""
    kind = kind_of(asked.query)
    front = b"" if kind == A else b"\xfd" + bytes(11)
    numbers = (struct.pack(">I", 0x7F010000 + number) for number in range(5000))
    whole_over_tcp(asked, [record(front + number, kind) for number in numbers])


def long_names(asked: Asked) -> None:
    """Thousands of mail servers with the longest possible name, which is stored once."""
    name = (b"\x3f" + b"x" * 63) * 3 + b"\x20" + b"x" * 32 + b"\0"
    at = len(reply(asked.query, [])) + len(ASKED) + 10 + 2
    first = record(b"\0\1" + name, MX)
    others = record(b"\0\1" + struct.pack(">H", 0xC000 | at), MX)
    whole_over_tcp(asked, [first, *[others] * 5000])


def trickle(asked: Asked) -> None:
    """A truncated response. After the retry over TCP, one byte arrives at a time."""
    if not asked.tcp:
        asked.send(reply(asked.query, [], flags=TRUNCATED))
        return
    whole = reply(asked.query, as_many(asked.query, [record(bytes(4), A)] * 5000))
    asked.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in len(whole).to_bytes(2, "big") + whole:
        asked.connection.sendall(bytes([byte]))
        time.sleep(0.005)


def dns(answer: Answer, kind: str = "A", protocol: str = "udp", **options: object) -> Trick:
    return Trick("dns", options={"type": kind, "protocol": protocol, **options}, answer=answer)


def named(answer: Answer) -> Trick:
    return Trick("http", scheme="http", answer=answer)


TRICKS = {
    "dns-silence": dns(silence),
    "dns-pointers": dns(pointers),
    "dns-other-ids": dns(other_ids),
    "dns-other-ids-tcp": dns(other_ids, protocol="tcp"),
    "dns-aliases": dns(aliases),
    "dns-addresses": dns(addresses, answers=["192.0.2.1"]),
    "dns-long-names": dns(long_names, "MX", answers=["0 none"]),
    "dns-trickle": dns(trickle),
}

# The same tricks for the name resolution of other kinds. Each trick has its own name.
NAMES = {
    "names-pointers": named(pointers),
    "names-aliases": named(aliases),
    "names-addresses": named(addresses),
    "names-long-names": named(long_names),
}

# Tricks that delay all other names too, because there is one name server for all.
LATE_NAMES = {
    "names-silence": named(silence),
    "names-other-ids": named(other_ids),
    "names-trickle": named(trickle),
}


def by_name(asked: Asked) -> None:
    """One name server for all names: those of the trick and all others."""
    size = asked.query[12]
    name = asked.query[13 : 13 + size].decode().lower()
    (NAMES | LATE_NAMES)[name].ask(asked)
