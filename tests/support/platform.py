"""The platform of config/examples/platform.yaml: real servers on a Kubernetes node, and the example
with their addresses."""

from __future__ import annotations

import datetime
import gzip
import os
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from support import REPOSITORY
from support.alertmanager import Alertmanager, Receivers
from support.certificates import Authority
from support.kubernetes import Object, reference
from support.kubernetes_node import Node
from support.nginx import Nginx
from support.postgres import Postgres
from support.process import server_directory
from support.prometheus import Prometheus
from support.rabbitmq import Rabbitmq
from support.redis import Redis
from support.s3 import S3
from support.vitalsd import binary
from support.waiting import PATIENCE, wait_until
from support.watching import RBAC

EXAMPLE = REPOSITORY / "config" / "examples" / "platform.yaml"
NAMESPACE = "vcci-production"

# The API: its metrics, which change, and its log.
API = """
mkdir -p /tmp/www/health
n=0
while :; do
  n=$((n + 1))
  printf 'http_requests_total{status="200"} %d\\nhttp_requests_total{status="500"} 0\\n' $n >/tmp/next
  mv /tmp/next /tmp/www/health/metrics
  usleep 200000
done &
echo INFO started
exec httpd -f -p 8080 -h /tmp/www
"""


class Platform:
    """`files` is the directory that replaces /etc/vitalsd and /run/secrets/vitalsd."""

    def __init__(self, node: Node, authority: Authority) -> None:
        self.node, self.authority = node, authority
        self._closing = ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._closing.close()

    def _closed(self, server: Any) -> Any:
        self._closing.callback(server.close)
        return server

    def _start(self) -> None:
        self.files = server_directory("platform")
        self._closing.callback(shutil.rmtree, self.files)
        self._closing.callback(self.node.restore)
        api = self.node.api
        api.namespace(NAMESPACE)
        api.install_definitions("cert-manager")
        api.apply(list(yaml.safe_load_all(RBAC.read_text())))
        self.account = api.service_account("vitalsd", "vitalsd")
        self.deployment = self._deployment()
        api.apply([self.deployment, self._quota(), self._cron_job(), self.certificate(60)])
        receivers = self._closed(Receivers())
        with self.node.inside():
            self.database = self._closed(Postgres(self.authority))
            self.cache = self._closed(Redis(self.authority))
            self.broker = self._closed(Rabbitmq())
            self.store = self._closed(S3())
            self.front = self._closed(Nginx(self.authority))
            self.alertmanager = self._closed(Alertmanager(receivers))
        self.database.execute(
            "CREATE TABLE sessions (tenant_id int, last_active timestamptz); "
            "GRANT SELECT ON sessions TO monitor",
            self.database.database,
        )
        for queue in ("emissions", "reports"):
            self.broker.declare(queue)
        self.cache.set_max_memory(100 << 20)
        self.front.answer("/health/metrics", 200, "nginx_up 1\n")
        for bucket in ("vcci-backups", "vcci-data"):
            # On a busy machine Swift answers 503 at first.
            wait_until(lambda at=f"/{bucket}": self.store.request("PUT", at)[0] == 200, what=bucket)
        dump = gzip.compress(secrets.token_bytes(1 << 20))
        self.store.put("vcci-backups", "production/database/today.dump.gz", dump)
        self.store.put("vcci-backups", "postgres-wal/000000010000000000000001", b"wal")
        self.store.put("vcci-backups", "redis/dump.rdb", b"snapshot")
        pod = wait_until(self._running_pod, deadline=60, what="the pod of the API")
        with self.node.inside():
            self.prometheus = self._closed(Prometheus(self._scrapes(pod["status"]["podIP"])))
        self.prometheus.wait_for("sum(rate(http_requests_total[5m])) > 0")
        self._write_files()

    def _running_pod(self) -> Object:
        (pod,) = self.node.api.listed("v1", "Pod", NAMESPACE, labelSelector="app=api")["items"]
        assert pod["status"]["phase"] == "Running"
        return pod

    def _deployment(self) -> Object:
        thing = reference("apps/v1", "Deployment", "api", NAMESPACE)
        amounts = {"cpu": "100m", "memory": "64Mi"}
        container = {
            "resources": {"requests": amounts, "limits": amounts},
            "ports": [{"name": "http", "containerPort": 8080}],
        }
        labels = {"app": "api"}
        template = {
            "metadata": {"labels": labels},
            "spec": self.node.pod(NAMESPACE, "api", API, **container)["spec"],
        }
        thing["spec"] = {"selector": {"matchLabels": labels}, "template": template}
        return thing

    def _quota(self) -> Object:
        return {
            **reference("v1", "ResourceQuota", "all", NAMESPACE),
            "spec": {"hard": {"pods": "20"}},
        }

    def _cron_job(self) -> Object:
        thing = reference("batch/v1", "CronJob", "backup", NAMESPACE)
        spec = self.node.pod(NAMESPACE, "backup", "true", restart="Never")["spec"]
        job = {"spec": {"template": {"spec": spec}}}
        return {**thing, "spec": {"schedule": "0 2 * * *", "jobTemplate": job}}

    def certificate(self, days: float) -> Object:
        """Returns a Certificate of cert-manager that expires in this many days."""
        now = datetime.datetime.now(datetime.UTC)
        written = lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: E731
        expiry = now + datetime.timedelta(days=days)
        thing = reference("cert-manager.io/v1", "Certificate", "api", NAMESPACE)
        issuer = {"name": "letsencrypt", "kind": "ClusterIssuer", "group": "cert-manager.io"}
        thing["spec"] = {"secretName": "api", "dnsNames": ["api.test"], "issuerRef": issuer}
        thing["status"] = {
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": ""}],
            "notBefore": written(expiry - datetime.timedelta(days=90)),
            "notAfter": written(expiry),
            "renewalTime": written(expiry - datetime.timedelta(days=30)),
        }
        return thing

    def _scrapes(self, api: str) -> dict[str, Any]:
        targets = {"api": f"{api}:8080", "front": f"127.0.0.1:{self.front.port}"}
        scrapes = [
            {
                "job_name": job,
                "metrics_path": "/health/metrics",
                "static_configs": [{"targets": [target]}],
            }
            for job, target in targets.items()
        ]
        manager = {"static_configs": [{"targets": [f"127.0.0.1:{self.alertmanager.port}"]}]}
        return {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "alerting": {"alertmanagers": [manager]},
            "scrape_configs": scrapes,
        }

    def _write_files(self) -> None:
        for name, authority in (
            ("kubelet-ca", self.node.api.authority),
            ("db-ca", self.authority),
            ("cache-ca", self.authority),
        ):
            (self.files / f"{name}.pem").write_bytes(authority.path.read_bytes())
        for name, password in (
            ("main-db", self.database.passwords["monitor"]),
            ("cache", self.cache.monitor_password),
            ("broker", self.broker.passwords["monitor"]),
            ("nightly-dump", secrets.token_hex(16)),
        ):
            (self.files / name).write_text(password)
        self.configuration = self.files / "platform.yaml"
        self.configuration.write_text(self.substituted())

    def substituted(self) -> str:
        """The example with the addresses of the servers. Each address must occur in it."""
        text = EXAMPLE.read_text()
        local = "127.0.0.1"
        for documented, actual in (
            ("/etc/vitalsd/", f"{self.files}/"),
            ("/run/secrets/vitalsd/", f"{self.files}/"),
            ("https://api.vcci.example", f"https://{local}:{self.front.tls_port}"),
            ("api.vcci.example:443", f"{local}:{self.front.tls_port}"),
            ("db.vcci.example:5432", f"{local}:{self.database.port}"),
            ("cache.vcci.example:6379", f"{local}:{self.cache.tls_port}"),
            ("http://rabbitmq-headless.vcci-production.svc:15692", self.broker.metrics),
            ("http://rabbitmq.vcci-production.svc:15672", self.broker.management),
            ("http://prometheus.monitoring.svc:9090", self.prometheus.url),
            ("region: eu-west-1", f'region: {self.store.region}, endpoint: "{self.store.url}"'),
        ):
            assert documented in text, documented
            text = text.replace(documented, actual)
        return text

    def break_all(self) -> None:
        """Makes a fault for each check that needs no clock: docs/documented-checks.md lists them."""
        api = self.node.api
        broken = self.node.pod(NAMESPACE, "broken", "true", image="localhost/absent:1")["spec"]
        labels = {"app": "broken"}
        template = {"metadata": {"labels": labels}, "spec": broken}
        deployment = reference("apps/v1", "Deployment", "broken", NAMESPACE)
        deployment["spec"] = {"selector": {"matchLabels": labels}, "template": template}
        api.apply(deployment)
        self.node.run("dd", "if=/dev/zero", f"of={self.node.disk}/filler", "bs=1M", "count=240")
        self.front.answer("/health/ready", 503)
        self.front.answer("/health/metrics", 503)
        self.database.hold(25)
        self.database.execute("DROP TABLE sessions", self.database.database)
        self.cache.ask(lines="RPUSH celery:intake x\n" * 1001)
        self.cache.set_max_memory(self.cache.used_memory * 100 // 95)
        self.broker.publish("emissions", 1001)
        soon = self.authority.issue("soon.test", lifetime=datetime.timedelta(days=5))
        (self.files / "soon.pem").write_bytes(soon.path.read_bytes())
        self.front.use_certificate(soon)
        api.apply(self.certificate(5))
        for key, _ in self.store.list("vcci-backups"):
            self.store.delete("vcci-backups", key)
        day = datetime.timedelta(days=1)
        for key in ("production/database/old.dump.gz", "postgres-wal/old", "redis/old"):
            self.store.put("vcci-backups", key, b"x" * (1 << 20), day * 2)
        self.store.expect(204, "DELETE", "/vcci-data")
        ran = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
        api.patch_status(
            reference("batch/v1", "CronJob", "backup", NAMESPACE),
            {"lastScheduleTime": ran.strftime("%Y-%m-%dT%H:%M:%SZ")},
        )
        role = reference("rbac.authorization.k8s.io/v1", "ClusterRole", "vitalsd")
        rules = [rule for rule in api.get(role)["rules"] if rule["resources"] != ["pods/log"]]
        api.patch(role, {"rules": rules})
        quota = self._quota()
        api.patch(quota, {"spec": {"hard": {"pods": "1"}}})

    def vitalsd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs vitalsd with the example on the node, until it exits."""
        environment = {
            "PATH": os.environ["PATH"],
            **self.node.api.environment,
            "VITALSD_SERVICE_ACCOUNT": str(self.account.directory),
            "SSL_CERT_FILE": str(self.authority.path),
            "AWS_ACCESS_KEY_ID": self.store.access_key,
            "AWS_SECRET_ACCESS_KEY": self.store.secret_key,
        }
        return subprocess.run(
            [*self.node.enter, binary(), *arguments, "--config", self.configuration],
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * PATIENCE,
            env=environment,
        )
