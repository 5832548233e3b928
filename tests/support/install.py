"""Runs the commands of docs/install.md one by one on a complete Kubernetes node with real servers,
and starts the Prometheus and the Alertmanager that the guide describes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import shorten_rules
from support import REPOSITORY, process, wait_until
from support.alertmanager import Alertmanager, Receivers
from support.certificates import Authority
from support.kubernetes import NODE_ADDRESS, ServiceAccount, built, program
from support.kubernetes_client import ApiError, Object, reference
from support.kubernetes_node import Node
from support.nginx import Nginx
from support.postgres import Postgres
from support.process import server_directory
from support.prometheus import SHIPPED, Prometheus, cluster_configuration
from support.redis import Redis

GUIDE = REPOSITORY / "docs" / "install.md"
BUILDAH = REPOSITORY / "tests" / "image" / "buildah.sh"
RULES = [SHIPPED / "documented.yaml", SHIPPED / "vitalsd.yaml"]
NAMESPACE = "vitalsd"
APPLICATION = "vcci-production"  # in the guide's rules
HOUR, DAY = 3600.0, 86400.0


def blocks(language: str) -> dict[str, str]:
    """Returns the code blocks of the guide in that language, joined per section title."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        code = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        if code:
            found[title] = "".join(code)
    return found


