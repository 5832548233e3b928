"""The daemon under test. Tests start it with a configuration and read it like Prometheus. Every
stop checks the exit code 0, and that there is no sanitizer report and no secret on a page or in the
log."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from support import REPOSITORY
from support.process import Server, free_port
from support.waiting import wait_until

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
TEXT = "text/plain;version=0.0.4"
# The counters of outcomes and of failures. They have integer values.
RUN_COUNTERS = re.compile(
    r'^vitalsd_probe_(runs|failures)_total\{.*?probe="([^"]*)".*?((?:outcome|reason)="[^"]*").*\} (\d+)',
    re.MULTILINE,
)
SANITIZERS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:")


def binary() -> Path:
    """Returns the daemon to test: VITALSD_BINARY, by default the release build."""
    path = Path(os.environ.get("VITALSD_BINARY", REPOSITORY / "build" / "release" / "vitalsd"))
    assert path.exists(), f"{path} does not exist: run cmake --build --preset release"
    return path.resolve()


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs vitalsd until it exits, for example `vitalsd check`."""
    return subprocess.run(
        [binary(), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], **_sanitizer_options(), **environment},
    )


def sanitized() -> bool:
    """Returns whether the daemon is built with a sanitizer. A sanitizer needs additional memory and
    delays the reuse of freed memory."""
    return binary().parent.name in ("asan", "tsan")


def _sanitizer_options() -> dict[str, str]:
    return {name: os.environ[name] for name in os.environ if name.endswith("SAN_OPTIONS")}


def family_of(name: str, page: str) -> str:
    """Returns the part of an OpenMetrics page with the family that has samples of this name. Tests
    read a page often, and the strict parser takes longer than all of the rest."""
    found = [at for end in "{ " if (at := page.find(f"\n{name}{end}")) >= 0]
    if not found:
        return "# EOF\n"
    begin = page.rfind("\n# ", 0, found[0]) + 1
    while begin and page.startswith("# ", above := page.rfind("\n", 0, begin - 1) + 1):
        begin = above
    return page[begin : page.find("\n# ", found[-1])] + "\n# EOF\n"


