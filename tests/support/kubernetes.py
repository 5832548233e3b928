"""A Kubernetes API server with its own etcd: RBAC, service accounts, custom resources, and faults
that a client must handle: unreachable, silent, or without its history.

No pods run here (see kubernetes_node for that). Pods and nodes have the status that a test sets.
Needs no root. tests/kubernetes/binaries/build.sh builds the programs.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import REPOSITORY
from support.certificates import ORGANIZATIONS, Authority, Certificate
from support.http_request import request
from support.kubernetes_client import ApiError, Client, Object, reference
from support.process import Server, free_port
from support.waiting import PATIENCE, wait_until

BUILD = REPOSITORY / "tests" / "kubernetes" / "binaries" / "build.sh"

ADMINISTRATORS = "system:masters"
SERVICE_ADDRESS = "10.0.0.1"  # where pods find the API server
NODE_ADDRESS = "192.0.2.10"  # the API server refuses a loopback address for a node
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")

# Logs only requests of the clients under test, not those of the tests, which are administrators.
AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, userGroups: ["system:masters"]}
  - {level: None, userGroups: ["system:nodes"]}
  - {level: None, users: ["system:kube-controller-manager", "system:kube-scheduler"]}
  - {level: Metadata}
"""


# ---- programs -----------------------------------------------------------------------------------


class Definitions(yaml.SafeLoader):
    """Reads the value `=` as text."""


Definitions.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)


def required() -> bool:
    """Returns whether these tests must run, as in CI. Otherwise they may be skipped."""
    return bool(os.environ.get("CI") or os.environ.get("VITALSD_REQUIRE_KUBERNETES"))


