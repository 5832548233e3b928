"""Backups and disks that a test breaks and repairs."""

from __future__ import annotations

import itertools
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from support.mounts import Mounts
from support.s3 import S3


class Bucket:
    """Backups under a prefix of an S3 bucket."""

    def __init__(self, probe: str, s3: S3, bucket: str) -> None:
        self.probe, self.s3, self.bucket = probe, s3, bucket
        self.prefix = f"production/{probe}/"
        self._numbers = itertools.count()

    def configuration(self) -> dict[str, Any]:
        where = {"endpoint": self.s3.url, "region": self.s3.region, "style": "path"}
        where |= {"bucket": self.bucket, "prefix": self.prefix}
        where |= {"access_key": self.s3.access_key, "secret_key": {"env": "S3_SECRET"}}
        return {"s3": where}

    def add(self, age: timedelta, size: int = 4096) -> float:
        """Creates a backup of this age and returns its Unix time."""
        key = f"{self.prefix}{next(self._numbers):04}.dump.gz"
        return self.s3.put(self.bucket, key, b"x" * size, age)

    def names(self) -> list[str]:
        return [key for key, _ in self.s3.list(self.bucket, self.prefix)]

    def delete(self, name: str) -> None:
        self.s3.delete(self.bucket, name)


class Directory:
    """Backups in a directory."""

    def __init__(self, probe: str, path: Path) -> None:
        self.probe, self.path = probe, path
        self._numbers = itertools.count()

    def configuration(self) -> dict[str, Any]:
        return {"directory": str(self.path), "settle": "0s"}

    def add(self, age: timedelta, size: int = 4096) -> float:
        made = time.time() - age.total_seconds()
        hidden = self.path / ".incomplete"  # it already has its age when it appears
        hidden.write_bytes(b"x" * size)
        os.utime(hidden, (made, made))
        hidden.rename(self.path / f"{next(self._numbers):04}.dump.gz")
        return made

    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]

    def delete(self, name: str) -> None:
        (self.path / name).unlink()


Store = Bucket | Directory


def keep_none(store: Store) -> None:
    for name in store.names():
        store.delete(name)


def keep_only(store: Store, age: timedelta) -> float:
    """Creates a backup of this age and then deletes all others, so there is always a backup."""
    others = store.names()
    made = store.add(age)
    for name in others:
        store.delete(name)
    return made


class Disks:
    """File systems of 16 MiB in place of a host's root and /data."""

    def __init__(self, root: Path, mounts: Mounts) -> None:
        self.root = root
        for path in (root, root / "data"):
            mounts.small(path, "size=16m")

    def fill(self, mountpoint: str, share: float) -> None:
        """Creates a file that uses this share of the space."""
        path = self.root / mountpoint.strip("/")
        space = os.statvfs(path)
        with (path / "filler").open("wb") as file:
            file.write(bytes(round(space.f_blocks * space.f_frsize * share)))

    def free(self) -> None:
        for path in (self.root, self.root / "data"):
            (path / "filler").unlink(missing_ok=True)
