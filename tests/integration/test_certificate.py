"""Kind certificate: dates of valid and invalid certificates of endpoints and files."""

from __future__ import annotations

import datetime
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from support.certificates import DAY, Authority, Certificate
from support.nginx import Nginx
from support.postgres import Postgres
from support.process import free_port
from support.vitalsd import Vitalsd

pytestmark = pytest.mark.threads

Daemon = Callable[..., Vitalsd]

QUICK = {"interval": "300ms", "timeout": "250ms"}


def endpoint(name: str, port: int, **options: object) -> dict:
    return {"name": name, "kind": "certificate", "endpoint": f"127.0.0.1:{port}", **options}


def errors(daemon: Vitalsd) -> dict[str, str]:
    """Returns the errors of the last runs by probe, from the status page."""
    return {row["name"]: row.get("error", "") for row in daemon.status()["probes"]}


# ---- endpoints ----------------------------------------------------------------------------------


def test_good_and_bad_endpoints(vitalsd: Daemon, nginx: Nginx, certificates: Authority) -> None:
    """The date of a certificate that fails verification is published, and so is the error."""
    trusted = {"tls": {"ca": str(certificates.path)}}
    shown: dict[str, Certificate] = {
        "good": certificates.issue("good.test"),
        "soon": certificates.issue("soon.test", lifetime=10 * DAY),
        "expired": certificates.expired(common_name="expired.test"),
        "not-yet-valid": certificates.issue("early.test", age=-2 * DAY),
        "self-signed": certificates.issue("self.test", self_signed=True),
        "wrong-host": certificates.issue("other.test", ["other.test"]),
    }
    ports = {name: nginx.serve_tls(name, each) for name, each in shown.items()}
    daemon = vitalsd(
        [endpoint(name, port, **trusted) for name, port in ports.items()]
        + [
            endpoint("unknown-ca", ports["good"]),
            endpoint("unverified", ports["expired"], tls={"verify": False}),
            endpoint("no-tls", nginx.port, **trusted),
        ],
        interval="10s",
    )
    shown |= {"unknown-ca": shown["good"], "unverified": shown["expired"]}
    ports |= {"unknown-ca": ports["good"], "unverified": ports["expired"]}
    for probe, certificate in shown.items():
        (sample,) = daemon.samples("cert_expiry_timestamp", probe=probe)
        assert sample.value == certificate.expiry
        assert sample.labels["source"] == f"127.0.0.1:{ports[probe]}"
        begin = daemon.value("cert_not_before_timestamp", probe=probe)
        assert begin == certificate.not_before.timestamp()
    (sample,) = daemon.samples("cert_expiry_timestamp", probe="good")
    assert sample.labels["cn"] == "good.test"
    (info,) = daemon.samples("probe_ssl_last_chain_info", probe="good")
    assert info.labels.items() >= shown["good"].chain_info.items()
    expiry = daemon.value("probe_ssl_earliest_cert_expiry", probe="expired")
    assert expiry == shown["expired"].expiry

    faults = {
        "expired": "expired",
        "not-yet-valid": "not_yet_valid",
        "self-signed": "self_signed",
        "wrong-host": "wrong_host",
        "unknown-ca": "untrusted",
    }
    for probe, fault in faults.items():
        assert daemon.value("cert_verified", probe=probe) == 0
        (sample,) = daemon.samples("cert_verify_fault", probe=probe)
        assert sample.labels["fault"] == fault
        daemon.check_reason(probe, "mismatch")
        assert errors(daemon)[probe].startswith("certificate verification failed: ")
    for probe in ("good", "soon"):
        assert daemon.value("cert_verified", probe=probe) == 1
        assert daemon.absent("cert_verify_fault", probe=probe)
    daemon.wait_ok("unverified")
    assert daemon.absent("cert_verified", probe="unverified")
    daemon.check_reason("no-tls", "tls")

    statuses = {"good": 0, "soon": 1, "expired": 2, "unverified": 2}
    for probe, status in statuses.items():
        assert daemon.value("vitalsd_check_status", probe=probe, check="expires_in") == status
    for probe in statuses | faults:
        begun = 2 if probe == "not-yet-valid" else 0
        assert daemon.value("vitalsd_check_status", probe=probe, check="not_yet_valid") == begun
        assert daemon.value("vitalsd_check_status", probe=probe, check="weak") == 0


