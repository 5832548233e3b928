"""The client with which tests use an API server."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from support.certificates import Certificate
from support.waiting import PATIENCE

Object = dict[str, Any]  # the format of a manifest: apiVersion, kind, metadata and so on


class ApiError(AssertionError):
    """An unsuccessful response. It is an AssertionError, so that wait_until retries."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        try:
            answer = json.loads(body)
            self.reason, self.message = answer.get("reason", ""), answer.get("message", "")
        except (ValueError, AttributeError):
            self.reason, self.message = "", body.decode(errors="replace")
        super().__init__(f"{status} {self.reason}: {self.message}")


def reference(api_version: str, kind: str, name: str, namespace: str = "") -> Object:
    """Returns the reference to an object for get, patch and delete."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


class Client:
    """A JSON client of an API server, authenticated by a certificate, by a token or not at all."""

    def __init__(
        self,
        port: int,
        authority: Path,
        *,
        certificate: Certificate | None = None,
        token: str = "",
    ) -> None:
        self.port = port
        self.token = token
        self._tls = ssl.create_default_context(cafile=str(authority))
        if certificate:
            self._tls.load_cert_chain(certificate.path, certificate.key)
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def _send(
        self, method: str, path: str, body: object, content_type: str, timeout: float
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self._tls, timeout=timeout
        )
        headers = {"Accept": "application/json", "User-Agent": "tests"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise ApiError(response.status, response.read())
        except BaseException:
            connection.close()
            raise
        return connection, response

    def raw(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        timeout: float = 30,
    ) -> bytes:
        """Returns the body of the response. ApiError if the status is not 2xx."""
        connection, response = self._send(method, path, body, content_type, timeout * PATIENCE)
        try:
            return response.read()
        finally:
            connection.close()

    def request(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        return json.loads(self.raw(method, path, body, **options))

    def _resource(self, api_version: str, kind: str) -> tuple[str, bool]:
        """Returns the path of a version, the plural of a kind, and whether the kind is
        namespaced."""
        known = (api_version, kind)
        if known not in self._resources:
            base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            for each in self.request("GET", base)["resources"]:
                if "/" not in each["name"]:  # not a subresource
                    self._resources[api_version, each["kind"]] = (
                        f"{base}/{{}}{each['name']}",
                        each["namespaced"],
                    )
        return self._resources[known]

    def collection(self, api_version: str, kind: str, namespace: str = "") -> str:
        """Returns the path to list a kind in one namespace or in all."""
        path, namespaced = self._resource(api_version, kind)
        return path.format(f"namespaces/{namespace}/" if namespaced and namespace else "")

    def path(self, thing: Mapping[str, Any]) -> str:
        """Returns the path of one object. The default namespace is `default`."""
        metadata = thing["metadata"]
        namespace = metadata.get("namespace", "default")
        collection = self.collection(thing["apiVersion"], thing["kind"], namespace)
        return f"{collection}/{quote(metadata['name'])}"

    # ---- objects -------------------------------------------------------------------------------

    def get(self, thing: Mapping[str, Any]) -> Object:
        """Returns the current object."""
        return self.request("GET", self.path(thing))

    def exists(self, thing: Mapping[str, Any]) -> bool:
        try:
            self.get(thing)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def listed(
        self, api_version: str, kind: str, namespace: str = "", **parameters: str | int
    ) -> Object:
        """Returns a list with `items`, and with `metadata` that has resourceVersion and
        continue."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        found = self.request("GET", self.collection(api_version, kind, namespace) + query)
        # Items lack apiVersion and kind, which the list has.
        found["items"] = [{"apiVersion": api_version, "kind": kind, **i} for i in found["items"]]
        return found

    def names(self, api_version: str, kind: str, namespace: str = "") -> list[str]:
        items = self.listed(api_version, kind, namespace)["items"]
        return [item["metadata"]["name"] for item in items]

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        timeout: float = 30,
        **parameters: str | int,
    ) -> Generator[Object, None, None]:
        """Yields the events of a watch until the server ends it or no event arrives for
        `timeout`."""
        query = urlencode({"watch": 1, **parameters})
        path = f"{self.collection(api_version, kind, namespace)}?{query}"
        connection, response = self._send("GET", path, None, "", timeout * PATIENCE)
        try:
            while line := response.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def create(self, thing: Object) -> Object:
        """Creates an object with its status."""
        collection = self.path(thing).rpartition("/")[0]
        created = self.request("POST", collection, thing)
        return self._with_status(thing, created)

    def apply(self, things: Object | Sequence[Object]) -> list[Object]:
        """Creates or updates these objects with their status."""
        applied = []
        for thing in [things] if isinstance(things, dict) else things:
            spec = {key: value for key, value in thing.items() if key != "status"}
            done = self.request(
                "PATCH",
                f"{self.path(thing)}?fieldManager=tests&force=true",
                spec,
                content_type="application/apply-patch+yaml",
            )
            applied.append(self._with_status(thing, done))
        return applied

    def _with_status(self, wanted: Object, now: Object) -> Object:
        return self.patch_status(now, wanted["status"]) if "status" in wanted else now

    def patch(self, thing: Mapping[str, Any], change: object, subresource: str = "") -> Object:
        """Merges `change` into an object. null removes a field, a list replaces a list."""
        path = self.path(thing) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, change, content_type="application/merge-patch+json")

    def patch_status(self, thing: Mapping[str, Any], status: object) -> Object:
        """Merges `status` into the status of an object."""
        return self.patch(thing, {"status": status}, "status")

    def delete(self, thing: Mapping[str, Any], *, grace: int = 0) -> None:
        """Deletes an object. With `grace`, a pod on a node stays Terminating until the node's
        kubelet confirms its end. Here there is no kubelet, so the pod stays forever."""
        self.request("DELETE", self.path(thing), {"gracePeriodSeconds": grace})

    # ---- pods ----------------------------------------------------------------------------------

    def logs(self, namespace: str, pod: str, **parameters: str | int) -> str:
        """Returns the log of a container of a pod that runs on a node."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self.raw("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log{query}").decode()
