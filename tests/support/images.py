"""Container images from local files. Nothing is pulled from a registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

BUSYBOX = Path("/bin/busybox")  # Debian's busybox-static

# The annotation with the image's name for containerd.
NAME = "io.containerd.image.name"


def _tar(entries: Mapping[str, bytes | Path | str]) -> bytes:
    """Returns an archive of bytes, copies of files, and links (their targets as text)."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, entry in entries.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            if isinstance(entry, str):
                member.type, member.linkname = tarfile.SYMTYPE, entry
                archive.addfile(member)
            else:
                content = entry.read_bytes() if isinstance(entry, Path) else entry
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return whole.getvalue()


class Layout:
    """Builds an OCI image layout blob by blob."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes | Path | str] = {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'
        }

    def add(self, kind: str, content: bytes) -> dict[str, object]:
        """Adds a blob and returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.entries[f"blobs/sha256/{digest}"] = content
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def write(
    archive: Path,
    name: str,
    files: Mapping[str, bytes | Path | str],
    entrypoint: Sequence[str],
    *,
    user: str = "",
) -> Path:
    """Writes an image with one layer as an OCI archive. All its files are executable."""
    layout = Layout()
    layer = layout.add("layer.v1.tar", _tar(files))
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    configuration = {
        "architecture": machine,
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "User": user, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": layout.add("config.v1+json", json.dumps(configuration).encode()),
        "layers": [layer],
    }
    described = layout.add("manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {NAME: name}
    index = {"schemaVersion": 2, "manifests": [described]}
    layout.entries["index.json"] = json.dumps(index).encode()
    archive.write_bytes(_tar(layout.entries))
    return archive


def write_busybox(archive: Path, name: str, entrypoint: Sequence[str] = ("/bin/sh",)) -> Path:
    """Writes an image of a static busybox with links for all its commands."""
    listed = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    links = {f"bin/{applet}": "busybox" for applet in listed.stdout.split()}
    return write(archive, name, {**links, "bin/busybox": BUSYBOX}, entrypoint)
