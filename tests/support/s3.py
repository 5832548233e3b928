"""An S3 server that checks signatures: OpenStack Swift with its s3api, and a client for tests.

It consists of four Swift servers and memcached. The address style is http://127.0.0.1:PORT/BUCKET
or virtual host, Host: BUCKET.s3.localhost:PORT. It responds with 403 SignatureDoesNotMatch to wrong
credentials, with 400 AuthorizationHeaderMalformed to a wrong region, with 403 RequestTimeTooSkewed
to a clock difference of 15 minutes, and with 412 to a request without a signature.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import html
import http.client
import os
import pwd
import re
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from support.process import Server, accepts_connections, account, free_port, server_directory
from support.waiting import wait_until

REGION = "us-east-1"
DOMAIN = "s3.localhost"
PAGE = 10  # keys per list response; the usual 1000 would take long to fill

STORAGE = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
log_address = {directory}/no-syslog
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {directory}
log_address = {directory}/no-syslog
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
# On a busy machine the other servers respond late. By default the proxy then answers 503 for a minute.
conn_timeout = 60
node_timeout = 60
error_suppression_limit = 1000000
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:s3api]
use = egg:swift#s3api
location = {region}
storage_domain = {domain}
max_bucket_listing = {page}
[filter:gatekeeper]
use = egg:swift#gatekeeper
shunt_inbound_x_timestamp = false
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:slo]
use = egg:swift#slo
[filter:versioned_writes]
use = egg:swift#versioned_writes
[filter:copy]
use = egg:swift#copy
[filter:dlo]
use = egg:swift#dlo
[filter:catch_errors]
use = egg:swift#catch_errors
"""


# The rings: all data is on one device. Uses the library, because nine runs of swift-ring-builder
# take longer than everything else together. Runs in a separate process, because the import replaces
# the sockets and DNS of the standard library with those of eventlet.
WRITE_RINGS = """
import sys
from swift.common.ring import RingBuilder
for argument in sys.argv[1:]:
    file, port = argument.split("=")
    builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    place = {"region": 1, "zone": 1, "device": "d1", "weight": 1, "meta": ""}
    for prefix in ("", "replication_"):
        place |= {prefix + "ip": "127.0.0.1", prefix + "port": int(port)}
    builder.add_dev(place)
    builder.rebalance()
    builder.get_ring().save(file)
"""


class _Part(Server):
    """One of the processes. All share one directory."""

    def __init__(self, name: str, directory: Path, port: int) -> None:
        self.name = name
        super().__init__()
        self.directory.rmdir()
        self.directory = directory
        self.log_file = directory / f"{name}.log"
        self.port = port

    def start(self) -> None:
        user = None
        if self.name == "memcached":
            user = account("nobody")  # it refuses to run as root
            command = ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-m", "16"]
        else:
            program = f"/usr/bin/swift-{self.name}-server"
            command = ["/usr/bin/python3", program, f"{self.directory}/{self.name}.conf", "-v"]
        self.launch(command, lambda: True, user=user, environment={"HOME": str(self.directory)})


