"""A complete Kubernetes node: API server, controllers, scheduler, and a kubelet that runs pods with
Debian's containerd and runc.

It has its own network, mount and process namespaces. It is separate from any container runtime of
this machine, and all its processes end with the first process of the namespaces. Tests reach its
API server on a loopback port. Processes that must reach pods and the kubelet run in the namespaces
too, see Node.inside(). Needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from support import images, process
from support.certificates import Certificate
from support.control_groups import make_groups, remove_groups, sweep_groups
from support.forwarder import Forwarder
from support.kubernetes import (
    ADMINISTRATORS,
    NODE_ADDRESS,
    SERVICE_ADDRESS,
    ApiServer,
    missing,
    program,
)
from support.kubernetes_client import Object, reference
from support.process import Server
from support.waiting import PATIENCE, wait_until

BUSYBOX, PAUSE = "localhost/busybox:1", "localhost/pause:1"
PLUGINS = Path("/usr/lib/cni")

# The first process of the namespaces. Its mounts are private to them: /run, so that containerd has
# its usual socket (otherwise cAdvisor does not know the names of containers), and writes below
# /var. It ignores SIGCHLD, also in the programs that it executes, so the kernel reaps orphans of
# the containers.
INIT = """
mount -t tmpfs -o mode=755 run /run && mkdir /run/netns &&
mkdir var var/written var/work &&
mount -t overlay -o lowerdir=/var,upperdir=var/written,workdir=var/work var /var &&
mount --make-rshared / &&
echo 1 >/proc/sys/net/ipv4/ip_forward &&
ip link set lo up && ip address add {node}/32 dev lo && ip address add {service}/32 dev lo &&
trap '' CHLD && : >ready && exec sleep infinity
"""

CONTAINERD = """
version = 2
root = "{directory}/containerd"
state = "/run/containerd/state"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Where root may not lower scores, runc dies of trying, with a word of a broken pipe at most.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{directory}/cni"
"""

# Pods get addresses from the node's own range. The node routes between them and itself.
NETWORK = {
    "type": "bridge",
    "bridge": "pods",
    "isGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.88.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    },
}

KUBELET = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {authority}}}
authorization: {{mode: Webhook}}
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
resolvConf: ""
volumePluginDir: {directory}/volume-plugins
healthzPort: 0
# A node that is lost is found out within seconds: it reports each second that it lives.
nodeLeaseDurationSeconds: 4
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 10s
# However full this machine is, its pods stay and its images too.
evictionHard: {{memory.available: 1Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
"""


# ---- its servers --------------------------------------------------------------------------------


