"""Probe configurations for the servers of the tests, and a daemon in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from support import REPOSITORY
from support.certificates import Authority
from support.kubernetes_node import Node
from support.postgres import Postgres
from support.rabbitmq import Rabbitmq
from support.redis import Redis
from support.vitalsd import Vitalsd

RBAC = REPOSITORY / "deploy" / "kubernetes" / "rbac.yaml"


def database(name: str, server: Postgres, password: str) -> dict[str, Any]:
    """The environment variable of this name contains the password. The same applies to cache()
    and broker()."""
    return {
        "name": name,
        "kind": "postgres",
        "url": server.url(),
        "password": {"env": password},
        "tls": {"ca": str(server.authority.path)},
    }


def cache(name: str, server: Redis, password: str) -> dict[str, Any]:
    return {"name": name, "kind": "redis", "url": server.url(), "password": {"env": password}}


def broker(name: str, server: Rabbitmq, password: str, **options: Any) -> dict[str, Any]:
    """Counts from the Prometheus plug-in, the rest from the management API as `monitor`."""
    return {
        "name": name,
        "kind": "rabbitmq",
        "urls": [server.metrics],
        "management": server.management,
        "management_interval": "1s",
        "user": "monitor",
        "password": {"env": password},
        **options,
    }


def endpoint_certificate(name: str, port: int, authority: Authority) -> dict[str, Any]:
    tls = {"ca": str(authority.path)}
    return {"name": name, "kind": "certificate", "endpoint": f"127.0.0.1:{port}", "tls": tls}


def in_cluster(node: Node, *probes: Mapping[str, Any]) -> Vitalsd:
    """Starts a daemon on the node that probes nodes, pods, kubelets and `probes`, with its service
    account and the shipped permissions."""
    node.api.apply(list(yaml.safe_load_all(RBAC.read_text())))
    account = node.api.service_account("vitalsd", "vitalsd")
    with node.inside():
        return Vitalsd(
            [
                {"name": "nodes", "kind": "node"},
                {"name": "pods", "kind": "pod"},
                # A busy node responds slowly.
                {"name": "kubelets", "kind": "kubelet", "interval": "3s", "timeout": "3s"},
                *probes,
            ],
            interval="1s",
            timeout="1s",
            plain={**node.api.environment, "VITALSD_SERVICE_ACCOUNT": str(account.directory)},
            secrets=[account.token],
        )