class S3:
    """The server, and a client of its only user."""

    access_key = "test:tester"
    region = REGION
    domain = DOMAIN

    def __init__(self) -> None:
        self.directory = server_directory("s3")
        self.secret_key = f"s3-{secrets.token_hex(12)}"
        ports = {name: free_port() for name in ("object", "container", "account", "memcached")}
        self.port = ports["proxy"] = free_port()
        user = pwd.getpwuid(os.geteuid()).pw_name
        (self.directory / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n"
            "[storage-policy:0]\nname = gold\ndefault = yes\n"
        )
        (self.directory / "devices" / "d1").mkdir(parents=True)
        for kind in ("object", "container", "account"):
            text = STORAGE.format(kind=kind, port=ports[kind], user=user, directory=self.directory)
            (self.directory / f"{kind}.conf").write_text(text)
        rings = [
            f"{self.directory}/{kind}.ring.gz={ports[kind]}"
            for kind in ("object", "container", "account")
        ]
        subprocess.run(["/usr/bin/python3", "-c", WRITE_RINGS, *rings], check=True)
        (self.directory / "proxy.conf").write_text(
            PROXY.format(
                port=self.port,
                user=user,
                directory=self.directory,
                secret=self.secret_key,
                region=REGION,
                domain=DOMAIN,
                page=PAGE,
                memcached=ports["memcached"],
            )
        )
        self.parts = [_Part(name, self.directory, port) for name, port in ports.items()]
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        for part in self.parts:
            if not part.running:
                part.kill()
                part.start()
        ready = lambda: all(accepts_connections(part.port) for part in self.parts)  # noqa: E731
        wait_until(ready, what=lambda: f"Swift listens\n{self.proxy.tail()}", deadline=60)
        # The first request creates the account.
        wait_until(lambda: self.request("GET", "/")[0] == 200, what="Swift responds")

    @property
    def proxy(self) -> _Part:
        """The process that clients connect to. It can be frozen and stopped."""
        return next(part for part in self.parts if part.name == "proxy")

    # ---- the client ----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> tuple[int, bytes]:
        """Sends one signed request and returns the status and body of the response."""
        host = f"127.0.0.1:{self.port}"
        now = datetime.datetime.now(datetime.UTC)
        day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        encoded_path = quote(path, safe="/-_.~")
        encoded_query = "&".join(
            f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}"
            for key, value in sorted((query or {}).items())
        )
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
        names = ";".join(headers)
        canonical = "\n".join(
            [method, encoded_path, encoded_query]
            + [f"{name}:{value}" for name, value in headers.items()]
            + ["", names, digest]
        )
        scope = f"{day}/{REGION}/s3/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashed])
        key = ("AWS4" + self.secret_key).encode()
        for word in (*scope.split("/"), text):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={key.hex()}"
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            target = encoded_path + (f"?{encoded_query}" if encoded_query else "")
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def expect(self, status: int, *arguments: object, **options: object) -> bytes:
        got, body = self.request(*arguments, **options)  # type: ignore[arg-type]
        assert got == status, f"{got}: {body.decode(errors='replace')}"
        return body

    def new_bucket(self, name: str = "backups") -> str:
        """Creates a bucket that no other test uses."""
        bucket = f"{name}-{secrets.token_hex(4)}"
        self.expect(200, "PUT", f"/{bucket}")
        return bucket

    def put(
        self, bucket: str, key: str, body: bytes, age: datetime.timedelta | None = None
    ) -> float:
        """Stores an object with the optional `age` and returns its LastModified.

        Swift refuses an object that is older than the last change of the same key.
        """
        if age is None:
            self.expect(200, "PUT", f"/{bucket}/{key}", body=body)
        else:
            self._put_old(bucket, key, body, age)
        return dict(self.list(bucket, key))[key]

    def _put_old(self, bucket: str, key: str, body: bytes, age: datetime.timedelta) -> None:
        """Uses Swift's own API on the same port, because S3 cannot set the time of an object."""
        when = datetime.datetime.now(datetime.UTC) - age
        login = {"x-auth-user": self.access_key, "x-auth-key": self.secret_key}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/auth/v1.0", headers=login)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        path = f"{urlsplit(answer.headers['x-storage-url']).path}/{bucket}/{quote(key)}"
        stamp = f"{when.timestamp():.5f}"
        headers = {"x-auth-token": answer.headers["x-auth-token"], "x-timestamp": stamp}
        connection.request("PUT", path, body, headers)
        answer = connection.getresponse()
        assert answer.status == 201, f"{answer.status}: {answer.read()!r}"
        connection.close()

    def delete(self, bucket: str, key: str) -> None:
        self.expect(204, "DELETE", f"/{bucket}/{key}")

    def list(self, bucket: str, prefix: str = "") -> list[tuple[str, float]]:
        """Returns keys and LastModified of all pages."""
        found: list[tuple[str, float]] = []
        query = {"list-type": "2", "prefix": prefix}
        while True:
            page = self.expect(200, "GET", f"/{bucket}", query).decode()
            pattern = r"<Key>(.*?)</Key>.*?<LastModified>(.*?)</LastModified>"
            for key, modified in re.findall(pattern, page, re.DOTALL):
                moment = datetime.datetime.fromisoformat(modified.replace("Z", "+00:00"))
                found.append((html.unescape(key), moment.timestamp()))
            token = re.search(r"<NextContinuationToken>(.*?)<", page)
            if not token:
                return found
            query["continuation-token"] = token[1]

    def empty(self, bucket: str) -> None:
        for key, _ in self.list(bucket):
            self.delete(bucket, key)

    # ---- faults --------------------------------------------------------------------------------

    def restore(self) -> None:
        """Reverts the changes of a test, because other tests use this server too."""
        for part in self.parts:
            if part.running:
                part.thaw()
        self.start()

    def close(self) -> None:
        for part in self.parts:
            part.close()
