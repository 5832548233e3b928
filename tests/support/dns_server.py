"""A DNS server over UDP and TCP with scripted responses: valid, late, missing and hostile."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from support.process import free_port
from support.serving import serve


@dataclass
class Answer:
    """The response to queries for a name: records by type, for example {"A": ["127.0.0.1"]}."""

    records: dict[str, list[str]]
    ttl: int = 1
    delay: float = 0  # seconds
    rcode: str = "NOERROR"
    silent: bool = False
    truncated: bool = False  # over UDP respond only with the TC bit: retry over TCP
    raw: bytes | None = None  # send these bytes after the query's id


class DnsServer:
    """Responds to each query from a separate thread. Names without a script do not exist."""

    def __init__(self) -> None:
        self.port = free_port()
        self.names: dict[str, Answer] = {}
        self.asked: Counter[tuple[str, str]] = Counter()  # (name, type) -> count of queries
        self._ended = threading.Event()
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve_udp, daemon=True).start()
        serve(self._tcp, self._converse)

    @property
    def address(self) -> str:
        """The address in the format of the configuration's dns: {servers: [...]}."""
        return f"127.0.0.1:{self.port}"

    def set(self, name: str, address: str = "127.0.0.1", **options: object) -> None:
        """Scripts a name with one address. `options` are fields of Answer, for example a delay."""
        kind = "AAAA" if ":" in address else "A"
        self.names[name.lower()] = Answer({kind: [address]}, **options)  # type: ignore[arg-type]

    def set_records(self, name: str, records: dict[str, list[str]], **options: object) -> None:
        self.names[name.lower()] = Answer(records, **options)  # type: ignore[arg-type]

    def questions(self, name: str) -> int:
        return sum(count for (asked, _), count in self.asked.items() if asked == name.lower())

    def close(self) -> None:
        self._ended.set()
        for listener in (self._udp, self._tcp):
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
            except OSError:
                pass
            listener.close()

    def _serve_udp(self) -> None:
        while True:
            try:
                query, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            if not query:
                return

            def answer(query: bytes = query, peer: tuple[str, int] = peer) -> None:
                if reply := self._reply(query, udp=True):
                    try:
                        self._udp.sendto(reply, peer)
                    except OSError:
                        pass  # closed in the meantime

            threading.Thread(target=answer, daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while len(head := stream.read(2)) == 2:
                    if reply := self._reply(stream.read(struct.unpack("!H", head)[0]), udp=False):
                        connection.sendall(struct.pack("!H", len(reply)) + reply)
            except OSError:
                pass

    def _reply(self, query: bytes, *, udp: bool) -> bytes | None:
        question = dns.message.from_wire(query)
        asked = question.question[0]
        name = asked.name.to_text(omit_final_dot=True).lower()
        self.asked[name, dns.rdatatype.to_text(asked.rdtype)] += 1
        answer = self.names.get(name)
        reply = dns.message.make_response(question, recursion_available=True)
        if answer is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return reply.to_wire()
        if answer.silent or (answer.delay and self._ended.wait(answer.delay)):
            return None
        if answer.raw is not None:
            return query[:2] + answer.raw
        reply.set_rcode(dns.rcode.from_text(answer.rcode))
        if answer.truncated and udp:
            reply.flags |= dns.flags.TC
            return reply.to_wire()
        kind = dns.rdatatype.to_text(asked.rdtype)
        # An alias is the response to a query of any type.
        for each in (kind, "CNAME") if kind != "CNAME" else (kind,):
            if each in answer.records:
                records = dns.rrset.from_text(
                    asked.name, answer.ttl, "IN", each, *answer.records[each]
                )
                reply.answer.append(records)
        return reply.to_wire(max_size=65535 if not udp else 4096)