class Namespaces(Server):
    name = "namespaces"

    def __init__(self) -> None:
        super().__init__()
        kinds = ("--net", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child")
        script = INIT.format(node=NODE_ADDRESS, service=SERVICE_ADDRESS)
        ready = self.directory / "ready"
        self.launch(["unshare", *kinds, "--", "sh", "-c", script], ready.exists)
        (self.init,) = process.children(self.pid)

    @property
    def network(self) -> Path:
        return Path(f"/proc/{self.init}/ns/net")


class Inner(Server):
    """A server that runs on the node with its child processes. It only ends with SIGKILL."""

    def __init__(self, name: str, enter: Sequence[str], command: Sequence[str | Path]) -> None:
        self.name = name
        super().__init__()
        self.enter = enter
        self.command = command

    def start(self, ready: Any = lambda: True) -> None:
        self.launch(self.command, ready)

    def close(self) -> None:
        self.kill()
        super().close()


class NodeApiServer(ApiServer):
    authorization = "Node,RBAC"
    bind_address = "0.0.0.0"

    def __init__(self, node: Node, *options: str) -> None:
        self.node = node
        with node.inside():
            super().__init__(*options)

    def choose_ports(self) -> tuple[int, int]:
        # Pods use port 443, and no service proxy translates it to another port.
        port = process.unused_port()
        self.node.forward(port, 443)
        return port, 443

    def arguments(self) -> list[str]:
        kubelet = self.authority.issue(
            "kube-apiserver", [], client=True, organizations=[ADMINISTRATORS]
        )
        return [
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--kubelet-certificate-authority={self.authority.path}",
            f"--kubelet-client-certificate={kubelet.path}",
            f"--kubelet-client-key={kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def apply(self, things: Object | Sequence[Object]) -> list[Object]:
        """Like ApiServer.apply(), but waits until an earlier deletion of the namespace is
        complete."""
        things = [things] if isinstance(things, dict) else things
        for thing in things:
            if thing["kind"] == "Namespace":
                wait_until(lambda thing=thing: not self._ends(thing), what=f"the end of {thing}")
        return super().apply(things)

    def _ends(self, thing: Object) -> bool:
        return self.exists(thing) and "deletionTimestamp" in self.get(thing)["metadata"]

    def namespace(self, name: str = "") -> str:
        name = super().namespace(name)
        self.wait_prepared(name)
        return name

    def wait_prepared(self, namespace: str) -> None:
        """Waits until the namespace accepts pods. Before that, pods are refused or wait ten seconds
        for their mounts."""
        for needed in (
            reference("v1", "ServiceAccount", "default", namespace),
            reference("v1", "ConfigMap", "kube-root-ca.crt", namespace),
        ):
            wait_until(lambda needed=needed: self.exists(needed), what=f"{needed}")

    @property
    def inner_url(self) -> str:
        """Returns the URL for processes on the node."""
        return f"https://{SERVICE_ADDRESS}:443"

    @property
    def environment(self) -> dict[str, str]:
        return {"KUBERNETES_SERVICE_HOST": SERVICE_ADDRESS, "KUBERNETES_SERVICE_PORT": "443"}

    @property
    def account_key(self) -> Certificate:
        return self._accounts

    def _let_go(self, path: str) -> None:
        """Skips namespaces, because the controllers of this cluster delete them with their
        objects."""
        if "/namespaces/" not in path or path.count("/") > 4:
            with contextlib.suppress(AssertionError):  # it may have been deleted in the meantime
                super()._let_go(path)


# ---- the node -----------------------------------------------------------------------------------


class Node:
    """The node, with the name node-1, and its cluster, which has no other node.

    `cpu_quota_period` is the period of CPU limits. `options` are additional options of the API
    server.
    """

    name = "node-1"

    def __init__(
        self,
        *options: str,
        cpu_quota_period: str = "1s",
        monitor_grace_period: str = "8s",
        feature_gates: Mapping[str, bool] | None = None,
    ) -> None:
        if os.geteuid() != 0:
            missing("a Kubernetes node needs root")
        for needed in ("containerd", "runc", "nsenter", "ip"):
            if not shutil.which(needed):
                missing(f"{needed} is not installed: tests/install-test-dependencies.sh")
        for file in (PLUGINS / "bridge", images.BUSYBOX):
            if not file.exists():
                missing(f"{file} is not installed: tests/install-test-dependencies.sh")
        for needed in ("kube-controller-manager", "kube-scheduler", "kubelet", "kubectl"):
            program(needed)
        self.monitor_grace_period = monitor_grace_period
        self._closers = contextlib.ExitStack()
        try:
            self._start(options, cpu_quota_period, dict(feature_gates or {}))
        except BaseException as error:
            for server in (getattr(self, "kubelet", None), getattr(self, "containerd", None)):
                if server:
                    error.add_note(server.tail())
            self.close()
            raise

    def _start(self, options: Sequence[str], period: str, gates: dict[str, bool]) -> None:
        sweep_groups()
        self._cgroup = f"vitalsd-node-{os.getpid()}-{secrets.token_hex(3)}"
        self._closers.callback(remove_groups, self._cgroup)
        make_groups(self._cgroup)
        self.namespaces = Namespaces()
        self._closers.callback(self.namespaces.close)
        self._closers.callback(self.namespaces.kill)
        self.directory = self.namespaces.directory
        self.enter: Sequence[str] = ("nsenter", f"--net={self.namespaces.network}", "--")
        whole = ("-t", str(self.namespaces.init), "--net", "--mount", "--pid")
        self._enter_all = ("nsenter", *whole, f"--wdns={self.directory}", "--")
        self._forwarder = Forwarder(self.namespaces.network)
        self._closers.callback(self._forwarder.close)

        self._start_containerd()
        self.api = NodeApiServer(self, *options)
        self._closers.callback(self.api.close)
        self._start_controllers()
        self._start_kubelet(period, gates)
        for namespace in ("default", "kube-system"):
            self.api.wait_prepared(namespace)
        self.wait_ready()

    # ---- components ----------------------------------------------------------------------------

    def _start_containerd(self) -> None:
        names = {"directory": self.directory, "plugins": PLUGINS, "pause": PAUSE}
        configuration = self.directory / "containerd.toml"
        configuration.write_text(CONTAINERD.format(**names))
        (self.directory / "cni").mkdir()
        network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [NETWORK]}
        (self.directory / "cni" / "pods.conflist").write_text(json.dumps(network))
        # The images have their own file system. A full disk of the machine would be a fault of the node.
        store = self.directory / "containerd"
        store.mkdir()
        self.run("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", store)
        self.containerd = self._inner("containerd", "containerd", f"--config={configuration}")
        self.containerd.start(lambda: self.run("ctr", "version", check=False).returncode == 0)
        archive = self.directory / "image.tar"
        self.import_image(images.write_busybox(archive, BUSYBOX))
        # The pause container, which keeps the namespaces of a pod. It sleeps as long as busybox
        # allows.
        self.import_image(images.write_busybox(archive, PAUSE, ("/bin/sleep", "2147483647")))
        archive.unlink()

    def _start_controllers(self) -> None:
        accounts, authority = self.api.account_key, self.api.authority
        everywhere = ("--leader-elect=false", "--bind-address=127.0.0.1")
        controllers, scheduler = "kube-controller-manager", "kube-scheduler"
        self.controllers = self._server(
            controllers,
            f"--kubeconfig={self._kubeconfig(f'system:{controllers}')}",
            *everywhere,
            f"--cert-dir={self.directory}/{controllers}",
            # The defaults limit the request rate and delay the start by five seconds.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={accounts.key}",
            f"--root-ca-file={authority.path}",
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={self.monitor_grace_period}",
        )
        self.scheduler = self._server(
            scheduler,
            f"--kubeconfig={self._kubeconfig(f'system:{scheduler}')}",
            *everywhere,
            f"--cert-dir={self.directory}/{scheduler}",
        )
        for server in (self.controllers, self.scheduler):
            server.start()

    def _start_kubelet(self, period: str, gates: dict[str, bool]) -> None:
        serving = self.api.authority.issue(self.name, [self.name, NODE_ADDRESS])
        configuration = yaml.safe_load(
            KUBELET.format(
                directory=self.directory,
                authority=self.api.authority.path,
                certificate=serving.path,
                key=serving.key,
                cgroup=self._cgroup,
            )
        )
        if period != "100ms":  # the default, which needs no permission
            configuration["cpuCFSQuotaPeriod"] = period
            gates = {"CustomCPUCFSQuotaPeriod": True, **gates}
        configuration["featureGates"] = gates
        file = self.directory / "kubelet.yaml"
        file.write_text(yaml.safe_dump(configuration))
        # The node has its own small file system, which tests can fill.
        self.disk = self.directory / "kubelet"
        self.disk.mkdir()
        self.run("mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", self.disk)
        kubeconfig = self._kubeconfig(f"system:node:{self.name}", "system:nodes")
        self.kubelet = self._inner(
            "kubelet",
            program("kubelet"),
            f"--config={file}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={self.disk}",
            f"--hostname-override={self.name}",
            f"--node-ip={NODE_ADDRESS}",
            "--housekeeping-interval=1s",
        )
        self.kubelet.start()

    def _kubeconfig(self, user: str, *groups: str) -> Path:
        return self.api.kubeconfig(user, *groups, url=self.api.inner_url)

    def _inner(self, name: str, *command: str | Path) -> Inner:
        """Starts a server in all namespaces of the node."""
        server = Inner(name, self._enter_all, command)
        self._closers.callback(server.close)
        return server

    def _server(self, name: str, *arguments: str) -> Inner:
        """Starts a server that only needs the network of the node."""
        server = Inner(name, self.enter, [program(name), *arguments])
        self._closers.callback(server.close)
        return server

    # ---- access --------------------------------------------------------------------------------

    def forward(self, port: int, target: int = 0) -> None:
        """Forwards a local port to the same or another loopback port of the node."""
        self._forwarder.forward(port, target or port)

    def expose(self, port: int) -> None:
        """Makes a loopback port of the node reachable for pods at the node's address."""
        self._forwarder.expose(NODE_ADDRESS, port)

    def listener(self, port: int) -> socket.socket:
        return self._forwarder.listener("127.0.0.1", port)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Servers that are created in this context, for example vitalsd or Prometheus, run in the
        node's network with the pods, the kubelet and the API server. Their ports are reachable from
        here."""
        return process.inside(self)

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command on the node until it exits."""
        done = subprocess.run(
            [*self._enter_all, *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * PATIENCE,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def import_image(self, archive: Path) -> None:
        """Loads the images of an OCI archive into the node. Pods use them with the pull policy
        Never."""
        self.run("ctr", "--namespace=k8s.io", "images", "import", archive)

    # ---- pods and kubelet ----------------------------------------------------------------------

    def pod(
        self, namespace: str, name: str, script: str, *, restart: str = "Always", **container: Any
    ) -> Object:
        """Returns a pod object with one container "main" in which busybox runs a script.
        `container` are additional fields of the container, for example resources."""
        made = reference("v1", "Pod", name, namespace)
        main = {
            "name": "main",
            "image": BUSYBOX,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", script],
            **container,
        }
        made["spec"] = {
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": 1,
            "containers": [main],
        }
        return made

    def container(self, pod: Object, name: str = "main") -> Object:
        """Returns the current status of a container of a pod. LookupError if it has none yet."""
        statuses = self.api.get(pod)["status"].get("containerStatuses", [])
        return {status["name"]: status for status in statuses}[name]

    def wait_container(self, pod: Object, state: str, reason: str = "", **options: Any) -> Object:
        """Waits until a container is `running`, `waiting` or `terminated` with that reason."""

        def reached() -> Object:
            status = self.container(pod)
            assert status["state"].get(state, {}).get("reason", "") == reason, status["state"]
            assert state in status["state"], status["state"]
            return status

        return wait_until(reached, what=f"{pod['metadata']['name']}: {state} {reason}", **options)

    def ready(self) -> str:
        """Returns the Ready condition of the node: True, False or Unknown."""
        conditions = self.api.get(reference("v1", "Node", self.name))["status"]["conditions"]
        return {each["type"]: each["status"] for each in conditions}["Ready"]

    def wait_ready(self, ready: str = "True", *, deadline: float = 60) -> None:
        wait_until(
            lambda: self.ready() == ready,
            deadline=deadline,
            what=lambda: f"{self.name} is ready: {ready}\n{self.kubelet.tail()}",
        )

    def freeze_kubelet(self) -> None:
        """Stops the kubelet's reports, so the node soon becomes Unknown. Its pods continue to
        run."""
        self.kubelet.freeze()

    def thaw_kubelet(self) -> None:
        self.kubelet.thaw()

    # ---- cleanup -------------------------------------------------------------------------------

    def restore(self) -> None:
        """Reverts the changes of a test, because other tests use this node too."""
        for server in (self.containerd, self.kubelet, self.controllers, self.scheduler):
            if server.running:
                server.thaw()
            else:
                server.kill()
                server.start()
        self.api.restore()
        self.wait_ready()

    def close(self) -> None:
        """Stops it in any state."""
        self._closers.close()
