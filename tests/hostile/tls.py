"""TLS, for probes of certificates and for other probes that use TLS."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from hostile import openssl
from hostile.trick import Act, Tls, Trick, flood
from support.certificates import Authority, Certificate

# ---- handshakes ---------------------------------------------------------------------------------


def trickle(connection: socket.socket, tls: Tls) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = tls.context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(connection.recv(16384))
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        pass
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in outgoing.read():
        connection.sendall(bytes([byte]))
        time.sleep(0.005)


def alerts(connection: socket.socket, _: Tls) -> None:
    """Endless user_canceled alerts, which a client ignores."""
    flood(connection, b"", b"\x15\x03\x03\x00\x02\x01\x5a")


@cache
def long_chain(root: Authority) -> Certificate:
    """The longest chain that OpenSSL verifies. Only the leaf, which is verified last, is
    invalid."""
    above = root
    for number in range(97):
        above = Authority(root.directory, f"ca-{number}", above.certificate)
    return above.expired(common_name="hostile.test")


def chain(connection: socket.socket, tls: Tls) -> None:
    end = long_chain(tls.authority)
    Tls.context_of(end.path, end.key).wrap_socket(connection, server_side=True).recv(1)


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def contents(element: bytes) -> bytes:
    """Returns the content of a DER element."""
    size = element[1]
    return element[2 if size < 0x80 else 2 + (size & 0x7F) :]


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate(name_size: int, serial_size: int) -> bytes:
    """Returns a DER certificate with a name and a serial number of these lengths."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n")])
    now = datetime.datetime(2026, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(rsa_key().public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now.replace(year=2036))
        .sign(rsa_key(), hashes.SHA256())
    )
    common_name = b"\x06\x03\x55\x04\x03"  # the OID of the attribute, 2.5.4.3
    short = der(0x30, der(0x31, der(0x30, common_name + der(0x0C, b"n"))))
    long = der(0x30, der(0x31, der(0x30, common_name + der(0x0C, b"n" * name_size))))
    inner = contents(made.tbs_certificate_bytes)
    number = der(0x02, b"\x7f" * serial_size)
    inner = inner.replace(der(0x02, b"\x01"), number, 1).replace(short, long)
    behind = contents(made.public_bytes(serialization.Encoding.DER))[
        len(made.tbs_certificate_bytes) :
    ]
    return der(0x30, der(0x30, inner) + behind)  # the signature belongs to another certificate


def handshake(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def sized(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def hello(cipher: bytes, parameters: bytes, certificate: bytes) -> Act:
    """The server side of TLS 1.2 (RFC 5246) with an RSA cipher, up to the point at which the client
    must compute a secret. It costs the server almost nothing."""

    def act(connection: socket.socket, _: Tls) -> None:
        client_random = connection.recv(16384)[11:43]
        server_random = os.urandom(32)
        renegotiation = sized(b"\xff\x01\0\1\0")
        signature = rsa_key().sign(
            client_random + server_random + parameters, padding.PKCS1v15(), hashes.SHA256()
        )
        shown = len(certificate).to_bytes(3, "big") + certificate
        first = b"\x03\x03" + server_random + b"\0" + cipher + b"\0" + renegotiation
        flight = (
            handshake(2, first)
            + handshake(11, len(shown).to_bytes(3, "big") + shown)
            + handshake(12, parameters + b"\x04\x01" + sized(signature))
            + handshake(14, b"")
        )
        for begin in range(0, len(flight), 16384):
            connection.sendall(b"\x16\x03\x03" + sized(flight[begin : begin + 16384]))
        connection.recv(16384)

    return act


ECDHE_RSA_AES128_GCM, DHE_RSA_AES128_GCM = b"\xc0\x2f", b"\x00\x9e"
X25519 = b"\3\0\x1d\x20" + bytes(31) + b"\7"


def large_modulus(connection: socket.socket, tls: Tls) -> None:
    """A Diffie-Hellman exchange modulo a number of 10,000 bits, the maximum of OpenSSL."""
    modulus = b"\xff" * 1250
    parameters = sized(modulus) + sized(b"\2") + sized(b"\x55" * len(modulus))
    hello(DHE_RSA_AES128_GCM, parameters, certificate(1, 1))(connection, tls)


def large_modulus_postgres(connection: socket.socket, tls: Tls) -> None:
    connection.recv(8)
    connection.sendall(b"S")
    large_modulus(connection, tls)


def large_certificate(connection: socket.socket, tls: Tls) -> None:
    """A serial number of nearly 100 KB, the maximum of OpenSSL. Its decimal conversion is slow."""
    hello(ECDHE_RSA_AES128_GCM, X25519, certificate(3_000, 90_000))(connection, tls)


def starttls_lines(connection: socket.socket, _: Tls) -> None:
    connection.sendall(b"220-")
    while True:
        connection.sendall(b"x\r\n220-" * 1000)


# ---- after the handshake ------------------------------------------------------------------------


def after_handshake(do: Callable[[openssl.Connection], None], newest: int = 0) -> Act:
    """Returns an act that repeats `do` after the handshake instead of responding."""

    def act(connection: socket.socket, tls: Tls) -> None:
        with tls.accept(connection, newest) as secure:
            secure.read()
            while True:
                do(secure)

    return act


key_updates = after_handshake(openssl.Connection.update_keys)
tickets = after_handshake(openssl.Connection.send_ticket)
renegotiations = after_handshake(openssl.Connection.negotiate_again, openssl.TLS_1_2)

UNVERIFIED = {"tls": {"verify": False}}


def https(act: Act) -> Trick:
    return Trick("http", act, "https", "", UNVERIFIED)


def rediss(act: Act) -> Trick:
    return Trick("redis", act, "rediss", "", UNVERIFIED)


HANDSHAKES = {
    "tls-trickle": Trick("certificate", trickle),
    "tls-alerts": Trick("certificate", alerts),
    "tls-chain": Trick("certificate", chain),
    "tls-starttls-lines": Trick("certificate", starttls_lines, options={"starttls": "smtp"}),
}

COSTLY = {
    "tls-large-certificate": Trick("certificate", large_certificate),
    "tls-modulus": Trick("certificate", large_modulus),
    "tls-modulus-http": https(large_modulus),
    "tls-modulus-redis": rediss(large_modulus),
    "tls-modulus-pg": Trick(
        "postgres", large_modulus_postgres, "postgresql", "app?sslmode=require"
    ),
}

RECORDS = {
    "tls-key-updates": https(key_updates),
    "tls-key-updates-redis": rediss(key_updates),
    "tls-tickets": https(tickets),
    "tls-tickets-redis": rediss(tickets),
    "tls-renegotiations": https(renegotiations),
    "tls-renegotiations-redis": rediss(renegotiations),
}
