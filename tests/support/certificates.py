"""A certificate authority for tests, and certificates of every kind, good and bad."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
# The names of the servers, and the names that docs/install.md uses.
LOCAL_NAMES = ("localhost", "127.0.0.1", "*.shop.example")
SHA256 = hashes.SHA256()
ORGANIZATIONS = ("vitalsd tests",)


@dataclass(frozen=True)
class Certificate:
    """The PEM files of a certificate with its chain, and of its key."""

    path: Path
    key: Path
    not_before: datetime.datetime
    not_after: datetime.datetime
    chain: tuple[x509.Certificate, ...]
    private_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def expiry(self) -> float:
        """The end of the validity in Unix time."""
        return self.not_after.timestamp()

    @property
    def chain_info(self) -> dict[str, str]:
        """The labels of probe_ssl_last_chain_info."""
        leaf = self.chain[0]
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        serial = leaf.serial_number
        return {
            "fingerprint_sha256": leaf.fingerprint(SHA256).hex(),
            "issuer": leaf.issuer.rfc4514_string(),
            "subject": leaf.subject.rfc4514_string(),
            "subjectalternative": ",".join(names.get_values_for_type(x509.DNSName)),
            "serialnumber": serial.to_bytes(serial.bit_length() // 8 + 1, "big").lstrip(b"\0").hex(),
        }

    def install(self, path: Path, key: Path) -> None:
        """Copies the files to the paths that a server reads."""
        path.write_bytes(self.path.read_bytes())
        key.write_bytes(self.key.read_bytes())


def _name(common_name: str | None, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    if common_name is not None:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """Issues certificates into a directory. Another authority can issue this authority's
    certificate."""

    def __init__(
        self,
        directory: Path,
        common_name: str = "test-ca",
        issuer: Certificate | None = None,
        lifetime: datetime.timedelta = 365 * DAY,
        age: datetime.timedelta = datetime.timedelta(0),
    ) -> None:
        self.directory = directory
        self.certificate = self._make(common_name, (), age, lifetime, issuer=issuer, is_ca=True)

    @property
    def path(self) -> Path:
        """The PEM file that clients trust."""
        return self.certificate.path

    def issue(
        self,
        common_name: str | None = "localhost",
        names: Sequence[str] = LOCAL_NAMES,
        *,
        lifetime: datetime.timedelta = 90 * DAY,
        age: datetime.timedelta = 365 * DAY,
        self_signed: bool = False,
        client: bool = False,
        organizations: Sequence[str] = ORGANIZATIONS,
        rsa_bits: int = 0,
        digest: hashes.HashAlgorithm = SHA256,
    ) -> Certificate:
        """Issues a leaf certificate that is valid from `age` ago until `lifetime` from now, which
        may be negative. Kubernetes uses the `organizations` of a client as its groups. With
        `rsa_bits`, its key is an RSA key."""
        return self._make(
            common_name,
            names,
            age,
            lifetime,
            issuer=None if self_signed else self.certificate,
            client=client,
            organizations=organizations,
            rsa_bits=rsa_bits,
            digest=digest,
        )

    def expired(self, **options: object) -> Certificate:
        return self.issue(lifetime=-2 * DAY, age=90 * DAY, **options)  # type: ignore[arg-type]

    def _make(
        self,
        common_name: str | None,
        names: Sequence[str],
        age: datetime.timedelta,
        lifetime: datetime.timedelta,
        *,
        issuer: Certificate | None,
        is_ca: bool = False,
        client: bool = False,
        organizations: Sequence[str] = ORGANIZATIONS,
        rsa_bits: int = 0,
        digest: hashes.HashAlgorithm = SHA256,
    ) -> Certificate:
        key = (
            rsa.generate_private_key(65537, rsa_bits)
            if rsa_bits
            else ec.generate_private_key(ec.SECP256R1())
        )
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        subject = _name(common_name, organizations)
        signer = issuer.chain[0] if issuer else None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer.subject if signer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - age - datetime.timedelta(minutes=1))
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
        if is_ca:
            usage = x509.KeyUsage(
                False, False, False, False, False, True, True, False, False
            )  # allowed to sign certificates and revocation lists
            builder = builder.add_extension(usage, critical=True)
        else:
            purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            alternatives = x509.SubjectAlternativeName([_san(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        made = builder.sign(issuer.private_key if issuer else key, digest)
        # A server must not send the root certificate in its chain.
        above = tuple(c for c in issuer.chain if c.issuer != c.subject) if issuer else ()

        stem = f"{common_name or 'nameless'}-{made.serial_number:x}"[:40].replace("*", "star")
        path, key_path = self.directory / f"{stem}.pem", self.directory / f"{stem}.key"
        chain = (made, *above)
        pem = serialization.Encoding.PEM
        path.write_bytes(b"".join(each.public_bytes(pem) for each in chain))
        key_path.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        key_path.chmod(0o600)
        return Certificate(
            path,
            key_path,
            now - age - datetime.timedelta(minutes=1),
            now + lifetime,
            chain,
            key,
        )
