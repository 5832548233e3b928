"""A Debian 12 of its own in a directory, for what changes a whole system."""

from __future__ import annotations

import shutil
import subprocess

from support import REPOSITORY
from support.process import server_directory

BOOTSTRAP = REPOSITORY / "tests" / "image" / "debootstrap.sh"

# Mounts of its own, which go with it; the root is one, or nothing there could say what it lies on.
ENTER = 'mount --bind "$0" "$0"; mount -t proc proc "$0/proc"; exec chroot "$@"'


class Debian:
    def __init__(self) -> None:
        self.root = server_directory("debian")
        try:
            subprocess.run([BOOTSTRAP, self.root], check=True)
        except BaseException:
            self.close()
            raise

    def enter(self, *options: str) -> list[str]:
        """What runs the command after it there, in the same process; the options are chroot's."""
        root = str(self.root)
        return ["unshare", "--mount", "sh", "-ec", ENTER, root, *options, root]

    def run(self, *command: str) -> str:
        """What the command, which must succeed, prints."""
        done = subprocess.run(
            [*self.enter(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
                "DEBIAN_FRONTEND": "noninteractive",
            },
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def close(self) -> None:
        shutil.rmtree(self.root)
