"""An nginx for tests: health endpoints with configurable responses, TLS with valid and invalid
certificates that can be replaced while it runs, redirects, authentication, slow and silent paths.

  /health/live, /health/ready   JSON {"status": "ok"} with the documented security headers; answer()
                                sets status and body
  /redirect                     302 to /health/ready; /redirect/loop to itself;
  /redirect/elsewhere           302 to another host name (localhost for 127.0.0.1)
  /private                      basic authentication; /token: bearer
  /big, /slow, /silent          32 MiB; a body with one byte per second; no response
  /broken.json                  no JSON; /deep.json: nested 100,000 deep
"""

from __future__ import annotations

import secrets
import signal
import socket
import ssl
import subprocess
from pathlib import Path

from support.certificates import Authority, Certificate
from support.http_request import request
from support.process import Server, accepts_connections, children, free_port
from support.waiting import wait_until

MAIN = """
daemon off;
user root;
worker_processes 1;
worker_shutdown_timeout 1s;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log {directory}/access.log;
  client_body_temp_path {directory}/temp;
  proxy_temp_path {directory}/temp;
  fastcgi_temp_path {directory}/temp;
  uwsgi_temp_path {directory}/temp;
  scgi_temp_path {directory}/temp;
  server_tokens off;
  keepalive_timeout 5s;
  server {{
    listen 127.0.0.1:{port};
    include {directory}/site.conf;
  }}
{servers}
}}
"""

TLS = """
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {directory}/{name}.pem;
    ssl_certificate_key {directory}/{name}.key;
    {body}
  }}
"""

SITE = """
root {directory}/www;
default_type application/json;
location /health/ {{
  add_header Strict-Transport-Security "max-age=31536000" always;
  add_header X-Frame-Options DENY always;
  add_header X-Content-Type-Options nosniff always;
  include {directory}/answers.conf;
}}
location = /redirect {{ return 302 /health/ready; }}
location = /redirect/loop {{ return 302 /redirect/loop; }}
location = /redirect/elsewhere {{ return 302 http://localhost:{port}/private; }}
location /private {{
  auth_basic "tests";
  auth_basic_user_file {directory}/passwords;
  try_files /health/ready =404;
}}
location /token {{
  if ($http_authorization != "Bearer {token}") {{ return 401; }}
  try_files /health/ready =404;
}}
location = /slow {{ limit_rate 1; try_files /health/ready =404; }}
location = /silent {{ proxy_pass http://127.0.0.1:{silent}; proxy_read_timeout 1h; }}
"""

PROXY = """
    client_max_body_size 0;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_set_header Host $http_host; }}
"""