def test_a_chain_that_ends_sooner_than_its_leaf(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, tmp_path: Path
) -> None:
    middle = Authority(tmp_path, "intermediate", certificates.certificate, lifetime=200 * DAY)
    leaf = middle.issue("leaf.test", lifetime=700 * DAY)
    port = nginx.serve_tls("chain", leaf)
    daemon = vitalsd([endpoint("chain", port, tls={"ca": str(certificates.path)})])
    daemon.wait_ok("chain")
    assert daemon.value("cert_expiry_timestamp") == leaf.expiry
    assert daemon.value("cert_chain_expiry_timestamp") == middle.certificate.expiry
    last = daemon.value("probe_ssl_last_chain_expiry_timestamp_seconds")
    assert last == middle.certificate.expiry


def test_an_intermediate_that_is_about_to_expire(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority, tmp_path: Path
) -> None:
    """The check reads the verified chain; the same chain without verification has no such date."""
    middle = Authority(
        tmp_path, "intermediate", certificates.certificate, lifetime=5 * DAY, age=360 * DAY
    )
    leaf = middle.issue("leaf.test", lifetime=700 * DAY)
    # Its leaves expire even earlier, and their own thresholds are hours.
    short = middle.issue("short.test", lifetime=2 * DAY, age=1 * DAY)
    port = nginx.serve_tls("expiring", leaf)
    ca = {"ca": str(certificates.path)}
    trusted = endpoint("trusted", port, tls=ca)
    below = endpoint("below", nginx.serve_tls("short", short), tls=ca)
    daemon = vitalsd([trusted, below, endpoint("unverified", port, tls={"verify": False})])
    daemon.wait_ok("trusted")
    daemon.wait_ok("unverified")
    name = "probe_ssl_last_chain_expiry_timestamp_seconds"
    assert daemon.value(name, probe="trusted") == middle.certificate.expiry
    begin = "probe_ssl_last_chain_not_before_timestamp_seconds"
    assert daemon.value(begin, probe="trusted") == middle.certificate.not_before.timestamp()
    assert daemon.absent(name, probe="unverified")
    assert daemon.value("vitalsd_check_status", probe="trusted", check="expires_in") == 2
    assert daemon.value("vitalsd_check_status", probe="unverified", check="expires_in") == 0
    daemon.wait_ok("below")
    assert daemon.value("vitalsd_check_status", probe="below", check="expires_in") == 2
    (cipher,) = daemon.samples("probe_tls_cipher_info", probe="trusted")
    assert cipher.labels["cipher"].startswith("TLS_")


def test_a_certificate_with_a_short_lifetime(
    vitalsd: Daemon, nginx: Nginx, certificates: Authority
) -> None:
    """A certificate of 48 hours is renewed with hours left, so the threshold is a share of its life."""
    lives = {"fresh": 40, "due": 10, "overdue": 3}  # hours left of 48
    ports = {}
    for name, left in lives.items():
        issued = certificates.issue(
            f"{name}.test",
            lifetime=datetime.timedelta(hours=left),
            age=datetime.timedelta(hours=48 - left),
        )
        ports[name] = nginx.serve_tls(name, issued)
    daemon = vitalsd([endpoint(name, port, tls={"verify": False}) for name, port in ports.items()])
    for name, verdict in (("fresh", 0), ("due", 1), ("overdue", 2)):
        daemon.wait_ok(name)
        assert daemon.value("vitalsd_check_status", probe=name, check="expires_in") == verdict


def test_a_renewal_and_an_outage(vitalsd: Daemon, nginx: Nginx, certificates: Authority) -> None:
    """The date of a certificate is kept while the server is unreachable."""
    first, second = certificates.issue(lifetime=5 * DAY), certificates.issue(lifetime=60 * DAY)
    port = nginx.serve_tls("renewed", first)
    trusted = {"tls": {"ca": str(certificates.path)}}
    daemon = vitalsd([endpoint("renewed", port, **trusted)], **QUICK)
    daemon.wait_for("cert_expiry_timestamp", first.expiry)
    assert daemon.value("vitalsd_check_status", check="expires_in") == 2
    nginx.serve_tls("renewed", second)
    daemon.wait_for("cert_expiry_timestamp", second.expiry)
    daemon.wait_for("vitalsd_check_status", 0, check="expires_in")
    nginx.stop()
    daemon.wait_failed("renewed", "connect")
    daemon.wait_for("cert_verified", None)  # a reading, removed after the second failed run
    assert daemon.value("cert_expiry_timestamp") == second.expiry
    nginx.start()
    daemon.wait_ok("renewed")