def missing(what: str) -> None:
    """Skips the test because of a missing program, or fails it if it must run."""
    if required():
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@functools.cache
def _place(part: str) -> Path:
    where = subprocess.run(
        [BUILD, "--where", part], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return Path(where.strip())


def built(part: str, name: str = "") -> Path:
    """Returns the path of a file that build.sh creates, or the directory of the part."""
    path = _place(part) / name
    if not path.exists():
        missing(f"{name or part} is not built: {BUILD.relative_to(REPOSITORY)} {part}")
    return path


def program(name: str) -> Path:
    return built("kubernetes", name)


# ---- service accounts ---------------------------------------------------------------------------


@dataclass
class ServiceAccount:
    """A service account with the files that its pods have."""

    namespace: str
    name: str
    directory: Path  # token, ca.crt and namespace, as mounted in a pod
    token: str = ""

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def groups(self) -> list[str]:
        group = "system:serviceaccounts"
        return [group, f"{group}:{self.namespace}", "system:authenticated"]

    def write(self, authority: Path) -> None:
        """Replaces all three files atomically, like a kubelet: they are links through one link to
        the current directory."""
        new = Path(tempfile.mkdtemp(prefix="..", dir=self.directory))
        new.chmod(0o755)
        files = {
            "token": self.token,
            "ca.crt": authority.read_text(),
            "namespace": self.namespace,
        }
        for name, text in files.items():
            (new / name).write_text(text)
        current, coming = self.directory / "..data", self.directory / "..data_tmp"
        old = current.resolve() if current.exists() else None
        coming.symlink_to(new.name)
        coming.rename(current)
        if old:
            shutil.rmtree(old)
            return
        for name in files:
            (self.directory / name).symlink_to(f"..data/{name}")


# ---- servers ------------------------------------------------------------------------------------


class Etcd(Server):
    name = "etcd"

    def __init__(self) -> None:
        super().__init__()
        self.port, self.peer_port = free_port(), free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        peers = f"http://127.0.0.1:{self.peer_port}"
        self.launch(
            [
                program("etcd"),
                f"--data-dir={self.directory}/data",
                f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
            lambda: self._exchange("GET", "/health")["health"] == "true",
        )

    def _exchange(self, method: str, path: str, body: object = None) -> Any:
        content = json.dumps(body) if body is not None else None
        status, answer = request(self.port, method, path, content, timeout=10 * PATIENCE)
        assert status == 200, answer
        return json.loads(answer)

    def call(self, method: str, message: Mapping[str, Any]) -> Any:
        """Calls a method of its API through the JSON gateway, for example kv/range."""
        return self._exchange("POST", f"/v3/{method}", message)

    def compact(self) -> None:
        """Compacts its history."""
        # Two changes: a client that lacks only the last one could resume, because the compaction
        # keeps it.
        for _ in range(2):
            put = self.call("kv/put", {"key": _encode("a change"), "value": ""})
        self.call("kv/compaction", {"revision": put["header"]["revision"], "physical": True})

    def empty(self) -> None:
        """Deletes all data. etcd must not run."""
        assert not self.running
        shutil.rmtree(self.directory / "data")

    def close(self) -> None:
        self.kill()  # its data is no longer needed
        super().close()


def _encode(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


class ApiServer(Server, Client):
    """The API server. As a Client, it is the administrator.

    `options` are additional options of kube-apiserver, for example
    "--feature-gates=WatchList=false", "--watch-cache=false" or "--goaway-chance=0.02". The last
    option of a name counts.
    """

    name = "kube-apiserver"
    authorization = "RBAC"
    bind_address = "127.0.0.1"

    def __init__(self, *options: str) -> None:
        program("kube-apiserver")  # before any process starts
        Server.__init__(self)
        self.options = options
        self.port, self.secure_port = self.choose_ports()
        (self.directory / "pki").mkdir()
        self.authority = Authority(self.directory / "pki", "kubernetes-ca")
        self.renew_certificate()
        self._accounts = self.authority.issue("service-accounts")
        Client.__init__(self, self.port, self.authority.path, certificate=self.user("admin"))
        (self.directory / "audit.yaml").write_text(AUDIT_POLICY)
        self._made: dict[str, None] = {}  # paths of created objects, in the order of creation
        try:
            self.etcd = Etcd()
            self.start()
        except BaseException:
            self.close()
            raise

    # ---- start and stop ------------------------------------------------------------------------

    def choose_ports(self) -> tuple[int, int]:
        """Returns the port that tests use, and the port that the server listens on."""
        port = free_port()
        return port, port

    def arguments(self) -> list[str]:
        """Returns the default options of an API server without nodes."""
        return [
            # Pods have no service account, because no controller creates the account `default`
            # here.
            "--disable-admission-plugins=ServiceAccount",
        ]

    def start(self) -> None:
        """Starts it with its existing data, and etcd if it does not run."""
        if not self.etcd.running:
            self.etcd.kill()
            self.etcd.start()
        self.launch(
            [
                program("kube-apiserver"),
                f"--etcd-servers={self.etcd.url}",
                # The tests control compaction.
                "--etcd-compaction-interval=0",
                f"--bind-address={self.bind_address}",
                f"--secure-port={self.secure_port}",
                # Without this option the API server does not start on a machine without a default
                # route.
                f"--advertise-address={NODE_ADDRESS}",
                "--endpoint-reconciler-type=none",
                f"--cert-dir={self.directory}",
                f"--tls-cert-file={self._serving.path}",
                f"--tls-private-key-file={self._serving.key}",
                f"--client-ca-file={self.authority.path}",
                f"--authorization-mode={self.authorization}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self._accounts.path}",
                f"--service-account-signing-key-file={self._accounts.key}",
                "--service-cluster-ip-range=10.0.0.0/24",
                f"--audit-policy-file={self.directory}/audit.yaml",
                f"--audit-log-path={self.directory}/audit.log",
                *self.arguments(),
                *self.options,
            ],
            self._is_ready,
            deadline=60,
        )

    def _is_ready(self) -> bool:
        return self.raw("GET", "/readyz") == b"ok" and self.exists(
            reference("v1", "Namespace", "default")
        )

    def stop(self, deadline: float = 5) -> int:
        """Stops it gracefully or with SIGKILL. A graceful stop waits up to a minute for connections
        whose client does not read, for example a frozen client."""
        assert self.process
        ended = self.process
        try:
            super().stop(deadline)
        except AssertionError:
            self.kill()
        return ended.returncode

    def restart(self) -> None:
        self.stop()
        self.start()

    def renew_certificate(self) -> None:
        """Replaces the server certificate. It takes effect at the next start."""
        self._serving = self.authority.issue(
            "kube-apiserver",
            ["localhost", "127.0.0.1", "::1", SERVICE_ADDRESS, NODE_ADDRESS, *SERVICE_NAMES],
        )

    @property
    def _caches(self) -> bool:
        return "--watch-cache=false" not in self.options

    def compact(self) -> None:
        """Compacts the history. A watch from an earlier revision and a continue token of a list
        then get 410. Restarts the API server if it has a watch cache, because the cache has recent
        revisions too."""
        self.etcd.compact()
        if self._caches:
            self.restart()

    def restore_empty(self) -> None:
        """Simulates a lost store: the server, certificates and keys stay, all objects are lost, and
        revisions restart."""
        if self.running:
            self.stop()
        self.etcd.kill()
        self.etcd.empty()
        self._made.clear()
        self._resources.clear()
        self.start()

    def restore(self) -> None:
        """Reverts the changes of a test, because other tests use this server too."""
        if self.etcd.running:
            self.etcd.thaw()
        if self.running:
            self.thaw()
        else:
            self.kill()
            self.start()
        self.remove_made()

    def close(self) -> None:
        self.kill()  # its data is no longer needed
        try:
            if hasattr(self, "etcd"):
                self.etcd.close()
        finally:
            super().close()

    # ---- objects -------------------------------------------------------------------------------

    def create(self, thing: Object) -> Object:
        self._made[self.path(thing)] = None
        return super().create(thing)

    def apply(self, things: Object | Sequence[Object]) -> list[Object]:
        for thing in [things] if isinstance(things, dict) else things:
            self._made[self.path(thing)] = None
        return super().apply(things)

    def remove_made(self) -> None:
        """Deletes all objects that tests have created, even if they have finalizers."""
        for path in reversed(self._made):
            try:
                self.request("DELETE", path, {"gracePeriodSeconds": 0})
                self._let_go(path)
            except ApiError as error:
                if error.status != 404:
                    raise
        self._made.clear()
        self._resources.clear()

    def _let_go(self, path: str) -> None:
        """Removes the finalizers of deleted objects."""
        left = self.request("GET", path)
        if left["metadata"].get("finalizers"):
            merge = "application/merge-patch+json"
            change = {"metadata": {"finalizers": None}}
            self.request("PATCH", path, change, content_type=merge)
        if left["kind"] == "Namespace":
            left["spec"] = {"finalizers": []}
            self.request("PUT", f"{path}/finalize", left)

    def namespace(self, name: str = "") -> str:
        """Creates a namespace for one test."""
        name = name or f"test-{secrets.token_hex(4)}"
        self.apply(reference("v1", "Namespace", name))
        return name

    def install_definitions(self, part: str, *kinds: str) -> None:
        """Installs the custom resource definitions of cert-manager or prometheus-operator: all, or
        only those of some kinds."""
        definitions = []
        for file in sorted(built(part).glob("*.yaml")):
            for definition in filter(None, yaml.load_all(file.read_text(), Definitions)):
                if kinds and definition["spec"]["names"]["kind"] not in kinds:
                    continue
                # Labels and annotations can be Helm templates, and have no effect.
                definition["metadata"] = {"name": definition["metadata"]["name"]}
                definitions.append(definition)
        assert definitions, f"{part} ships no definition"
        self.apply(definitions)
        for definition in definitions:
            spec = definition["spec"]
            for version in spec["versions"]:
                if version["served"]:
                    path = f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
                    wait_until(lambda path=path: self.raw("GET", path), what=path)

    def user(self, name: str, *groups: str) -> Certificate:
        """Returns the certificate of a user. The user admin has all permissions."""
        groups = groups or ((ADMINISTRATORS,) if name == "admin" else ORGANIZATIONS)
        return self.authority.issue(name, [], client=True, organizations=groups)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, user: str = "admin", *groups: str, url: str = "", token: str = "") -> Path:
        """Writes a kubeconfig for a user with a certificate, or for a token."""
        if token:
            credentials: Object = {"token": token}
        else:
            certificate = self.user(user, *groups)
            credentials = {
                "client-certificate": str(certificate.path),
                "client-key": str(certificate.key),
            }
        cluster = {"server": url or self.url, "certificate-authority": str(self.authority.path)}
        text = yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "tests", "cluster": cluster}],
                "users": [{"name": user, "user": credentials}],
                "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
                "current-context": "tests",
            },
            sort_keys=False,
        )
        handle, path = tempfile.mkstemp(prefix="kubeconfig-", dir=self.directory)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        return Path(path)

    def service_account(
        self, namespace: str = "default", name: str = "vitalsd", *, seconds: int = 3600
    ) -> ServiceAccount:
        """Creates a service account and its files as in a pod. The token lifetime is at least 600
        s."""
        self.apply(reference("v1", "ServiceAccount", name, namespace))
        directory = Path(tempfile.mkdtemp(prefix="serviceaccount-", dir=self.directory))
        directory.chmod(0o755)
        account = ServiceAccount(namespace, name, directory)
        self.renew(account, seconds=seconds)
        return account

    def renew(self, account: ServiceAccount, *, seconds: int = 3600) -> None:
        """Creates a new token and writes it to the files. Earlier tokens stay valid until they
        expire or the account is deleted. The server may take ten seconds to notice the deletion."""
        path = self.path(reference("v1", "ServiceAccount", account.name, account.namespace))
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        account.token = self.request("POST", f"{path}/token", request)["status"]["token"]
        account.write(self.authority.path)

    def client(self, account: ServiceAccount | None = None) -> Client:
        """Returns a client for that account, or for an unknown user."""
        return Client(self.port, self.authority.path, token=account.token if account else "")

    @property
    def environment(self) -> dict[str, str]:
        """Returns the environment variables with which a pod finds the API server."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def grant(
        self, who: ServiceAccount | str, *rules: Mapping[str, Sequence[str]], namespace: str = ""
    ) -> Object:
        """Grants RBAC `rules` to an account or a user, for example {"apiGroups": [""], "resources":
        ["pods"], "verbs": ["list"]}, in one namespace or in all. The rules are in effect when this
        returns. Pass the result to revoke()."""
        group = "rbac.authorization.k8s.io"
        prefix = "" if namespace else "Cluster"
        name = f"test-{secrets.token_hex(4)}"
        role = reference(f"{group}/v1", f"{prefix}Role", name, namespace)
        binding = reference(f"{group}/v1", f"{prefix}RoleBinding", name, namespace)
        if isinstance(who, ServiceAccount):
            subject = {"kind": "ServiceAccount", "name": who.name, "namespace": who.namespace}
        else:
            subject = {"kind": "User", "name": who, "apiGroup": group}
        role["rules"] = [dict(rule) for rule in rules]
        binding["subjects"] = [subject]
        binding["roleRef"] = {"kind": role["kind"], "name": name, "apiGroup": group}
        self.apply([role, binding])
        wait_until(lambda: self._allowed(who, rules, namespace), what=f"permissions of {who}")
        return role

    def revoke(self, granted: Object, who: ServiceAccount | str) -> None:
        """Revokes a grant. It is no longer in effect when this returns."""
        binding = {**granted, "kind": f"{granted['kind']}Binding"}
        self.delete(binding)
        self.delete(granted)
        namespace = granted["metadata"].get("namespace", "")
        wait_until(
            lambda: not self._allowed(who, granted["rules"], namespace, every=False),
            what=f"no permissions of {who}",
        )

    def _allowed(
        self,
        who: ServiceAccount | str,
        rules: Sequence[Mapping[str, Sequence[str]]],
        namespace: str,
        *,
        every: bool = True,
    ) -> bool:
        """Returns whether all, or any, of the rules are allowed."""
        answers = []
        for rule in rules:
            for verb in rule["verbs"]:
                for path in rule.get("nonResourceURLs", ()):
                    what = {"nonResourceAttributes": {"verb": verb, "path": path}}
                    answers.append(self.may(who, what))
                for group in rule.get("apiGroups", ()):
                    for resource in rule.get("resources", ()):
                        name, _, subresource = resource.partition("/")
                        attributes = {
                            "verb": verb,
                            "group": group,
                            "resource": name,
                            "subresource": subresource,
                            "namespace": namespace,
                            "name": next(iter(rule.get("resourceNames", ())), ""),
                        }
                        answers.append(self.may(who, {"resourceAttributes": attributes}))
        return all(answers) if every else any(answers)

    def may(self, who: ServiceAccount | str, what: Mapping[str, Any]) -> bool:
        """Returns the result of a SubjectAccessReview."""
        user = (
            {"user": who.user, "groups": who.groups}
            if isinstance(who, ServiceAccount)
            else {"user": who}
        )
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**user, **what},
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.request("POST", path, review)["status"]["allowed"])

    # ---- inspection ----------------------------------------------------------------------------

    def requests(self, who: ServiceAccount | str, verb: str = "") -> list[Object]:
        """Returns the requests of a user so far as audit events: verb, requestURI, objectRef,
        responseStatus, userAgent. A watch has two events, one when it starts (stage
        ResponseStarted) and one when it ends."""
        user = who.user if isinstance(who, ServiceAccount) else who
        log = self.directory / "audit.log"
        lines = log.read_text().splitlines() if log.exists() else []
        events = []
        for line in lines:
            try:
                events.append(json.loads(line))
            except ValueError:  # an incomplete line that is being written
                continue
        return [
            event
            for event in events
            if event["user"].get("username") == user and verb in ("", event["verb"])
        ]

    def kubectl(
        self, *arguments: str, check: bool = True, user: str = "admin"
    ) -> subprocess.CompletedProcess[str]:
        """Runs the real kubectl as a user."""
        done = subprocess.run(
            [program("kubectl"), f"--kubeconfig={self.kubeconfig(user)}", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * PATIENCE,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done