class Nginx(Server):
    name = "nginx"
    stop_signal = signal.SIGTERM
    death_signal = "TERM"  # its workers would continue after SIGKILL of the master

    user = "probe"

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.authority = authority
        self.port, self.tls_port = free_port(), free_port()
        self.password, self.token = secrets.token_hex(8), secrets.token_hex(8)
        # Accepts no connection. The kernel completes the handshakes up to the size of the backlog.
        self._silent = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._extra: dict[str, tuple[int, str]] = {}
        self._answers: dict[str, tuple[int, str]] = {}
        self._install("main", authority.issue("api.test"))
        self._write_site()
        self._configure()
        self.start()

    def start(self) -> None:
        files: list[str | Path] = ["-e", "error.log", "-p", self.directory, "-c", "nginx.conf"]
        self.launch(["nginx", *files], self._listens)

    def _listens(self) -> bool:
        ports = [self.port, self.tls_port, *(port for port, _ in self._extra.values())]
        # With forwarded ports a connection proves nothing, so wait for a response.
        return all(accepts_connections(port) for port in ports) and self.get("/")[0] != 0

    def _install(self, name: str, certificate: Certificate) -> None:
        certificate.install(self.directory / f"{name}.pem", self.directory / f"{name}.key")

    def _write_site(self) -> None:
        www = self.directory / "www"
        (www / "health").mkdir(parents=True)
        (self.directory / "temp").mkdir()
        for name in ("live", "ready"):
            (www / "health" / name).write_text('{"status": "ok"}\n')
        (www / "big").write_bytes(b"x" * (32 << 20))
        (www / "broken.json").write_text('{"status": "ok", ')
        (www / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
        hashed = subprocess.run(
            ["openssl", "passwd", "-apr1", "-stdin"],
            input=self.password,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        (self.directory / "passwords").write_text(f"{self.user}:{hashed}")
        (self.directory / "site.conf").write_text(
            SITE.format(
                directory=self.directory,
                port=self.port,
                token=self.token,
                silent=self._silent.getsockname()[1],
            )
        )

    def _configure(self) -> None:
        answers = "".join(
            f"location = {path} {{ return {status} '{body}'; }}\n"
            for path, (status, body) in self._answers.items()
        )
        (self.directory / "answers.conf").write_text(answers)
        site = f"include {self.directory}/site.conf;"
        servers = {"main": (self.tls_port, site), **self._extra}
        blocks = "".join(
            TLS.format(port=port, name=name, directory=self.directory, body=body)
            for name, (port, body) in servers.items()
        )
        (self.directory / "nginx.conf").write_text(
            MAIN.format(directory=self.directory, port=self.port, servers=blocks)
        )

    def reload(self) -> None:
        """Applies the configuration. When this returns, the old worker has ended."""
        old = set(children(self.pid))
        self._configure()
        self.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        wait_until(
            lambda: (now := set(children(self.pid))) and not now & old and self._listens(),
            what=lambda: f"nginx has reloaded\n{self.tail()}",
        )

    def answer(self, path: str, status: int, body: str = '{"status": "unavailable"}') -> None:
        """Sets the response of a path under /health/. It must not contain a single quote."""
        self._answers[path] = (status, body)
        self.reload()
        wait_until(lambda: self.get(path)[0] == status, what=f"{path} returns {status}")

    def answer_well(self) -> None:
        """Makes all health endpoints healthy again."""
        if self._answers:
            self._answers.clear()
            self.reload()

    def serve_tls(self, name: str, certificate: Certificate) -> int:
        """Returns a port that serves this certificate. A second call with the same `name` replaces
        it."""
        port = self._extra[name][0] if name in self._extra else free_port()
        self._extra[name] = (port, f"include {self.directory}/site.conf;")
        self._install(name, certificate)
        self.reload()
        shown = ssl.DER_cert_to_PEM_cert
        pem = certificate.path.read_text()
        wait_until(
            lambda: shown(self.peer_certificate(port)).strip() in pem,
            what=f"nginx serves the certificate of {name}",
        )
        return port

    def use_certificate(self, certificate: Certificate) -> None:
        """Replaces the certificate of `tls_port`."""
        self._install("main", certificate)
        self.reload()

    def proxy_tls(self, name: str, upstream: int) -> int:
        """Returns a TLS port in front of the plain HTTP server on the port `upstream`."""
        port = free_port()
        self._extra[name] = (port, PROXY.format(upstream=upstream))
        self._install(name, self.authority.issue(f"{name}.test"))
        self.reload()
        return port

    @staticmethod
    def peer_certificate(port: int) -> bytes:
        context = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
            with context.wrap_socket(plain) as connection:
                return connection.getpeercert(binary_form=True) or b""

    def get(self, path: str) -> tuple[int, bytes]:
        return request(self.port, "GET", path)

    def url(self, path: str = "/health/ready", *, tls: bool = False) -> str:
        scheme, port = ("https", self.tls_port) if tls else ("http", self.port)
        return f"{scheme}://127.0.0.1:{port}{path}"

    def requests(self, path: str) -> int:
        """Returns the number of requests for a path."""
        return (self.directory / "access.log").read_text().count(f" {path} HTTP/")

    def restore(self) -> None:
        """Reverts the changes of a test, because other tests use this server too."""
        if self.running:
            self.thaw()
            self.answer_well()
        else:
            self.kill()
            self._answers.clear()
            self._configure()
            self.start()

    def close(self) -> None:
        super().close()
        self._silent.close()