# ---- STARTTLS -----------------------------------------------------------------------------------


def test_postgres_by_starttls(vitalsd: Daemon, postgres: Postgres) -> None:
    trusted = {"tls": {"ca": str(postgres.authority.path)}}
    daemon = vitalsd(
        [
            endpoint("asked", postgres.port, starttls="postgres", **trusted),
            endpoint("not-asked", postgres.port, **trusted),
        ]
    )
    (sample,) = daemon.samples("cert_expiry_timestamp", probe="asked")
    assert sample.labels["cn"] == "postgres.test"
    assert sample.value == postgres.certificate.expiry
    assert daemon.value("cert_verified", probe="asked") == 1
    assert set(daemon.failures("not-asked")) <= {"tls", "timeout"}
    assert daemon.value("probe_success", probe="not-asked") == 0


# The dialogue before TLS: the server's greeting, then each request and its response.
DIALOGUES = {
    "smtp": (
        "220 mail.test ESMTP",
        ("EHLO ", "250-mail.test\r\n250 STARTTLS"),
        ("STARTTLS", "220 go ahead"),
    ),
    "ftp": ("220-welcome\r\n220 ready", ("AUTH TLS", "234 go ahead")),
    "imap": ("* OK ready", ("a STARTTLS", "a OK go ahead")),
    "pop3": ("+OK ready", ("STLS", "+OK go ahead")),
}


class Server:
    """A server that sends its lines, if any, and then uses TLS, one connection after the other. It
    also uses certificates that current servers refuse."""

    def __init__(self, certificate: Certificate, greeting: str = "", *exchanges: tuple[str, str]):
        self.lines = [("", greeting), *exchanges] if greeting else []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("DEFAULT@SECLEVEL=0")
        self.context.load_cert_chain(certificate.path, certificate.key)
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        for question, reply in self.lines:
            if question and not connection.recv(1024).decode().startswith(question):
                return
            connection.sendall(f"{reply}\r\n".encode())
        with self.context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)


def test_starttls(vitalsd: Daemon, certificates: Authority) -> None:
    certificate = certificates.issue("mail.test")
    trusted = {"tls": {"ca": str(certificates.path)}}
    with ExitStack() as stack:
        servers = {
            protocol: stack.enter_context(closing(Server(certificate, *lines)))
            for protocol, lines in DIALOGUES.items()
        }
        refusal = ("220 old.test", ("EHLO ", "250 old.test"), ("STARTTLS", "502"))
        unable = stack.enter_context(closing(Server(certificate, *refusal)))
        daemon = vitalsd(
            [
                endpoint(protocol, server.port, starttls=protocol, **trusted)
                for protocol, server in servers.items()
            ]
            + [endpoint("unable", unable.port, starttls="smtp", **trusted)]
        )
        for protocol in servers:
            daemon.wait_ok(protocol)
            assert daemon.value("cert_expiry_timestamp", probe=protocol) == certificate.expiry
        daemon.check_reason("unable", "mismatch")
        assert errors(daemon)["unable"] == "unexpected response to STARTTLS: '502'"


# ---- weak keys and signatures -------------------------------------------------------------------


def test_weak_certificates(vitalsd: Daemon, certificates: Authority) -> None:
    shown = {
        "strong": (certificates.issue("strong.test"), ""),
        "key": (certificates.issue("key.test", rsa_bits=1024), "RSA key of 1024 bits"),
        "signature": (certificates.issue("old.test", digest=hashes.SHA1()), "signed with SHA-1"),
    }
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(closing(Server(certificate))).port
            for name, (certificate, _) in shown.items()
        }
        trusted = {"tls": {"ca": str(certificates.path)}}
        daemon = vitalsd([endpoint(name, port, **trusted) for name, port in ports.items()])
        for name, (certificate, weakness) in shown.items():
            daemon.wait_for("cert_expiry_timestamp", certificate.expiry, probe=name)
            status = daemon.value("vitalsd_check_status", probe=name, check="weak")
            assert status == (1 if weakness else 0)
            checks = next(row["checks"] for row in daemon.status()["probes"] if row["name"] == name)
            (check,) = [each for each in checks if each["name"] == "weak"]
            assert weakness in check.get("object", "")
            (version,) = daemon.samples("probe_tls_version_info", probe=name)
            assert version.labels["version"] == "TLS 1.3"
            (cipher,) = daemon.samples("probe_tls_cipher_info", probe=name)
            assert cipher.labels["cipher"] == "TLS_AES_256_GCM_SHA384"


