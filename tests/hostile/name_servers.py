"""DNS: servers that a probe of kind dns asks, and that names are resolved by."""

from __future__ import annotations

import itertools
import socket
import struct
import time

from hostile.trick import Answer, Asked, Trick

A, CNAME, MX = 1, 5, 15
LARGEST = 65_535
ASKED = b"\xc0\x0c"  # the name in the question, which comes behind the header
TRUNCATED = 0x0200
UDP_SEGMENT = 103  # linux/udp.h: the kernel makes many datagrams of what is sent at once


def reply(query: bytes, records: list[bytes], *, flags: int = 0, other: int = 0) -> bytes:
    """An answer to the question in `query`, and that alone; with `other`, of another id."""
    end = query.index(b"\0", 12) + 5
    number = int.from_bytes(query[:2], "big") ^ other
    head = struct.pack(">HHHHHH", number, 0x8180 | flags, 1, len(records), 0, 0)
    return head + query[12:end] + b"".join(records)


def record(data: bytes, kind: int, name: bytes = ASKED) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 0, len(data)) + data


def as_many(query: bytes, records: list[bytes]) -> list[bytes]:
    """Those of the records that fit into one answer."""
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
    """Never an answer."""


def pointers(asked: Asked) -> None:
    """A name that leads to itself."""
    at = len(reply(asked.query, []))
    itself = struct.pack(">H", 0xC000 | at)
    asked.send(reply(asked.query, [record(itself, CNAME, itself)]))


def other_ids(asked: Asked) -> None:
    """Answers to other questions, faster than they can be read."""
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
    """One leads to the next, and no end is within one answer."""
    chain = itertools.pairwise([ASKED, *map(alias, range(5000))])
    whole_over_tcp(asked, [record(after, CNAME, before) for before, after in chain])


def addresses(asked: Asked) -> None:
    """As many as fit, all different."""
    kind = kind_of(asked.query)
    front = b"" if kind == A else b"\xfd" + bytes(11)
    numbers = (struct.pack(">I", 0x7F010000 + number) for number in range(5000))
    whole_over_tcp(asked, [record(front + number, kind) for number in numbers])


def long_names(asked: Asked) -> None:
    """Servers of mail by the thousand, each by the longest name, which is there once."""
    name = (b"\x3f" + b"x" * 63) * 3 + b"\x20" + b"x" * 32 + b"\0"
    at = len(reply(asked.query, [])) + len(ASKED) + 10 + 2
    first = record(b"\0\1" + name, MX)
    others = record(b"\0\1" + struct.pack(">H", 0xC000 | at), MX)
    whole_over_tcp(asked, [first, *[others] * 5000])


def trickle(asked: Asked) -> None:
    """Truncated, so that it is asked again over TCP, where a byte comes at a time."""
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

# The same, where it is a probe of another kind that wants the address: of each trick's own name.
NAMES = {
    "names-pointers": named(pointers),
    "names-aliases": named(aliases),
    "names-addresses": named(addresses),
    "names-long-names": named(long_names),
}

# Those for which all other names have to wait too, as there is one name server for all.
LATE_NAMES = {
    "names-silence": named(silence),
    "names-other-ids": named(other_ids),
    "names-trickle": named(trickle),
}


def by_name(asked: Asked) -> None:
    """One name server for all names: a trick's, and whatever else is behind it."""
    size = asked.query[12]
    name = asked.query[13 : 13 + size].decode().lower()
    (NAMES | LATE_NAMES)[name].ask(asked)
