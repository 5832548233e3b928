"""File systems that are mounted for a test: small ones to fill, frozen ones, and unresponsive ones.

An unresponsive one is a FUSE file system whose server does not read its requests. To a process it
looks like an unreachable NFS server. Needs permission to mount.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
MNT_DETACH = 2
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


def _mount(source: str, place: Path, kind: str, options: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    arguments = [source.encode(), bytes(place), kind.encode(), 0, options.encode()]
    if _libc.mount(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind}: {os.strerror(number)}")


class Mounts:
    """Mounts file systems, and unmounts all of them at the end."""

    def __init__(self) -> None:
        self.places: list[Path] = []
        self.servers: dict[Path, int] = {}  # descriptors of mounts on which calls hang
        self.frozen: set[Path] = set()

    def small(self, place: Path, options: str = "size=8m") -> None:
        """Mounts a tmpfs, which can be filled and emptied within milliseconds."""
        _mount("small", place, "tmpfs", options)
        self.places.append(place)

    def remount(self, place: Path, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    def disk(self, place: Path) -> None:
        """Mounts a file system that can be frozen."""
        image = place.with_suffix(".image")
        with image.open("wb") as file:
            file.truncate(8 << 20)
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
        self.places.append(place)

    def freeze(self, place: Path) -> None:
        """From now on, processes that write wait until thaw(), even if they are killed."""
        self._control(place, FIFREEZE)
        self.frozen.add(place)

    def thaw(self, place: Path) -> None:
        self.frozen.discard(place)
        self._control(place, FITHAW)

    @staticmethod
    def _control(place: Path, command: int) -> None:
        directory = os.open(place, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, command, 0)
        finally:
            os.close(directory)

    def dead(self, place: Path) -> None:
        """Mounts a file system on which every call hangs until revive() or close()."""
        server = os.open("/dev/fuse", os.O_RDWR)
        _mount("dead", place, "fuse", f"fd={server},rootmode=40000,user_id=0,group_id=0")
        self.places.append(place)
        self.servers[place] = server

    def on_access(self, place: Path) -> int:
        """Mounts an autofs. A process that looks at it hangs until it is removed, because nobody
        mounts another file system there. Returns the descriptor that the kernel writes to then."""
        requests, kernel = os.pipe()
        options = f"fd={kernel},pgrp=1,minproto=5,maxproto=5,direct"  # not for processes like init
        try:
            _mount("automount", place, "autofs", options)
        finally:
            os.close(kernel)
        self.places.append(place)
        self.servers[place] = requests
        return requests

    def revive(self, place: Path) -> None:
        """Ends the hanging calls on an unresponsive file system with an error."""
        os.close(self.servers.pop(place))

    def remove(self, place: Path) -> None:
        if place in self.servers:
            self.revive(place)
        if place in self.frozen:
            self.thaw(place)
        _libc.umount2(bytes(place), MNT_DETACH)
        self.places.remove(place)

    def close(self) -> None:
        for place in reversed(list(self.places)):
            self.remove(place)