# ---- files --------------------------------------------------------------------------------------


def test_files(vitalsd: Daemon, certificates: Authority, tmp_path: Path) -> None:
    """An invalid file affects no other. Of several certificates with one name in a file, the
    earliest date counts."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    good, other = certificates.issue("good.test"), certificates.issue("other.test")
    earlier = certificates.issue("good.test", lifetime=3 * DAY)
    (folder / "good.pem").write_bytes(good.path.read_bytes())
    several = b"".join(each.path.read_bytes() for each in (good, earlier, other))
    (folder / "several.pem").write_bytes(several + good.key.read_bytes())
    (folder / "nameless.pem").write_bytes(certificates.issue(None).path.read_bytes())
    (folder / "torn.pem").write_bytes(good.path.read_bytes()[:300])
    (folder / "text.pem").write_text("no certificate at all\n")
    (folder / "folder.pem").mkdir()
    (folder / "dangling.pem").symlink_to("nowhere")
    secret = "".join(good.key.read_text().splitlines()[1:-1])
    daemon = vitalsd(
        [
            {
                "name": "files",
                "kind": "certificate",
                "files": [f"{folder}/*.pem", f"{folder}/missing.crt"],
            }
        ],
        secrets=[secret, secret[:40]],
        **QUICK,
    )

    def seen() -> set[tuple[str, str, float]]:
        return {
            (Path(sample.labels["source"]).name, sample.labels["cn"], sample.value)
            for sample in daemon.samples("cert_expiry_timestamp")
        }

    nameless = daemon.samples("cert_expiry_timestamp", source=f"{folder}/nameless.pem")
    assert [sample.labels["cn"] for sample in nameless] == ["localhost"]  # its first SAN
    whole = {
        ("good.pem", "good.test", good.expiry),
        ("several.pem", "good.test", earlier.expiry),
        ("several.pem", "other.test", other.expiry),
        ("nameless.pem", "localhost", nameless[0].value),
    }
    assert seen() == whole
    assert daemon.value("vitalsd_probe_parts", state="ok") == 3
    bad = ["torn.pem", "text.pem", "folder.pem", "dangling.pem", "missing.crt"]
    assert daemon.value("vitalsd_probe_parts", state="failed") == len(bad)
    assert daemon.value("probe_success", probe="files") == 0
    assert errors(daemon)["files"].endswith("(and 4 more)")
    assert daemon.value("vitalsd_check_status", check="expires_in") == 2

    for name in bad[:2]:
        (folder / name).write_bytes(other.path.read_bytes())
    (folder / "folder.pem").rmdir()
    (folder / "dangling.pem").unlink()
    (folder / "several.pem").unlink()
    (folder / "missing.crt").write_bytes(other.path.read_bytes())
    daemon.wait_ok("files")
    repaired = {(name, "other.test", other.expiry) for name in (*bad[:2], "missing.crt")}
    assert seen() == {row for row in whole if row[0] != "several.pem"} | repaired


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def test_formats_of_files(vitalsd: Daemon, certificates: Authority, tmp_path: Path) -> None:
    """Files as OpenSSL writes them. For a file without a certificate, the error says what it is."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    made = certificates.issue("shop.test")
    pem, key = made.path, made.key
    pkcs7 = ("crl2pkcs7", "-nocrl", "-certfile", pem, "-certfile", certificates.path)
    openssl("x509", "-in", pem, "-outform", "DER", "-out", folder / "good.der")
    openssl("x509", "-in", pem, "-text", "-out", folder / "good-text.pem")
    openssl(*pkcs7, "-out", folder / "good.p7b")
    openssl(*pkcs7, "-outform", "DER", "-out", folder / "good-der.p7b")
    good = {path.name for path in folder.iterdir()}
    request = ("req", "-new", "-key", key, "-subj", "/CN=shop.test")
    openssl(*request, "-out", folder / "request.pem")
    openssl(*request, "-outform", "DER", "-out", folder / "request.der")
    pkcs12 = ("pkcs12", "-export", "-in", pem, "-inkey", key, "-passout", "pass:swordfish")
    openssl(*pkcs12, "-out", folder / "store.p12")
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-out", folder / "key.pem")
    openssl(
        *("pkcs8", "-topk8", "-in", key, "-outform", "DER", "-passout", "pass:swordfish"),
        *("-out", folder / "encrypted-key.der"),
    )
    openssl("pkey", "-in", key, "-pubout", "-out", folder / "public.pem")
    (folder / "windows.pem").write_text(pem.read_text(), "utf-16")
    (folder / "empty.pem").touch()
    expected = {
        "request.pem": "signing request",
        "request.der": "signing request",
        "store.p12": "PKCS#12",
        "key.pem": "private key",
        "encrypted-key.der": "private key",
        "public.pem": "public key",
        "windows.pem": "UTF-16",
        "empty.pem": "is empty",
    }
    secret = "".join(key.read_text().splitlines()[1:-1])
    daemon = vitalsd(
        [
            {"name": path.name, "kind": "certificate", "files": [str(path)]}
            for path in folder.iterdir()
        ],
        secrets=[secret, secret[:40]],
    )
    for name in good:
        daemon.wait_ok(name)
        assert daemon.value("cert_expiry_timestamp", probe=name, cn="shop.test") == made.expiry
    root = daemon.samples("cert_expiry_timestamp", cn="test-ca")
    assert {sample.labels["probe"] for sample in root} == {"good.p7b", "good-der.p7b"}
    for name, words in expected.items():
        daemon.wait_failed(name, "mismatch")
        assert words in errors(daemon)[name]