class Installation:
    """A node on which the guide's commands were run. Differences from the guide: addresses and
    ports, the directory of the backups, and the intervals of vitalsd."""

    def __init__(self, node: Node) -> None:
        self.node, self.api = node, node.api
        self._closing = contextlib.ExitStack()
        try:
            self._start()
        except BaseException as error:
            with contextlib.suppress(Exception):
                error.add_note(self.describe())
            self.close()
            raise

    def _start(self) -> None:
        self.directory = server_directory("install")
        (self.directory / "deploy").symlink_to(REPOSITORY / "deploy")
        self.authority = Authority(self.directory)
        with self.node.inside():
            self.postgres = self._closed(Postgres(self.authority))
            self.redis = self._closed(Redis(self.authority))
            self.nginx = self._closed(Nginx(self.authority))
            self.api_port = self.nginx.serve_tls("shop", self.authority.issue("api.shop.example"))
        for port in (self.postgres.port, self.redis.tls_port, self.api_port):
            self.node.expose(port)
        self.directory.chmod(0o755)
        self.backups = self.directory / "backups"
        self.backups.mkdir(mode=0o755)
        self.back_up(HOUR)
        self.api.namespace(APPLICATION)
        self.api.wait_prepared(APPLICATION)
        self.node.wait_container(
            self.api.create(self.node.pod(APPLICATION, "shop", "sleep 1000000")), "running"
        )
        self._write_files()

        self.commands = {title: code.splitlines() for title, code in blocks("sh").items()}
        self._closing.callback(self._remove)
        for title in ("1. The image", "2. What to watch", "3. vitalsd"):
            for command in self.commands[title]:
                if "vitalsd check" not in command:
                    self.run(command)
        # The cluster has just started pods, and on a loaded machine a response may be late. Retry
        # the check, as a user would.
        (check,) = (each for each in self.commands["3. vitalsd"] if "vitalsd check" in each)
        self.printed = wait_until(lambda: self.run(check), what=check, deadline=60)
        self._watch()

    def _closed(self, server: Any) -> Any:
        self._closing.callback(server.close)
        return server

    # ---- the guide -----------------------------------------------------------------------------

    def _write_files(self) -> None:
        text = blocks("yaml")["2. What to watch"]
        for place, port in {
            "db.shop.example:5432": self.postgres.port,
            "cache.shop.example:6379": self.redis.tls_port,
            "api.shop.example:443": self.api_port,
        }.items():
            assert place in text, place
            text = text.replace(place, f"{place.partition(':')[0]}:{port}")
        self.values: dict[str, Any] = yaml.safe_load(text)
        names = [f"{host}.shop.example" for host in ("db", "cache", "api")]
        self.values["hostAliases"] = [{"ip": NODE_ADDRESS, "hostnames": names}]
        self.values["volumes"][0]["volume"] = {"hostPath": {"path": str(self.backups)}}
        # A busy node responds slowly, and its kubelet most slowly.
        self.values["config"]["defaults"] = {"interval": "2s", "timeout": "2s"}
        kubelets = next(p for p in self.values["config"]["probes"] if p["kind"] == "kubelet")
        kubelets |= {"interval": "3s", "timeout": "3s"}
        self._write_values(self.values)
        (self.directory / "main-db.password").write_text(self.postgres.passwords["monitor"])
        (self.directory / "cache.password").write_text(self.redis.monitor_password)
        (self.directory / "ca.pem").write_text(self.authority.path.read_text())

    def _write_values(self, values: Mapping[str, Any]) -> None:
        self.in_force = values
        (self.directory / "values.yaml").write_text(json.dumps(values))

    def run(self, command: str, *, check: bool = True) -> str:
        """Runs a command of the guide. There is no registry, so a push loads the image into the
        node."""
        words = command.split()
        if command.startswith("deploy/build-image.sh"):
            command = f"{BUILDAH} {command}"
        elif words[:2] == ["docker", "push"]:
            archive = self.directory / "image.tar"
            command = f"{BUILDAH} buildah push --quiet {words[2]} oci-archive:{archive}:{words[2]}"
        programs = {program("kubectl").parent, built("helm", "helm").parent}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
                "KUBECONFIG": str(self.api.kubeconfig()),
                **{f"HELM_{kind}_HOME": str(self.directory) for kind in ("CACHE", "CONFIG", "DATA")},
            },
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if words[:2] == ["docker", "push"]:
            self.node.import_image(archive)
            archive.unlink()
        return done.stdout

    def install(self, values: Mapping[str, Any]) -> None:
        """Runs the guide's installation again with other values."""
        self._write_values(values)
        upgrade, status, *_ = self.commands["3. vitalsd"]
        self.run(upgrade)
        self.run(status)

    def back_up(self, age: float) -> None:
        """Sets the age of the newest backup in seconds."""
        for file in self.backups.iterdir():
            file.unlink()
        file = self.backups / "shop.dump.gz"
        file.write_bytes(bytes(4096))
        os.utime(file, (time.time() - age,) * 2)

    def show_certificate(self, **options: Any) -> None:
        """Sets the certificate that the API serves from now on. The default is a valid
        certificate."""
        self.nginx.serve_tls("shop", self.authority.issue("api.shop.example", **options))

    # ---- Prometheus and Alertmanager ------------------------------------------------------------

    def _watch(self) -> None:
        self._account = self._prometheus_account()
        with self.node.inside():
            self.receivers = self._closed(Receivers())
            self.alertmanager = self._closed(Alertmanager(self.receivers))
        # Durations of minutes are shortened to seconds. The notifications keep their order.
        self.prometheus = self._closed(self.another_prometheus(at_most="5s"))

    def _prometheus_account(self) -> ServiceAccount:
        self.api.namespace("monitoring")
        account = self.api.service_account("monitoring", "prometheus")
        self.api.grant(
            account,
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
            namespace=NAMESPACE,
        )
        return account

    def another_prometheus(self, **shortened: Any) -> Prometheus:
        """A Prometheus with service discovery for vitalsd and with the rules, with shortened
        durations."""
        with self.node.inside():
            prometheus = Prometheus(
                cluster_configuration(
                    self.api.inner_url,
                    self._account.directory,
                    interval="250ms",
                    alertmanagers=[f"127.0.0.1:{self.alertmanager.port}"],
                ),
                [shorten_rules.shorten(file.read_text(), **shortened) for file in RULES],
                program=built("prometheus", "prometheus"),
            )
        prometheus.wait_scraped(deadline=60)
        return prometheus

    def alerts(self) -> list[str]:
        """Returns pending and firing alerts, without the loop lag, which depends on this
        machine."""
        found = {alert["labels"]["alertname"] for alert in self.prometheus.alerts()}
        return sorted(found - {"ProbeLoopLag"})

    def wait_silent(self) -> None:
        wait_until(lambda: not self.alerts(), what=lambda: f"the end of {self.alerts()}", deadline=90)

    # ---- the pod -------------------------------------------------------------------------------

    def pods(self) -> list[Object]:
        """Returns the pods that are not being deleted."""
        path = self.api.collection("v1", "Pod", NAMESPACE)
        return [
            pod
            for pod in self.api.request("GET", path)["items"]
            if "deletionTimestamp" not in pod["metadata"]
        ]

    def pod(self) -> Object:
        pods = self.pods()
        assert len(pods) == 1, [pod["metadata"]["name"] for pod in pods]
        return pods[0]

    def replace_pod(self) -> None:
        self.api.request("DELETE", self._path(), {"gracePeriodSeconds": 0})

    def page(self, path: str, pod: Object | None = None) -> str:
        """Returns a page of vitalsd through the API server. LookupError if it does not respond
        yet."""
        try:
            return self.api.raw("GET", f"{self._path(pod)}:9747/proxy{path}").decode()
        except ApiError as error:
            raise LookupError(str(error)) from error

    def evict(self, pod: Object) -> None:
        """Evicts the pod. ApiError if the disruption budget does not allow it."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": pod["metadata"]}
        self.api.request("POST", f"{self._path(pod)}/eviction", eviction)

    def _path(self, pod: Object | None = None) -> str:
        name = (pod or self.pod())["metadata"]["name"]
        return f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"

    def status(self) -> dict[str, Any]:
        return json.loads(self.page("/api/v1/status"))

    def states(self) -> dict[str, str]:
        """Returns by name of the probe why its last run did not succeed; "ok" if it did. A check
        may be a warning."""
        return {probe["name"]: probe.get("reason", "ok") for probe in self.status()["probes"]}

    def pid(self) -> int:
        """Returns the process id of the daemon on this machine."""
        on_node = process.family(self.node.namespaces.init)
        (pid,) = (p for p in on_node if Path(f"/proc/{p}/comm").read_text() == "vitalsd\n")
        return pid

    def wait_well(self) -> None:
        """Waits until all configured probes succeed."""
        wanted = {probe["name"]: "ok" for probe in self.in_force["config"]["probes"]}
        wait_until(
            lambda: self.states() == wanted,
            what=lambda: f"success of all probes:\n{self.describe()}",
            deadline=90,
        )

    def log(self) -> str:
        return self.api.logs(NAMESPACE, self.pod()["metadata"]["name"])

    def sync(self) -> None:
        """Makes the kubelet update the pod's volumes now instead of within a minute."""
        name = self.pod()["metadata"]["name"]
        self.run(f"kubectl -n {NAMESPACE} annotate --overwrite pod {name} sync={os.urandom(4).hex()}")

    # ---- cleanup -------------------------------------------------------------------------------

    def restore(self) -> None:
        """Reverts the changes of a test, and waits until no alert is pending or firing."""
        if self.in_force != self.values:
            self.install(self.values)
            self.sync()
        for server in (self.postgres, self.redis, self.nginx):
            server.restore()
        self.back_up(HOUR)
        self.show_certificate()
        self.node.thaw_kubelet()
        self.wait_well()
        self.wait_silent()

    def describe(self) -> str:
        shown = [
            f"kubectl -n {NAMESPACE} describe pods",
            f"kubectl -n {NAMESPACE} logs --tail=50 deployment/vitalsd",
        ]
        return "\n".join(self.run(command, check=False) for command in shown)

    def _remove(self) -> None:
        self.run(self.commands["Later"][-1], check=False)
        self.run(f"kubectl --namespace={APPLICATION} delete pods --all", check=False)
        self.api.delete(reference("v1", "Namespace", NAMESPACE))

    def close(self) -> None:
        self._closing.close()