class Vitalsd(Server):
    name = "vitalsd"

    def __init__(
        self,
        probes: Sequence[Mapping[str, Any]],
        *,
        interval: str = "",
        timeout: str = "",
        environment: Mapping[str, str] | None = None,
        plain: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        arguments: Sequence[str] = (),
        ready: bool = True,
        host: str = "127.0.0.1",
        **sections: Any,
    ) -> None:
        """Starts it with `probes` and additional `sections` of the configuration. The values of
        `environment` are secrets, the values of `plain` are not. Unless `ready` is false, it waits
        until every probe has run once. It listens on the address `host`. By default the interval
        is short, and the timeout is long enough for nine simultaneous TLS connections on a loaded
        machine."""
        super().__init__()
        pace = "1s" if sanitized() else "500ms"
        interval, timeout = interval or pace, timeout or interval or pace
        self.directory.chmod(0o700)
        self.host, self.port = host, free_port()
        self.environment = dict(environment or {})
        self.secrets = {*secrets, *self.environment.values()}
        self.environment |= plain or {}
        self.arguments = list(arguments)
        self.configuration: dict[str, Any] = {
            "web": {"listen": self.address},
            "log": {"format": "json", "level": "debug"},
            "defaults": {"interval": interval, "timeout": timeout},
            **sections,
            "probes": [dict(probe) for probe in probes],
        }
        self.start(ready=ready)

    @property
    def config_file(self) -> Path:
        return self.directory / "vitalsd.yaml"

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def write_configuration(self) -> None:
        """Writes self.configuration to the file atomically."""
        text = yaml.safe_dump(self.configuration, sort_keys=False)
        temporary = self.config_file.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(self.config_file)

    def start(self, *, ready: bool = True) -> None:
        self.write_configuration()
        path = "/-/ready" if ready else "/-/healthy"
        # Other tests, which start servers at the same time, must not make short timeouts expire.
        first = ["nice", "-n", "-10"]
        self.launch(
            [*first, binary(), "--config", self.config_file, *self.arguments],
            lambda: self.get(path)[0] == 200,
            environment={**_sanitizer_options(), **self.environment},
        )
        if ready:
            wait_until(self._first_runs_count, what="a first run of every probe")

    def _first_runs_count(self) -> bool:
        """Returns whether the first run of every probe says something about its target. On a busy
        machine it may time out, so it is repeated three times."""
        runs: Counter[str] = Counter()
        timeouts: Counter[str] = Counter()
        for name, probe, label, count in RUN_COUNTERS.findall(self.page()):
            runs[probe] += int(count) if name == "runs" else 0
            timeouts[probe] += int(count) if label == 'reason="timeout"' else 0
        return all(not 0 < timeouts[probe] < 4 or runs[probe] > timeouts[probe] for probe in runs)

    def restart(self) -> None:
        self.end()
        self.start()

    # ---- what it serves ------------------------------------------------------------------------

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, bytes]:
        with closing(self.connect()) as connection:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            body = response.read()
            if response.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            return response.status, body

    def page(self, path: str = "/metrics", accept: str = OPENMETRICS) -> str:
        """Returns a page as Prometheus requests it: OpenMetrics, compressed."""
        status, body = self.get(path, {"Accept": accept, "Accept-Encoding": "gzip"})
        assert status == 200, f"{path}: {status}: {body.decode()}"
        return body.decode()

    def samples(self, name: str, /, **labels: str) -> list[Sample]:
        """Returns the samples of a name with these labels, parsed by the strict OpenMetrics parser.
        end() parses the whole page."""
        return [
            sample
            for family in parse_openmetrics(family_of(name, self.page()))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def text_samples(self, name: str, /, **labels: str) -> list[Sample]:
        """Like samples(), but from the text format 0.0.4."""
        return [
            sample
            for family in parse_text(self.page(accept=TEXT))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, /, **labels: str) -> float:
        """Returns the value of the only sample. Waits for it: on a busy machine runs may time out.
        Fails if there are several samples."""

        def present() -> list[Sample]:
            return self._only(name, labels)

        return wait_until(present, deadline=20, what=lambda: f"{name}{labels}\n{self.tail(5)}")[0].value

    def absent(self, name: str, /, **labels: str) -> bool:
        """Returns whether there is no such sample."""
        return not self.samples(name, **labels)

    def _only(self, name: str, labels: Mapping[str, str]) -> list[Sample]:
        found = self.samples(name, **labels)
        assert len(found) <= 1, found
        return found

    def names(self, page: str = "") -> set[str]:
        """Returns the names of all families."""
        return {family.name for family in parse_openmetrics(page or self.page())}

    def wait_for(
        self,
        name: str,
        expected: float | Callable[[float], bool] | None,
        /,
        *,
        deadline: float = 60,
        **labels: str,
    ) -> None:
        """Waits until a sample has this value or passes this test. None: until the sample is
        absent."""

        def seen() -> bool:
            found = self._only(name, labels)
            value = found[0].value if found else None
            if value is None or expected is None:
                fits = value is expected
            else:
                fits = expected(value) if callable(expected) else value == expected
            assert fits, f"{name} is {value}"
            return True

        wait_until(
            seen, deadline=deadline, what=lambda: f"{name}{labels} {expected}\n{self.tail(5)}"
        )

    def wait_runs(self, probe: str, runs: int = 1, *, deadline: float = 60) -> None:
        """Waits until a probe has completed `runs` more runs with any outcome."""
        goal = self.runs(probe) + runs
        wait_until(
            lambda: self.runs(probe) >= goal, deadline=deadline, what=f"{runs} runs of {probe}"
        )

    def runs(self, probe: str) -> float:
        samples = self.samples("vitalsd_probe_runs_total", probe=probe)
        return sum(s.value for s in samples if s.labels["outcome"] in ("ok", "failed"))

    def wait_failed(self, probe: str, reason: str, *, deadline: float = 60) -> None:
        """Waits until a run that ends after this call fails with this reason."""
        counts = self.failures(probe)

        def failed() -> bool:
            now = self.failures(probe)
            return now.get(reason, 0) > counts.get(reason, 0)

        wait_until(
            failed, deadline=deadline, what=lambda: f"{probe} fails: {reason}\n{self.tail(5)}"
        )

    def wait_ok(self, probe: str, *, deadline: float = 60) -> None:
        self.wait_for("probe_success", 1, probe=probe, deadline=deadline)

    def check_reason(self, probe: str, reason: str) -> None:
        """Waits until a probe has failed for this reason, and checks that it fails for no other. On a
        busy machine single runs may time out."""
        wait_until(
            lambda: reason in self.failures(probe),
            what=lambda: f"{probe} fails: {reason}, not {self.failures(probe)}\n{self.tail(5)}",
        )
        assert set(self.failures(probe)) <= {reason, "timeout"}, self.failures(probe)

    def failures(self, probe: str) -> dict[str, float]:
        samples = self.samples("vitalsd_probe_failures_total", probe=probe)
        return {sample.labels["reason"]: sample.value for sample in samples}

    def status(self) -> dict[str, Any]:
        """Returns the status page as JSON."""
        return json.loads(self.page("/api/v1/status"))

    # ---- log, reload, stop ---------------------------------------------------------------------

    def log_lines(self, message: str = "", **fields: str) -> list[dict[str, Any]]:
        """Returns the log lines with this message and these fields."""
        lines = []
        for text in self.log().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                line = {"msg": text}
            if message in line["msg"] and fields.items() <= line.items():
                lines.append(line)
        return lines

    def reload(self, *, successful: bool = True) -> None:
        """Writes self.configuration and sends SIGHUP. Waits until it is applied, or rejected if
        expected."""
        self.write_configuration()
        self.hang_up(successful=successful)

    def hang_up(self, *, successful: bool = True) -> None:
        """Sends SIGHUP without changing the file. Returns when the daemon has handled it."""
        outcome = "configuration loaded" if successful else "configuration"
        before = len(self.log_lines(outcome))
        os.kill(self.pid, signal.SIGHUP)
        wait_until(
            lambda: (
                len(self.log_lines(outcome)) > before
                and self.value("vitalsd_config_last_reload_successful") == int(successful)
            ),
            what=lambda: f"a reload that is {'applied' if successful else 'rejected'}\n{self.tail()}",
        )

    def check_discretion(self) -> None:
        """Checks that no secret is on a page, in the log or in the process list."""
        places = {"the log": self.log()}
        if self.running:
            paths = ["/metrics", "/", "/events", "/api/v1/status", "/api/v1/events"]
            for probe in self.configuration["probes"][:10]:
                paths += [f"/probes/{probe['name']}", f"/api/v1/probes/{probe['name']}"]
            places |= {path: self.get(path)[1].decode() for path in paths}
            places["the process list"] = Path(f"/proc/{self.pid}/cmdline").read_text()
        for place, text in places.items():
            for secret in filter(None, self.secrets):
                for form in (secret, quote(secret, safe="")):
                    assert form not in text, f"a secret is in {place}"

    def check_page(self) -> None:
        """Checks that the strict parser reads the whole page, unless that takes seconds."""
        if self.running and len(page := self.page()) < 1 << 20:
            self.names(page)

    def end(self) -> None:
        """Sends SIGTERM and checks everything that must hold after a stop."""
        self.check_page()
        self.check_discretion()
        code = self.stop()
        reports = [line for line in self.log().splitlines() if any(s in line for s in SANITIZERS)]
        assert code == 0 and not reports, f"exit code {code}\n{self.tail(60)}"

    def close(self) -> None:
        """Like end(), also if it is frozen. Removes its files."""
        try:
            if self.running:
                self.thaw()
                self.end()
            elif self.process is not None:
                raise AssertionError(f"it has ended: {self.process.returncode}\n{self.tail(60)}")
        finally:
            super().close()