def test_a_file_that_turns_bad_keeps_its_date(
    vitalsd: Daemon, certificates: Authority, tmp_path: Path
) -> None:
    certificate = certificates.issue()
    file = tmp_path / "tls.crt"
    file.write_bytes(certificate.path.read_bytes())
    probe = {"name": "file", "kind": "certificate", "files": [str(file)]}
    daemon = vitalsd([probe], **QUICK)
    assert daemon.value("cert_expiry_timestamp") == certificate.expiry
    file.write_text("-----BEGIN CERTIFICATE-----\n")
    daemon.wait_runs("file", 3)
    assert daemon.value("probe_success", probe="file") == 0
    assert daemon.value("cert_expiry_timestamp") == certificate.expiry


def test_dates_are_stale_by_file(
    vitalsd: Daemon, certificates: Authority, tmp_path: Path
) -> None:
    """A file that never held a certificate has no date that could be stale."""
    stale = "vitalsd_probe_stale_facts_timestamp_seconds"
    text = certificates.issue().path.read_bytes()
    for name in ("good.pem", "turns-bad.pem"):
        (tmp_path / name).write_bytes(text)
    (tmp_path / "never.pem").write_text("no certificate")
    (tmp_path / "state").mkdir()
    began = time.time()
    daemon = vitalsd(
        [{"name": "files", "kind": "certificate", "files": [str(tmp_path / "*.pem")]}],
        state={"directory": str(tmp_path / "state")},
        **QUICK,
    )
    daemon.wait_runs("files", 2)
    assert daemon.value("probe_success", probe="files") == 0
    assert daemon.absent(stale)

    (tmp_path / "turns-bad.pem").write_text("no certificate")
    daemon.wait_for(stale, lambda since: began < since < time.time())
    last_seen = daemon.value(stale)
    daemon.wait_runs("files", 2)
    assert daemon.value(stale) == last_seen
    daemon.restart()
    daemon.wait_runs("files", 1)
    assert daemon.value(stale) == pytest.approx(last_seen, abs=1e-3)
    assert len(daemon.samples("cert_expiry_timestamp")) == 2

    (tmp_path / "turns-bad.pem").unlink()
    daemon.wait_for(stale, None)


def test_a_mounted_secret_that_is_rotated(
    vitalsd: Daemon, certificates: Authority, tmp_path: Path
) -> None:
    """A file as Kubernetes mounts it: a link whose path leads through a link to a directory, which
    is replaced."""

    def generation(name: str, lifetime: datetime.timedelta) -> float:
        certificate = certificates.issue(lifetime=lifetime)
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(certificate.path.read_bytes())
        (tmp_path / "..new").symlink_to(name)
        (tmp_path / "..new").rename(tmp_path / "..data")
        return certificate.expiry

    first = generation("..2026_01", 5 * DAY)
    (tmp_path / "tls.crt").symlink_to("..data/tls.crt")
    probe = {"name": "secret", "kind": "certificate", "files": [f"{tmp_path}/*.crt"]}
    daemon = vitalsd([probe], **QUICK)
    assert daemon.value("cert_expiry_timestamp") == first
    second = generation("..2026_02", 90 * DAY)
    daemon.wait_for("cert_expiry_timestamp", second, source=f"{tmp_path}/tls.crt")
    assert daemon.failures("secret") == {}
